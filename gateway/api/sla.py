"""GET /v1/sla: how long messages take, what fails, what waits.

Counted in memory since the hub started. What is missing until service levels are kept over their
windows: compliance and budget left, figures that outlive a restart, and figures of one window.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from gateway.api.answers import ERRORS, json
from gateway.auth import READ, Principal, forbidden, hub_of, require
from gateway.hub import Hub
from gateway.metrics import CLOCKS, Metrics, Snapshot
from gateway.problems import Problem

__all__ = ["api"]

api = APIRouter(tags=["service levels"], responses=ERRORS)

Reader = Annotated[Principal, Depends(require(READ))]
_SHARES = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
_FRESH_S = 1.0


@api.get("/v1/sla", summary="Latency, failures and backlog")
async def sla(request: Request, principal: Reader) -> Response:
    """`latency` is per plant, domain and route, by two clocks: `pipeline` from recording, `end_to_end` from
    the event's own time, until the target had it; percentiles are in milliseconds, at most 15 % off, null
    where nothing was delivered. `routes` is per plant and route: deliveries, `failed_rate` (dead-lettered ÷
    ended, null when none ended), what waits. The plant `-` is none. Since the hub started; compliance with
    the configured service levels is not here yet."""
    return json(await _figures(hub_of(request), principal, None))


@api.get("/v1/sla/{plant}", summary="The same for one plant")
async def sla_of(request: Request, principal: Reader, plant: str) -> Response:
    """404 for a plant that is not configured; `-` is none."""
    hub = hub_of(request)
    if plant != "-" and plant not in hub.deployment.plants:
        raise Problem(404, "not_found", f"there is no plant {plant!r}")
    if not principal.sees(None if plant == "-" else plant):
        raise forbidden(f"the key is not for plant {plant!r}")
    return json(await _figures(hub, principal, plant))


async def _figures(hub: Hub, principal: Principal, plant: str | None) -> dict[str, Any]:
    await hub.metrics.refresh(hub, younger_than_s=_FRESH_S)

    def wanted(of: str, domain: str | None = None) -> bool:
        return plant in {None, of} and principal.sees(None if of == "-" else of, domain)

    latency = [row for row in _latency(hub.metrics) if wanted(row["plant"], row["domain"])]
    routes = [row for row in _routes(hub.metrics) if wanted(row["plant"])]
    return {"since": hub.started_at, "at": hub.metrics.snapshot.at, "latency": latency, "routes": routes}


def _latency(metrics: Metrics) -> list[dict[str, Any]]:
    labels = sorted({(plant, domain, route) for plant, domain, route, _ in metrics.latency})
    return [
        {"plant": plant, "domain": domain, "route": route}
        | {clock: _percentiles(metrics, plant, domain, route, clock) for clock in CLOCKS}
        for plant, domain, route in labels
    ]


def _percentiles(metrics: Metrics, plant: str, domain: str, route: str, clock: Any) -> dict[str, Any] | None:
    histogram = metrics.latency.get((plant, domain, route, clock))
    if histogram is None:
        return None
    percentiles = {
        f"{name}_ms": None if (value := histogram.percentile_s(share)) is None else round(value * 1000, 3)
        for name, share in _SHARES
    }
    return {"count": histogram.count, **percentiles}


def _routes(metrics: Metrics) -> list[dict[str, Any]]:
    snapshot = metrics.snapshot
    places = {(plant, route) for plant, route, _ in metrics.deliveries}
    places |= {(entry.plant, entry.route) for entry in snapshot.backlog}
    places |= {(plant, route) for plant, route, _, _ in snapshot.lanes}
    places |= {(plant, route) for plant, route, _ in snapshot.dead_letters}
    return [_route(metrics, snapshot, plant, route) for plant, route in sorted(places)]


def _route(metrics: Metrics, snapshot: Snapshot, plant: str, route: str) -> dict[str, Any]:
    delivered = metrics.deliveries[plant, route, "delivered"]
    failed = metrics.deliveries[plant, route, "dead_lettered"]
    waiting = next(
        (entry for entry in snapshot.backlog if (entry.plant, entry.route) == (plant, route)), None
    )
    oldest = waiting.oldest_at if waiting else None
    return {
        "plant": plant,
        "route": route,
        "delivered": delivered,
        "failed": failed,
        "failed_rate": failed / (delivered + failed) if delivered + failed else None,
        "backlog": waiting.events if waiting else 0,
        "oldest_age_s": None if oldest is None else max((snapshot.at - oldest).total_seconds(), 0.0),
        "parked": sum(
            rows for of, on, state, rows in snapshot.lanes if (of, on, state) == (plant, route, "parked")
        ),
        "dead_letters": sum(number for of, on, number in snapshot.dead_letters if (of, on) == (plant, route)),
    }
