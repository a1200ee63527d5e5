"""How two EDI files differ in what they say: messages and segments, not line breaks, separators or counts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import Any, Final

from msgspec import Struct, structs

from adapters.edi.commands_outline import outline
from adapters.edi.commands_show import elements_of
from adapters.edi.interchange import Interchange, Message, Standard
from adapters.edi.report import Report
from adapters.edi.segment import Element, Repeats, Segment

__all__ = ["Difference", "differences"]

_ENVELOPE: Final = (
    "standard",
    "reference",
    "sender",
    "sender_qualifier",
    "receiver",
    "receiver_qualifier",
    "prepared",
    "version",
    "test",
)
_TRAILERS: Final = frozenset({"UNT", "SE"})
"""Their counts follow from what stands before them."""
_DECIMAL: Final = re.compile(r"-?\d+,\d+")
"""ISO 9735: comma and point are the same decimal mark."""
_MARKS: Final[dict[Standard, str]] = {"edifact": "+", "x12": "*"}


class Difference(Struct, frozen=True, kw_only=True):
    """One difference. ``where`` is the message and the group in it; ``left`` and ``right`` are what either
    file has there, None where it has nothing; the positions are those of the segments in their files."""

    where: str
    what: str
    left: str | None = None
    right: str | None = None
    left_position: int | None = None
    right_position: int | None = None

    def to_json(self) -> dict[str, Any]:
        """All fields."""
        return structs.asdict(self)


class _Line(Struct, frozen=True):
    """A segment of a message with its group; two are alike when tag and content are."""

    segment: Segment
    path: str
    content: tuple[Any, ...]


def differences(left: tuple[Report, int], right: tuple[Report, int]) -> Iterator[Difference]:
    """What differs between two files, each with its size in bytes; nothing when they say the same."""
    pairs = _paired(left[0].interchanges, right[0].interchanges, lambda one: (one.sender, one.reference))
    for one, other in pairs:
        if one is None or other is None:
            there: Any = other if one is None else one
            yield _alone("the interchange", f"interchange {there.reference}", left=one is not None)
            continue
        yield from _envelope(f"interchange {one.reference}", one, other)
        messages = _paired(one.messages, other.messages, lambda message: (message.type, message.reference))
        for ours, theirs in messages:
            yield from _message((one, ours, left[1]), (other, theirs, right[1]))


def _paired(left: Sequence[Any], right: Sequence[Any], key: Any) -> Iterable[tuple[Any | None, Any | None]]:
    """By their keys where these are the same on both sides; else in order."""
    keys, others = [key(one) for one in left], [key(one) for one in right]
    known = set(keys) & set(others)
    unique = len(set(keys)) == len(keys) and len(set(others)) == len(others)
    if not unique or not known:
        return list(zip_longest(left, right))
    by_key = dict(zip(others, right, strict=True))
    pairs: list[tuple[Any | None, Any | None]] = []
    rest = [one for name, one in zip(others, right, strict=True) if name not in known]
    for name, one in zip(keys, left, strict=True):
        pairs.append((one, by_key[name] if name in known else (rest.pop(0) if rest else None)))
    return [*pairs, *((None, one) for one in rest)]


def _alone(what: str, where: str, *, left: bool) -> Difference:
    there = "here" if left else None
    return Difference(where=where, what=what, left=there, right=None if left else "here")


def _envelope(name: str, one: Interchange, other: Interchange) -> Iterator[Difference]:
    for field in _ENVELOPE:
        ours, theirs = str(getattr(one, field)), str(getattr(other, field))
        if ours != theirs:
            yield Difference(where=name, what=field.replace("_", " "), left=ours, right=theirs)


def _message(
    left: tuple[Interchange, Message | None, int], right: tuple[Interchange, Message | None, int]
) -> Iterator[Difference]:
    (one, ours, _), (other, theirs, _) = left, right
    there = ours or theirs
    assert there is not None
    name = f"{there.type} {there.reference}"
    if ours is None or theirs is None:
        yield _alone("the message", name, left=ours is not None)
        return
    before, after = list(_lines(one, ours, left[2])), list(_lines(other, theirs, right[2]))
    contents = [line.content for line in before], [line.content for line in after]
    matcher = SequenceMatcher(None, *contents, autojunk=False)
    for change, start, stop, begin, end in matcher.get_opcodes():
        if change != "equal":
            marks = _MARKS[one.standard], _MARKS[other.standard]
            yield from _changed(name, before[start:stop], after[begin:end], marks)


def _lines(interchange: Interchange, message: Message, size: int) -> Iterator[_Line]:
    for one in outline(interchange, message, size):
        if one.segment.tag not in _TRAILERS:
            elements = [_plain(element) for element in one.segment.elements]
            yield _Line(one.segment, one.path, (one.segment.tag, *_trimmed(elements)))


def _plain(element: Element) -> Any:
    """An element without the empty components at its end; a composite of one component is a simple one."""
    if isinstance(element, Repeats):
        return ("repeats", *(_plain(one) for one in element))
    if isinstance(element, str):
        return element.replace(",", ".") if _DECIMAL.fullmatch(element) else element
    parts = _trimmed([_plain(part) for part in element])
    return parts[0] if len(parts) == 1 else tuple(parts)


def _trimmed(values: Sequence[Any]) -> list[Any]:
    kept = list(values)
    while kept and kept[-1] in ("", ()):
        kept.pop()
    return kept


def _changed(
    name: str, left: Sequence[_Line], right: Sequence[_Line], marks: tuple[str, str]
) -> Iterator[Difference]:
    """A stretch that differs: segments of one tag are held against each other, in order."""
    rest = list(right)
    for line in left:
        other = next((one for one in rest if one.content[0] == line.content[0]), None)
        if other is None:
            yield _one(name, line, None, marks)
            continue
        rest.remove(other)
        yield _one(name, line, other, marks)
    for line in rest:
        yield _one(name, None, line, marks)


def _one(name: str, left: _Line | None, right: _Line | None, marks: tuple[str, str]) -> Difference:
    there = left or right
    assert there is not None
    where = f"{name} > {there.path}" if there.path else name
    if left is None or right is None:
        told = f"{there.segment.tag}"
    else:
        places = ", ".join(_places(left.content[1:], right.content[1:]))
        told = f"{there.segment.tag} {places}"
    return Difference(
        where=where,
        what=told,
        left=elements_of(left.segment, marks[0]) if left else None,
        right=elements_of(right.segment, marks[1]) if right else None,
        left_position=left.segment.position if left else None,
        right_position=right.segment.position if right else None,
    )


def _places(left: Sequence[Any], right: Sequence[Any]) -> Iterator[str]:
    """Which elements differ, as ``02`` or ``02.3`` (element 2, component 3), counted from 1."""
    for number, (one, other) in enumerate(zip_longest(left, right, fillvalue=""), start=1):
        if one == other:
            continue
        if isinstance(one, tuple) or isinstance(other, tuple):
            parts = (_components(one), _components(other))
            for part, (first, second) in enumerate(zip_longest(*parts, fillvalue=""), start=1):
                if first != second:
                    yield f"{number:02}.{part}"
        else:
            yield f"{number:02}"


def _components(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)
