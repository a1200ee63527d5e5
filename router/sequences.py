"""Gaps in what a source numbers: kept with the events that show them, told by an event of the hub's.

A source that gives ``sequence`` says which of its events is which; one that does not come is noticed when a
later one does. Nothing waits for it. Comes it late, it is recorded like any other, and fills its gap.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from msgspec import Struct

from canonical import catalogue
from canonical.event import Event, utc_now
from canonical.ports import Transaction
from router.notices import HUB

__all__ = ["TABLES", "Gap", "hear", "mark_told", "numbered", "told", "untold"]

TABLES = (
    """CREATE TABLE IF NOT EXISTS sequences (
        source TEXT PRIMARY KEY, last INTEGER NOT NULL, heard_at REAL NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS sequence_gaps (
        source TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, plant TEXT NOT NULL,
        from_at REAL NOT NULL, to_at REAL NOT NULL, filled INTEGER NOT NULL, told INTEGER NOT NULL,
        PRIMARY KEY (source, first)) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS sequence_gaps_untold ON sequence_gaps (source) WHERE told = 0",
)

_TOLD_BY = "telemetry.source.changed"


class Gap(Struct, frozen=True, kw_only=True):
    """Sequence numbers that did not come, both included; times are seconds since 1970 UTC."""

    source: str
    first: int
    last: int
    plant: str
    from_at: float
    to_at: float


def numbered(events: Iterable[Event]) -> list[Event]:
    """The events with a sequence number that can be counted."""
    return [event for event in events if event.sequence is not None and event.sequence.isdecimal()]


def hear(transaction: Transaction, events: Iterable[Event], at: float) -> bool:
    """Takes note of new events in their order; returns whether one was missing before one of them."""
    found = False
    for event in events:
        number = int(event.sequence or 0)
        row = transaction.execute("SELECT last, heard_at FROM sequences WHERE source = ?", (event.source,))
        last, heard_at = row[0] if row else (number - 1, at)
        if number > last + 1:
            transaction.execute(
                "INSERT OR REPLACE INTO sequence_gaps VALUES (?, ?, ?, ?, ?, ?, 0, 0)",
                (event.source, last + 1, number - 1, event.plantid or "", heard_at, at),
            )
            found = True
        elif number <= last:
            transaction.execute(
                "UPDATE sequence_gaps SET filled = filled + 1 WHERE source = ?1 AND last >= ?2 AND first = "
                "(SELECT max(first) FROM sequence_gaps WHERE source = ?1 AND first <= ?2)",
                (event.source, number),
            )
        transaction.execute(
            "INSERT OR REPLACE INTO sequences VALUES (?, ?, ?)", (event.source, max(last, number), at)
        )
    return found


def untold(transaction: Transaction) -> list[Gap]:
    """The gaps that nobody was told of yet."""
    rows = transaction.execute(
        "SELECT source, first, last, plant, from_at, to_at FROM sequence_gaps WHERE told = 0"
    )
    return [Gap(**dict(zip(Gap.__struct_fields__, row, strict=True))) for row in rows]


def mark_told(transaction: Transaction, gaps: Iterable[Gap]) -> None:
    """For the transaction that publishes them."""
    for gap in gaps:
        transaction.execute(
            "UPDATE sequence_gaps SET told = 1 WHERE source = ? AND first = ?", (gap.source, gap.first)
        )


def told(gap: Gap) -> Event:
    """``telemetry.source.changed`` with the gap; ``last_seq`` is the number before it."""
    times = [datetime.fromtimestamp(at, UTC).isoformat() for at in (gap.from_at, gap.to_at)]
    data = {
        "status": "online",
        "session": gap.source,
        "last_seq": max(gap.first - 1, 0),
        "gap": {"from": times[0], "to": times[1], "reason": f"sequence {gap.first}–{gap.last} did not come"},
    }
    kind, now, identifier = catalogue.get(_TOLD_BY), utc_now(), f"gap-{gap.source}-{gap.first}"
    plant = gap.plant or None
    return Event(
        id=identifier,
        source=f"{HUB}/sequences",
        type=kind.name,
        time=now,
        recordedtime=now,
        subject=gap.source,
        plantid=plant,
        domain=kind.domain,
        partitionkey=catalogue.partition_key(_TOLD_BY, data, plant, gap.source),
        srcmsgid=identifier,
        data=data,
    )
