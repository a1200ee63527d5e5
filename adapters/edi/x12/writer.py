"""Writes X12: transaction sets in one functional group each, in one interchange."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from adapters.edi.config import X12Options
from adapters.edi.outgoing import Envelope, refuse
from adapters.edi.x12.isa import WIDTHS

__all__ = ["Group", "Part", "write"]

Part = tuple[str, ...]
"""A segment to be written: its tag, then its elements."""

_ELEMENT, _COMPONENT, _TERMINATOR, _REPETITION = "*", ">", "~", "^"
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_LARGEST: Final = 999_999_999
_REPEATS_FROM: Final = "00402"


class Group(Struct, frozen=True, kw_only=True):
    """A functional group to be written, of sets of one type; ``kind`` is its functional identifier (GS01)."""

    kind: str
    set_type: str
    version: str
    sets: Sequence[Sequence[Part]]
    sender: str = ""
    receiver: str = ""


def write(
    envelope: Envelope,
    groups: Sequence[Group],
    options: X12Options,
    *,
    version: str = "00401",
    before: Sequence[Part] = (),
) -> bytes:
    """The interchange, counts and control numbers included; ``before`` stands in front of the first group.

    Raises Invalid for text that it has no form for: X12 cannot take a separator's meaning away.
    """
    number = _number(envelope.reference)
    parts: list[Part] = list(before)
    for at, group in enumerate(groups):
        parts += _group(group, number + at, envelope, options)
    parts.append(("IEA", str(len(groups)), f"{number:09}"))
    text = _isa(envelope, number, version) + "".join(
        _written(part, version, at) for at, part in enumerate(parts, start=2)
    )
    return _encoded(text, options)


def _number(reference: str) -> int:
    if not (reference.isascii() and reference.isdigit() and 0 < int(reference) <= _LARGEST):
        refuse("/interchange/reference", f"must be a number from 1 to {_LARGEST}, not {reference!r}")
    return int(reference)


def _isa(envelope: Envelope, number: int, version: str) -> str:
    at = envelope.prepared_at
    elements = (
        "00",
        "",
        "00",
        "",
        envelope.sender.qualifier or "ZZ",
        envelope.sender.id,
        envelope.receiver.qualifier or "ZZ",
        envelope.receiver.id,
        at.strftime("%y%m%d"),
        at.strftime("%H%M"),
        _REPETITION if version >= _REPEATS_FROM else "U",
        version,
        f"{number:09}",
        "0",
        "T" if envelope.test else "P",
        _COMPONENT,
    )
    for text, width in zip(elements, WIDTHS, strict=True):
        if len(text) > width:
            refuse("/interchange", f"has {text!r}, which does not fit into the {width} characters of ISA")
    padded = [text.ljust(width) for text, width in zip(elements, WIDTHS, strict=True)]
    _check(_ELEMENT.join(padded[:-1]).replace(_ELEMENT, ""), version if version < _REPEATS_FROM else "", 1)
    return _ELEMENT.join(["ISA", *padded]) + _TERMINATOR


def _group(group: Group, number: int, envelope: Envelope, options: X12Options) -> list[Part]:
    at = envelope.prepared_at
    parts: list[Part] = [
        (
            "GS",
            group.kind,
            group.sender or options.group_sender or envelope.sender.id,
            group.receiver or options.group_receiver or envelope.receiver.id,
            at.strftime("%Y%m%d"),
            at.strftime("%H%M"),
            str(number),
            "X",
            group.version,
        )
    ]
    for index, body in enumerate(group.sets, start=1):
        reference = f"{index:04}"
        parts.append(("ST", group.set_type, reference))
        parts += body
        parts.append(("SE", str(len(body) + 2), reference))
    parts.append(("GE", str(len(group.sets)), str(number)))
    return parts


def _written(part: Part, version: str, position: int) -> str:
    """A segment without the empty elements at its end."""
    elements = list(part)
    while len(elements) > 1 and not elements[-1]:
        elements.pop()
    for element in elements:
        _check(element, version, position)
    return _ELEMENT.join(elements) + _TERMINATOR


def _check(text: str, version: str, position: int) -> None:
    separators = _ELEMENT + _COMPONENT + _TERMINATOR + (_REPETITION if version >= _REPEATS_FROM else "")
    for character in text:
        if character in separators or _CONTROL.match(character):
            refuse("", f"has {text!r}: X12 has no form for {character!r} in data (segment {position})")


def _encoded(text: str, options: X12Options) -> bytes:
    codec = options.charset or "utf-8"
    try:
        return text.encode(codec)
    except UnicodeEncodeError as error:
        refuse("", f"has {error.object[error.start]!r}, a character that {codec} does not have")
