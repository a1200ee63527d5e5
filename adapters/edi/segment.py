"""Segment: a line of an EDI document, its elements and components, and where it stands."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

__all__ = ["Element", "Repeats", "Segment"]


class Repeats(list["str | list[str]"]):
    """An element that is there several times (EDIFACT syntax 4, X12 from 00402)."""

    __slots__ = ()


Element = str | list[str] | Repeats
"""A simple element, the components of a composite one, or its repetitions."""


class Segment(Struct, frozen=True, gc=False):
    """One segment. ``position`` counts those of the file from 1, ``offset`` its bytes from 0."""

    tag: str
    elements: list[Element]
    position: int
    offset: int

    def text(self, element: int, component: int = 1) -> str:
        """The text at a place, both counted from 1 as the standards do; empty where there is none.

        Of an element that repeats it is the first repetition's.
        """
        if element > len(self.elements):
            return ""
        value = self.elements[element - 1]
        if isinstance(value, Repeats):
            value = value[0]
        if isinstance(value, str):
            return value if component == 1 else ""
        return value[component - 1] if component <= len(value) else ""

    def components(self, element: int) -> list[str]:
        """The components of an element; of one that repeats, the first repetition's."""
        if element > len(self.elements):
            return []
        value = self.elements[element - 1]
        if isinstance(value, Repeats):
            value = value[0]
        return [value] if isinstance(value, str) else value

    def pairs(self, first: int) -> Iterator[tuple[str, str]]:
        """Qualifier and value, from the element ``first`` on: X12's product ids (235, 234)."""
        for at in range(first, len(self.elements), 2):
            qualifier, value = self.text(at), self.text(at + 1)
            if qualifier and value:
                yield qualifier, value
