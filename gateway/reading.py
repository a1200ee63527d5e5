"""Events from the journal, by position."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from canonical.event import encode
from canonical.ports import Recorded
from router.journal import Journal

__all__ = ["as_json", "at", "those", "together"]


async def at(journal: Journal, position: int) -> Recorded | None:
    """The event at a position; None when there is none, or it has gone. Raises JournalCorrupt."""
    if position < 1:
        return None
    found, _ = await journal.events(position - 1, limit=1)
    return found[0] if found and found[0].position == position else None


async def those(journal: Journal, positions: Sequence[int]) -> list[Recorded]:
    """The events at these ascending positions, without those that have gone. Raises JournalCorrupt.

    Neighbours are read together, what lies far apart bundle by bundle; no bundle twice.
    """
    found: list[Recorded] = []
    wanted, index = set(positions), 0
    while index < len(positions):
        read, reached = await journal.events(positions[index] - 1, limit=_dense(positions, index))
        found += [item for item in read if item.position in wanted]
        reached = max(reached, positions[index])
        while index < len(positions) and positions[index] <= reached:
            index += 1
    return found


def _dense(positions: Sequence[int], start: int) -> int:
    """How many positions from ``start`` on to read at once: as far as every second one is wanted."""
    first, span = positions[start], 1
    for number, position in enumerate(positions[start:], 1):
        if position - first >= 2 * number:
            break
        span = position - first + 1
    return span


def as_json(item: Recorded) -> bytes:
    """The event in the CloudEvents JSON format with its ``position`` beside the attributes."""
    return b'{"position":%d,' % item.position + encode(item.event)[1:]


def together(items: Iterable[bytes], following: str | None) -> bytes:
    """A page: ``{"items": […], "next": cursor or null}``."""
    end = b"null" if following is None else b'"' + following.encode() + b'"'
    return b'{"items":[' + b",".join(items) + b'],"next":' + end + b"}"
