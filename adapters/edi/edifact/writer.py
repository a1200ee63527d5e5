"""Writes EDIFACT: messages in one interchange, serialised by pydifact under a UNA that says what it uses."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from msgspec import Struct
from pydifact import Characters, Serializer
from pydifact import Segment as Written

from adapters.edi.config import EdifactOptions, Party
from adapters.edi.edifact.advice import DEFAULT
from adapters.edi.edifact.charset import CODECS
from adapters.edi.outgoing import Envelope, refuse

__all__ = ["Outgoing", "Part", "limited", "write"]

Part = tuple[str | list[str], ...]
"""A segment to be written: its tag, then its elements; the components of a composite one in a list."""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_DEFAULT_CHARSET: Final = "UNOC"
_SYNTAX_VERSION: Final = "3"


class Outgoing(Struct, frozen=True, kw_only=True):
    """A message to be written; ``version`` is what follows its type in UNH: version, release, agency."""

    type: str
    version: tuple[str, ...]
    body: Sequence[Part]


def write(envelope: Envelope, messages: Sequence[Outgoing], options: EdifactOptions) -> bytes:
    """The interchange, counts and references included. Raises Invalid for text that it has no form for."""
    charset = options.charset or _DEFAULT_CHARSET
    parts: list[Part] = [_header(envelope, charset)]
    for number, message in enumerate(messages, start=1):
        parts.append(("UNH", str(number), [message.type, *message.version]))
        parts += message.body
        parts.append(("UNT", str(len(message.body) + 2), str(number)))
    parts.append(("UNZ", str(len(messages)), envelope.reference))
    serializer = Serializer(Characters.from_str(DEFAULT.una))
    text = serializer.serialize([_segment(part) for part in parts])
    if found := _CONTROL.search(text):
        refuse("", f"has the control character U+{ord(found[0]):04X}, which EDIFACT has no form for")
    try:
        return text.encode(CODECS[charset])
    except UnicodeEncodeError as error:
        refuse("", f"has {error.object[error.start]!r}, a character that {charset} does not have")


def _header(envelope: Envelope, charset: str) -> Part:
    at = envelope.prepared_at
    return (
        "UNB",
        [charset, _SYNTAX_VERSION],
        _party(envelope.sender),
        _party(envelope.receiver),
        [at.strftime("%y%m%d"), at.strftime("%H%M")],
        limited(envelope.reference, 14, "/interchange/reference"),
        *(("", "", "", "", "", "1") if envelope.test else ()),
    )


def _party(party: Party) -> list[str]:
    return [party.id, party.qualifier]


def limited(text: str, size: int, where: str) -> str:
    """The text, if it is not longer than its element allows. Raises Invalid."""
    if len(text) > size:
        refuse(where, f"has {len(text)} characters, its element has {size} at most")
    return text


def _segment(part: Part) -> Written:
    """The segment without the empty elements at its end, which pydifact would write."""
    tag, *elements = part
    while elements and not any(elements[-1]):
        elements.pop()
    return Written(tag, *elements)
