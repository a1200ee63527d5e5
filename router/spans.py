"""Delivered positions as a settlement keeps them: as ranges, and one by one where the peer gave a receipt.

An entry is ``(first, last)``, or ``(position, receipt)``; rows of earlier versions hold only the latter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

__all__ = ["Span", "positions", "reach", "receipt_of", "spans"]

Span: TypeAlias = tuple[int, int | str]


def spans(delivered: Sequence[int], receipts: Mapping[int, str]) -> list[Span]:
    """The entries of delivered positions, oldest first; no position is there twice."""
    found: list[Span] = list(receipts.items())
    bare = sorted(each for each in delivered if each not in receipts) if receipts else sorted(delivered)
    if not bare:
        return found
    first = last = bare[0]
    for position in bare[1:]:
        if position != last + 1:
            found.append((first, last))
            first = position
        last = position
    found.append((first, last))
    return found


def reach(entries: Sequence[Span]) -> tuple[int, int]:
    """The first and the last position of entries, of which there is one at least."""
    return min(first for first, _ in entries), max(_last(entry) for entry in entries)


def positions(entries: Iterable[Span]) -> Iterator[int]:
    """Every position."""
    for entry in entries:
        yield from range(entry[0], _last(entry) + 1)


def receipt_of(entries: Iterable[Span], position: int) -> str | None:
    """The receipt of a delivered position, empty when there was none; None: it was not delivered."""
    for entry in entries:
        if entry[0] <= position <= _last(entry):
            return entry[1] if isinstance(entry[1], str) else ""
    return None


def _last(entry: Span) -> int:
    return entry[1] if isinstance(entry[1], int) else entry[0]
