"""Lanes, adapters and routes: plain lists."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import Query
from starlette.responses import RedirectResponse, Response

from canonical.event import decode
from canonical.ports import Transaction
from gateway.api.lanes import sees_lane
from gateway.auth import OPERATE, forbidden
from gateway.console.guard import room
from gateway.console.pages import page
from gateway.console.state import route_rows, tiles
from gateway.console.visitor import Acting, Looking
from gateway.problems import Problem
from router import lanes as kept
from router.lanes import Lane

__all__ = ["api"]

api = room()

_LISTED: Final = 200
_FRESH_S: Final = 1.0
_Text = Annotated[str, Query(max_length=200)]
_Key = Annotated[str, Query(max_length=2000)]


@api.get("/lanes")
async def lanes(visitor: Looking, route: _Text = "", released: _Text = "") -> Response:
    """Blocked keys, those blocked longest first."""
    plants = None if visitor.principal.plants is None else sorted(visitor.principal.plants)

    def work(transaction: Transaction) -> list[Lane]:
        return kept.page(transaction, route=route or None, plants=plants, limit=_LISTED)

    found = [lane for lane in await visitor.hub.journal.read(work) if sees_lane(visitor.principal, lane.head)]
    return page(
        visitor,
        "lanes.html",
        room="/lanes",
        lanes=[(lane, decode(lane.head.event)) for lane in found],
        route=route,
        released=released,
        full=len(found) >= _LISTED,
        most=_LISTED,
        why_not=visitor.why_not(OPERATE),
    )


@api.get("/lanes/waiting")
async def waiting(visitor: Looking, route: _Text, key: _Key) -> Response:
    """What waits in one lane, in its order."""
    rows = await visitor.hub.journal.read(lambda t: kept.heads(t, route, key, _LISTED))
    if not rows:
        raise _free(route, key)
    if not sees_lane(visitor.principal, rows[0]):
        raise forbidden("the lane is of a plant or domain that is not the key's")
    return page(
        visitor,
        "lane.html",
        room="/lanes",
        rows=[(row, decode(row.event)) for row in rows if sees_lane(visitor.principal, row)],
        route=route,
        key=key,
        full=len(rows) >= _LISTED,
        most=_LISTED,
    )


def _free(route: str, key: str) -> Problem:
    text = f"nothing with the key {key!r} is blocked on route {route!r} any more"
    return Problem(404, "not_found", text)


@api.post("/lanes/release")
async def release(visitor: Acting) -> Response:
    """Lets a blocked key try again."""
    visitor.need(OPERATE)
    route, key = visitor.fields.get("route", ""), visitor.fields.get("key", "")
    heads = await visitor.hub.journal.read(lambda t: kept.heads(t, route, key, 1))
    if not heads:
        raise _free(route, key)
    if not sees_lane(visitor.principal, heads[0]):
        raise forbidden("the lane is of a plant or domain that is not the key's")
    await visitor.hub.lanes_release(route, key, by=visitor.principal.name, reason=visitor.reason)
    return RedirectResponse("/lanes?released=1", 303)


@api.get("/adapters")
async def adapters(visitor: Looking) -> Response:
    """The adapters and how they do."""
    await visitor.hub.metrics.refresh(visitor.hub, younger_than_s=_FRESH_S)
    found = tiles(visitor.hub, visitor.principal)
    accepted: dict[str, Any] = {}
    for (_, adapter, _), events in visitor.hub.metrics.accepted.items():
        accepted[adapter] = accepted.get(adapter, 0) + events
    formats = {
        name: adapter.config.format.kind if adapter.config.format else ""
        for name, adapter in visitor.hub.adapters.items()
    }
    return page(
        visitor, "adapters.html", room="/adapters", adapters=found, accepted=accepted, formats=formats
    )


@api.get("/routes")
async def routes(visitor: Looking) -> Response:
    """The routes and what waits on each."""
    await visitor.hub.metrics.refresh(visitor.hub, younger_than_s=_FRESH_S)
    found = route_rows(visitor.hub, visitor.principal)
    delivered: dict[str, int] = {}
    for (plant, route, outcome), count in visitor.hub.metrics.deliveries.items():
        if outcome == "delivered" and visitor.principal.sees(None if plant == "-" else plant):
            delivered[route] = delivered.get(route, 0) + count
    return page(visitor, "routes.html", room="/routes", routes=found, delivered=delivered)
