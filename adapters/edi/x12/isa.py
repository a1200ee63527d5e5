"""The ISA segment of X12, which declares the separators by standing at fixed places.

ISA has 106 bytes, its sixteen elements a fixed width each (ASC X12.5, in our own words). Senders that do not
pad them are read too, by counting separators instead of bytes.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from adapters.edi.lexer import Decode
from adapters.edi.separators import Separators

__all__ = ["ISA_SIZE", "WIDTHS", "Isa", "read_isa"]

ISA_SIZE: Final = 106
WIDTHS: Final = (2, 10, 2, 10, 2, 15, 2, 15, 6, 4, 1, 5, 9, 1, 1, 1)
"""The width of each element of ISA, ISA01 first."""

_REPEATS_FROM: Final = "00402"
_UTF8: Final = ((2, "\xc2", "\xdf"), (3, "\xe0", "\xef"), (4, "\xf0", "\xf4"))
"""How many bytes a character of UTF-8 has, by its first one."""


class Isa(Struct, frozen=True, kw_only=True):
    """What an ISA says. ``size`` counts its bytes with the terminator; ``fixed``: it has the right widths."""

    elements: tuple[str, ...]
    separators: Separators
    size: int
    fixed: bool

    def text(self, element: int, decode: Decode) -> str:
        """An element without its padding, counted from 1."""
        text = self.elements[element - 1]
        return (text if text.isascii() else decode(text)).strip()


def read_isa(text: str, at: int) -> Isa:
    """The ISA that begins at a byte. Raises ValueError, with what is wrong, when there is none to read."""
    element = text[at + 3 : at + 4]
    if not element or element.isalnum() or element == " ":
        raise ValueError(f"ISA is followed by {element!r}, which cannot separate anything")
    parts = text[at : at + 2 * ISA_SIZE].split(element, len(WIDTHS))
    if len(parts) <= len(WIDTHS):
        raise ValueError(f"ISA has {len(parts) - 1} elements, {len(WIDTHS)} are needed")
    size = sum(len(part) + 1 for part in parts[:-1]) + 2
    component, terminator = parts[-1][:1], _terminator(parts[-1][1:])
    size += max(len(terminator) - 1, 0)
    _check(element, component, terminator)
    elements = (*(part.replace("\r", "").replace("\n", "") for part in parts[1:-1]), component)
    return Isa(
        elements=elements,
        separators=Separators(
            component=component,
            element=element,
            release="",
            repetition=_repetition(elements, {component, element, terminator}),
            terminator=terminator,
        ),
        size=size,
        fixed=all(len(part) == width for part, width in zip(elements, WIDTHS, strict=True)),
    )


def _repetition(elements: tuple[str, ...], taken: set[str]) -> str:
    """ISA11 where it is a separator: from version 00402 on, unless it still is the U of old."""
    told, version = elements[10], elements[11]
    if version < _REPEATS_FROM or len(told) != 1 or told.isalnum() or told.isspace() or told in taken:
        return ""
    return told


def _terminator(rest: str) -> str:
    """The character that ends ISA: one byte, or all bytes of one character of UTF-8."""
    size = next((size for size, first, last in _UTF8 if first <= rest[:1] <= last), 1)
    follows = all("\x80" <= byte <= "\xbf" for byte in rest[1:size])
    return rest[:size] if follows and len(rest) >= size else rest[:1]


def _check(element: str, component: str, terminator: str) -> None:
    """Raises ValueError unless the three characters can do their work."""
    if not component or not terminator:
        raise ValueError("ISA is cut off before its segment terminator")
    told = f"component separator {component!r} and terminator {terminator!r}"
    if len({element, component, terminator}) < 3:
        raise ValueError(
            f"ISA declares {told} beside the element separator {element!r}: one has two meanings"
        )
    if terminator.isalnum() or component.isalnum() or terminator in " \0":
        raise ValueError(f"ISA declares {told}, which cannot separate anything")
