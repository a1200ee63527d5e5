"""The sink of a route in ``mode: shadow``: writes down what would have been delivered, and delivers nothing.

A row goes with its journal: what was recorded before the oldest event that is still there is removed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from msgspec import Struct, json, msgpack

from canonical.errors import CrossplantError, PermanentError
from canonical.event import Event
from canonical.ports import Accepted, Delivery, SinkOutcome, Store, Transaction
from canonical.spec import SinkTraits
from router.crosswalk import Crosswalk
from router.enrichment import Bare, Known, NotKnown, Question
from router.routes import Route, idempotency_key

__all__ = [
    "FAILURE",
    "SHADOW",
    "SHADOW_TRAITS",
    "TABLES",
    "ShadowSink",
    "Shadowed",
    "SilentObserver",
    "find",
    "recorded",
    "shadowed",
    "tidy",
]

SHADOW: Final = "shadow"
"""The receipt of what was recorded and not delivered."""
TABLES: Final = (
    """CREATE TABLE IF NOT EXISTS shadows (
        route TEXT NOT NULL, key TEXT NOT NULL, at REAL NOT NULL, content_type TEXT NOT NULL,
        target BLOB NOT NULL, payload BLOB NOT NULL, PRIMARY KEY (route, key)) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS shadows_by_age ON shadows (at)",
    "CREATE INDEX IF NOT EXISTS shadows_by_route ON shadows (route, at)",
)
SHADOW_TRAITS: Final = SinkTraits(ordered=True, max_batch=200)
FAILURE: Final = "application/vnd.crossplant.failure+json"
"""The content type of what would have failed: ``{"code", "error"}``."""
_AT_ONCE: Final = 500


class Shadowed(Struct, frozen=True, kw_only=True):
    """A delivery that was not made. ``at``: seconds since 1970 UTC."""

    at: float
    content_type: str
    target: dict[str, Any]
    payload: bytes


class _ShadowRoute(Route, frozen=True, kw_only=True):
    """A route whose mapping's failures are recorded like the rest: no lane, no dead letter, nobody called."""

    def deliver(self, event: Event, crosswalk: Crosswalk, attempt: int = 1) -> Delivery | None:
        """See ``Route.deliver``; raises nothing."""
        try:
            return super().deliver(event, crosswalk, attempt)
        except PermanentError as error:
            return self._failure(event, attempt, error)

    def complete(self, bare: Bare, known: Mapping[Question, Known | None], crosswalk: Crosswalk) -> Delivery:
        """See ``Route.complete``; raises nothing. A live route would wait for what is not known yet."""
        try:
            return super().complete(bare, known, crosswalk)
        except (PermanentError, NotKnown) as error:
            return self._failure(bare.event, bare.attempt, error)

    def _failure(self, event: Event, attempt: int, error: CrossplantError) -> Delivery:
        return Delivery(
            event=event,
            payload=json.encode({"code": error.code, "error": error.message}),
            content_type=FAILURE,
            key=self.key(event),
            idempotency_key=idempotency_key(self.name, event),
            attempt=attempt,
        )


def shadowed(route: Route) -> Route:
    """The route as it runs in a shadow."""
    return _ShadowRoute(**{name: getattr(route, name) for name in route.__struct_fields__})


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


def recorded(transaction: Transaction, route: str) -> tuple[int, float | None]:
    """(how many are there, when the newest was recorded)."""
    (found,) = transaction.execute("SELECT count(*), max(at) FROM shadows WHERE route = ?", (route,))
    return found[0], found[1]


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
