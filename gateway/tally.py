"""The numbers that a hub shows of itself at a glance."""

from __future__ import annotations

from msgspec import Struct

from gateway.runtime import Hub

__all__ = ["Tally", "tally"]

_FRESH_S = 1.0
_PERCENTILES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}


class Tally(Struct, frozen=True, kw_only=True):
    """Since the hub started: events taken in by kind of adapter and by format, deliveries by route, and
    the time from taking in to delivered in milliseconds. Now: what waits, is parked, is a dead letter.

    ``backlog`` counts what is on its way, retries included; ``parked`` what waits for a person, with
    what waits behind it.
    """

    by_adapter: dict[str, int]
    by_format: dict[str, int]
    delivered: dict[str, int]
    latency_ms: dict[str, float | None]
    backlog: int
    parked: int
    dead_letters: int


async def tally(hub: Hub, *, younger_than_s: float = _FRESH_S) -> Tally:
    """The numbers now; what waits may be as old as said."""
    metrics = hub.metrics
    await metrics.refresh(hub, younger_than_s=younger_than_s)
    snapshot = metrics.snapshot
    latency = metrics.latency_of("pipeline")
    rows = dict.fromkeys(("retrying", "parked", "dead", "waiting"), 0)
    for _, _, state, number in snapshot.lanes:
        rows[state] += number
    return Tally(
        by_adapter=dict(sorted(metrics.accepted_by_adapter().items())),
        by_format=dict(sorted(metrics.accepted_by_format().items())),
        delivered=dict.fromkeys(hub.engines, 0) | metrics.delivered_by_route(),
        latency_ms={name: _milliseconds(latency.percentile_s(share)) for name, share in _PERCENTILES.items()},
        backlog=sum(waiting.events for waiting in snapshot.backlog) + rows["retrying"],
        parked=rows["parked"],
        dead_letters=sum(number for _, _, number in snapshot.dead_letters),
    )


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 2)
