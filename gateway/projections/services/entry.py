"""What a service keeps of an event, and what it makes of several: entries and views."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct

from canonical.event import Event

__all__ = ["Cell", "Entry", "Origin", "View", "pack", "packed_view", "seconds", "unpack", "view_of"]


class Entry(Struct, array_like=True, frozen=True):
    """One event's contribution to one thing. ``stamp`` is the service's order, ``at`` the event's time
    (codes are read as of it), both seconds since 1970 UTC; ``data`` only the fields that the service reads.
    ``subject`` is the event's."""

    position: int
    stamp: float
    at: float
    plant: str | None
    source: str
    type: str
    id: str
    subject: str | None
    data: dict[str, Any]

    @property
    def order(self) -> tuple[float, int]:
        """The later one wins."""
        return self.stamp, self.position


class Origin(Struct, array_like=True, frozen=True):
    """The event that a value comes from, as far as its codes need it."""

    position: int
    at: float
    plant: str | None
    source: str
    type: str


class Cell(Struct, array_like=True, frozen=True):
    """A value with where it comes from: ``origin`` counts the view's origins, ``path`` is the field of the
    catalogue (``data.quantity``, ``subject``); -1 and no path for what is computed and holds no codes."""

    value: Any
    origin: int = -1
    path: str = ""


Cells = dict[str, Any]
"""Names to a Cell, or to a list of Cells of the same kind (the elements of a collection)."""


class View(Struct, frozen=True, kw_only=True):
    """One thing as it is asked for. ``key`` sorts and is unique in the service; ``columns`` are for filters;
    ``position`` is the newest event in it; ``used`` are the positions of those that decide it."""

    key: str
    plant: str
    columns: dict[str, str | float | None]
    cells: Cells
    origins: tuple[Origin, ...]
    position: int
    changed_at: float
    subject: str | None
    used: frozenset[int]


_entries = msgspec.msgpack.Decoder(list[Entry])
_encoder = msgspec.msgpack.Encoder()
Body = tuple[dict[str, Any], tuple[Origin, ...], float, str | None]
_body = msgspec.msgpack.Decoder(Body)


def pack(entries: list[Entry]) -> bytes:
    """Entries as bytes."""
    return _encoder.encode(entries)


def unpack(body: bytes) -> list[Entry]:
    """The entries of ``pack``."""
    return _entries.decode(body)


def packed_view(view: View) -> bytes:
    """What is read of a view when it is shown."""
    return _encoder.encode((view.cells, view.origins, view.changed_at, view.subject))


def view_of(body: bytes) -> Body:
    """(cells, origins, changed_at, subject) of ``packed_view``; a cell is a list here."""
    found: Body = _body.decode(body)
    return found


def seconds(moment: datetime | str | None) -> float | None:
    """A moment of an event or its data as seconds since 1970; None for what is none."""
    if isinstance(moment, str):
        try:
            moment = datetime.fromisoformat(moment)
        except ValueError:
            return None
    if moment is None:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def happened(event: Event) -> float:
    """When it happened, else when it was taken in."""
    return seconds(event.time) or seconds(event.recordedtime) or 0.0
