"""What has not ended, or has ended badly: events that wait, deliveries that are parked, dead letters.

Waiting is what moves by itself: what a route has not taken yet or has under way, what it tries again,
and what waits behind these. Parked and dead-lettered are apart, with what they hold back: a person is
to move them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from canonical import catalogue
from canonical.ports import Transaction
from gateway.sla.figures import NONE

if TYPE_CHECKING:
    from gateway.hub import Hub

__all__ = ["Failure", "Open", "Unfinished", "failures", "in_lanes", "on_their_way"]

_BLOCKED: Final = {"parked": "parked", "dead": "dead_lettered"}


class Open(Struct, frozen=True):
    """Events of one plant, domain and route that were recorded at a time (seconds since 1970 UTC).

    ``state``: waiting; parked or dead_lettered; held_back by one of these. ``events`` is more than 1 where a
    route that lags has not read a bundle yet: its events count as recorded with the oldest of it.
    """

    plant: str
    domain: str
    route: str
    state: str
    recorded_at: float
    events: int = 1


class Failure(Struct, frozen=True):
    """A posting that failed for good. ``at``: when it ended, seconds since 1970 UTC; ``dead``: as a dead
    letter, else it expired or was discarded at once."""

    plant: str
    domain: str
    route: str
    at: float


class Unfinished(Struct, frozen=True):
    """Everything that is open, and the failures since a time."""

    open: tuple[Open, ...] = ()
    failed: tuple[Failure, ...] = ()


async def on_their_way(hub: Hub) -> list[Open]:
    """What the routes have not settled."""
    found: list[Open] = []
    for name, engine in list(hub.engines.items()):
        found += [
            Open(event.plantid or NONE, event.domain or NONE, name, "waiting", event.recordedtime.timestamp())
            for event in engine.waiting_events()
            if event.recordedtime is not None
        ]
        if engine.feed.lagging:
            route = engine.route
            for header in await hub.journal.headers(engine.feed.reached):
                found += [
                    Open(plant, catalogue.get(kind).domain, name, "waiting", header.recorded_at, number)
                    for plant, types in header.counts.items()
                    if not route.plants or plant in route.plants
                    for kind, number in types.items()
                    if kind in route.types
                ]
    return found


def in_lanes(transaction: Transaction) -> list[Open]:
    """What the lanes hold. What stands behind a parked or dead head is held back by it."""
    rows = transaction.execute(
        "SELECT route, key, state, plant, json_extract(CAST(event AS TEXT), '$.domain'), "
        "json_extract(CAST(event AS TEXT), '$.recordedtime'), entered_at FROM lanes "
        "ORDER BY route, key, position"
    )
    found: list[Open] = []
    lane, head = ("", ""), ""
    for route, key, state, plant, domain, recorded, entered_at in rows:
        if (route, key) != lane:
            lane, head = (route, key), state
        shown = _BLOCKED.get(state) or ("held_back" if head in _BLOCKED else "waiting")
        at = datetime.fromisoformat(recorded).timestamp() if recorded else entered_at
        found.append(Open(plant or NONE, domain or NONE, route, shown, at))
    return found


def failures(transaction: Transaction, since: float) -> list[Failure]:
    """Postings that ended as a dead letter, or were given up, since a time.

    One posting is one row, by its idempotency key (route and event). One that was delivered after all is no
    failure; one that a person has asked to try again is one until it is delivered.
    """
    rows = transaction.execute(
        "SELECT plant, json_extract(CAST(event AS TEXT), '$.domain'), route, last_at FROM dead_letters "
        "WHERE kind = 'delivery' AND status != 'recovered' AND last_at >= ?",
        (since,),
    )
    return [Failure(plant or NONE, domain or NONE, route, at) for plant, domain, route, at in rows]


def counted(failed: Iterable[Failure], since: float) -> Mapping[tuple[str, str, str], int]:
    """How many by (plant, domain, route) ended since a time."""
    sums: dict[tuple[str, str, str], int] = {}
    for failure in failed:
        if failure.at >= since:
            key = (failure.plant, failure.domain, failure.route)
            sums[key] = sums.get(key, 0) + 1
    return sums
