"""The sink of a route in ``mode: shadow``: writes down what would have been delivered, and delivers nothing.

A row goes with its journal: what was recorded before the oldest event that is still there is removed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

from msgspec import Struct, msgpack

from canonical.event import Event
from canonical.ports import Accepted, Delivery, SinkOutcome, Store, Transaction

__all__ = ["SHADOW", "TABLES", "ShadowSink", "Shadowed", "SilentObserver", "counts", "find", "tidy"]

SHADOW: Final = "shadow"
"""The receipt of what was recorded and not delivered."""
TABLES: Final = (
    """CREATE TABLE IF NOT EXISTS shadows (
        route TEXT NOT NULL, key TEXT NOT NULL, at REAL NOT NULL, content_type TEXT NOT NULL,
        target BLOB NOT NULL, payload BLOB NOT NULL, PRIMARY KEY (route, key)) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS shadows_by_age ON shadows (at)",
)
_AT_ONCE: Final = 500


class Shadowed(Struct, frozen=True, kw_only=True):
    """A delivery that was not made. ``at``: seconds since 1970 UTC."""

    at: float
    content_type: str
    target: dict[str, Any]
    payload: bytes


class ShadowSink:
    """In the place of the real one, over which nothing goes out."""

    def __init__(self, route: str, store: Store, clock: Callable[[], datetime]) -> None:
        self._route, self._store, self._clock = route, store, clock

    async def open(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to close."""

    async def send(self, deliveries: Sequence[Delivery]) -> Sequence[SinkOutcome]:
        """Durable when it returns. Raises StorageError, upon which it is tried again like any other."""
        at = self._clock().timestamp()
        rows = [
            (self._route, one.idempotency_key, at, one.content_type, msgpack.encode(one.target), one.payload)
            for one in deliveries
        ]

        def work(transaction: Transaction) -> None:
            for row in rows:
                transaction.execute("INSERT OR REPLACE INTO shadows VALUES (?, ?, ?, ?, ?, ?)", row)

        await self._store.write(work)
        return [Accepted(SHADOW)] * len(deliveries)


class SilentObserver:
    """Counts nothing: a shadow is neither a delivery nor late."""

    def delivered(self, route: str, events: Sequence[Event], at: datetime) -> None:
        """See ``router.status.Observer``."""

    def ended(self, route: str, event: Event, outcome: str) -> None:
        """See ``router.status.Observer``."""


def find(transaction: Transaction, route: str, key: str) -> Shadowed | None:
    """What was recorded under an idempotency key."""
    rows = transaction.execute(
        "SELECT at, content_type, target, payload FROM shadows WHERE route = ? AND key = ?", (route, key)
    )
    if not rows:
        return None
    at, content_type, target, payload = rows[0]
    return Shadowed(at=at, content_type=content_type, target=msgpack.decode(target), payload=payload)


def counts(transaction: Transaction) -> dict[str, tuple[int, float]]:
    """By route: how many are there, and when the newest was recorded."""
    rows = transaction.execute("SELECT route, count(*), max(at) FROM shadows GROUP BY route")
    return {route: (number, newest) for route, number, newest in rows}


def tidy(transaction: Transaction) -> int:
    """Removes some of those whose journal has gone; how many."""
    gone = transaction.execute(
        "SELECT route, key FROM shadows WHERE at < coalesce("
        "(SELECT committed_at FROM bundles ORDER BY first LIMIT 1), 0) ORDER BY at LIMIT ?",
        (_AT_ONCE,),
    )
    for row in gone:
        transaction.execute("DELETE FROM shadows WHERE route = ? AND key = ?", row)
    return len(gone)
