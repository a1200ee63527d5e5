"""GET /v1/sla: how long messages take, what fails, what waits, and what is left of what was promised."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from canonical.duration import parse_duration
from gateway import sla as levels
from gateway.api.answers import ERRORS, json
from gateway.auth import READ, Principal, forbidden, hub_of, require
from gateway.hub import Hub
from gateway.problems import Problem
from gateway.sla.buckets import MINUTE_S, SHOWN_S

__all__ = ["api"]

api = APIRouter(tags=["service levels"], responses=ERRORS)

Reader = Annotated[Principal, Depends(require(READ))]
Window = Annotated[
    str | None,
    Query(
        max_length=20,
        description="The time of `latency` and `routes`, such as 1h, 24h or 7d: 1m to 31d; default: 24h. "
        "Levels have windows of their own.",
        examples=["1h", "24h"],
    ),
]


@api.get("/v1/sla", summary="Service levels, latency, failures and backlog")
async def sla(request: Request, principal: Reader, window: Window = None) -> Response:
    """What was counted in the window, restarts or not; the window begins at a full minute (longer ones than
    two days at a full hour), `since`, so it lasts a little longer than asked.

    `latency` is per plant, domain and route, by two clocks: `pipeline` from recording, `end_to_end` from the
    event's own time, until the target had it; percentiles are in milliseconds, at most 15 % off; a clock that
    counted nothing is null. `skewed` are deliveries of events from the future, which that clock leaves out.

    `routes` is per plant and route: `failed_rate` is postings that failed for good ÷ postings that ended (a
    dead letter that was delivered after all is no failure), null when none ended. `backlog` and
    `oldest_age_s` are what waits, retries included; `parked`, `dead_letters` and what these hold back
    (`held_back`) are apart.

    `levels` are the configured service levels, each at each plant it is for, with `status` ok, attention,
    breached or null (nothing to judge by). Of `latency`: good ÷ total; the total is what was delivered and
    what is `overdue`: not delivered, no dead letter, and waiting for longer than `target_s`. A budget is how
    many of the window may fail; `burn_rate` 1 uses it up exactly; `breach_forecast_s` is how long it lasts if
    all goes on as it did recently. The plant `-` is none."""
    return json(await levels.report(hub_of(request), principal, None, _seconds(window)))


@api.get("/v1/sla/{plant}", summary="The same for one plant")
async def sla_of(request: Request, principal: Reader, plant: str, window: Window = None) -> Response:
    """404 for a plant that is not configured; `-` is none."""
    hub = hub_of(request)
    _check(hub, principal, plant)
    return json(await levels.report(hub, principal, plant, _seconds(window)))


@api.get("/v1/sla/{plant}/series", summary="The last hour at one plant, by the minute")
async def series_of(request: Request, principal: Reader, plant: str) -> Response:
    """Lists of 60, oldest first: events accepted and delivered, and the worst backlog of the minute with the
    age of its oldest; null where the hub did not run."""
    hub = hub_of(request)
    _check(hub, principal, plant)
    return json(await levels.series(hub, principal, plant))


def _check(hub: Hub, principal: Principal, plant: str) -> None:
    if plant != "-" and plant not in hub.deployment.plants:
        raise Problem(404, "not_found", f"there is no plant {plant!r}")
    if not principal.sees(None if plant == "-" else plant):
        raise forbidden(f"the key is not for plant {plant!r}")


def _seconds(window: str | None) -> float | None:
    if window is None:
        return None
    try:
        seconds = parse_duration(window)
        if not MINUTE_S <= seconds <= SHOWN_S:
            raise ValueError(f"{window!r} is not between 1m and 31d")
    except ValueError as error:
        raise Problem(422, "invalid", str(error), errors=[("/query/window", str(error))]) from error
    return seconds
