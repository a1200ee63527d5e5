"""From text to segments: finds their ends, then their elements, heeding the release character.

The text is the file as ISO 8859-1, one character a byte, so that every place is a byte offset; what is not
ASCII is decoded where an element has it. Nothing is held but the segment at hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from msgspec import Struct

from adapters.edi.segment import Element, Repeats, Segment
from adapters.edi.separators import Separators

__all__ = ["BLANK", "Cut", "Decode", "cuts", "split", "tokens"]

BLANK: Final = " \t\r\n\0\x1a"
"""What may stand between segments, and before and after an interchange: white space, NUL, ^Z."""

Decode = Callable[[str], str]
"""Makes text of bytes that are not ASCII."""

_RELEASED: Final = 0xE000
_MARK: Final = "\ue100"
_UNRELEASE: Final[dict[int, str | None]] = {_RELEASED + code: chr(code) for code in range(256)} | {
    ord(_MARK): None
}


class Cut(Struct, frozen=True, gc=False):
    """Where a segment is: its first byte, and the one after its last; ``whole`` if it is terminated."""

    start: int
    stop: int
    whole: bool = True


def cuts(text: str, start: int, end: int, by: Separators) -> Iterator[Cut]:
    """The segments between two bytes, in order, without their terminators; an empty one has no length.

    White space before a segment is passed over. What stands behind the last terminator is a segment
    that is not ``whole``.
    """
    find, terminator, release = text.find, by.terminator, by.release
    blank = "".join(character for character in BLANK if character != terminator)
    at = start
    while True:
        while at < end and text[at] in blank:
            at += 1
        if at >= end:
            return
        stop = find(terminator, at, end)
        if release:
            while stop > at and text[stop - 1] == release and _released(text, stop, at, release):
                stop = find(terminator, stop + 1, end)
        if stop < 0:
            yield Cut(at, end, False)
            return
        yield Cut(at, stop)
        at = stop + len(terminator)


def _released(text: str, stop: int, start: int, release: str) -> bool:
    """Whether the release characters before a place are odd in number, so that the last one counts."""
    first = stop
    while first > start and text[first - 1] == release:
        first -= 1
    return (stop - first) % 2 == 1


def tokens(
    text: str, start: int, end: int, by: Separators, decode: Decode, position: int
) -> Iterator[Segment]:
    """The segments between two bytes, taken apart; the first has the ordinal ``position``.

    Empty segments are passed over. ``decode`` gets texts that are not ASCII.
    """
    for cut in cuts(text, start, end, by):
        if cut.start == cut.stop:
            continue
        raw = text[cut.start : cut.stop]
        tag, elements = split(raw, by, decode)
        yield Segment(tag, elements, position, cut.start)
        position += 1


def split(raw: str, by: Separators, decode: Decode) -> tuple[str, list[Element]]:
    """Tag and elements of a segment. Line breaks within it, which wrapped files have, are no data."""
    if "\n" in raw or "\r" in raw:
        raw = raw.replace("\r", "").replace("\n", "")
    if not raw.isascii() or (by.release and by.release in raw) or (by.repetition and by.repetition in raw):
        return _carefully(raw, by, decode)
    component = by.component
    tag, *parts = raw.split(by.element)
    elements: list[Element] = [part.split(component) if component in part else part for part in parts]
    return tag.partition(component)[0], elements


def _carefully(raw: str, by: Separators, decode: Decode) -> tuple[str, list[Element]]:
    """``split`` for what has released characters, repetitions, or more than ASCII."""
    released = bool(by.release) and by.release in raw
    if released:
        raw = _marked(raw, by.release)

    def plain(part: str) -> str:
        if released and _MARK in part:
            part = part.translate(_UNRELEASE)
        return part if part.isascii() else decode(part)

    def inner(part: str) -> str | list[str]:
        if by.component not in part:
            return plain(part)
        return [plain(component) for component in part.split(by.component)]

    tag, *parts = raw.split(by.element)
    elements: list[Element] = []
    for part in parts:
        if by.repetition and by.repetition in part:
            elements.append(Repeats(inner(one) for one in part.split(by.repetition)))
        else:
            elements.append(inner(part))
    return plain(tag.partition(by.component)[0]), elements


def _marked(raw: str, release: str) -> str:
    """The text with every released character taken out of reach of the separators.

    The text has bytes only, so that characters of the private use area are free to stand for them.
    """
    first, *rest = raw.split(release)
    marked, at = [first], 0
    while at < len(rest):
        part = rest[at]
        if part:
            marked.append(f"{_MARK}{chr(_RELEASED + ord(part[0]))}{part[1:]}")
        elif at + 1 < len(rest):  # the release character releases itself
            at += 1
            marked.append(f"{_MARK}{chr(_RELEASED + ord(release))}{rest[at]}")
        at += 1
    return "".join(marked)
