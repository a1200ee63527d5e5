"""What the hub consists of and how it is: plants, adapters, routes. Never an option, so never a secret."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any
from urllib.parse import urlencode

import apsw
from fastapi import APIRouter, Depends, Request
from msgspec import structs
from starlette.responses import Response

from canonical.ports import Transaction
from canonical.rate import format_rate
from gateway.api.answers import ERRORS, json, moment
from gateway.api.services import answered
from gateway.auth import ADMIN, READ, Principal, forbidden, hub_of, require
from gateway.hub import Adapter, Hub
from gateway.metrics import Snapshot
from gateway.projections.services import questions
from router import shadow
from router.engine import Engine

__all__ = ["api"]

api = APIRouter(tags=["topology"], responses=ERRORS)

Reader = Annotated[Principal, Depends(require(READ))]
_FRESH_S = 1.0


@api.get("/v1/plants", summary="The plants")
async def plants(request: Request, principal: Reader) -> Response:
    """Those of the key: their adapters, what other systems call them (`codes`), and how much the normalised
    services know of them (`counts`, of the key's domains only)."""
    hub = hub_of(request)
    await hub.services.caught_up()
    counts = await hub.services.read(partial(_counted, hub, principal))
    codes = await hub.crosswalks.list(domain="plant", status="approved")
    items = [
        {
            "plant": name,
            "name": plant.name,
            "timezone": str(plant.timezone),
            "legal_entity": plant.legal_entity,
            "adapters": sorted(each.name for each in hub.adapters.values() if each.plant == name),
            "codes": [{"system": row.system, "code": row.value} for row in codes if row.canonical == name],
            "counts": {what: of.get(name, 0) for what, of in counts.items()},
            "links": {what: f"/v1/{what}?{urlencode({'plant': name})}" for what in counts},
        }
        for name, plant in hub.deployment.plants.items()
        if principal.sees(name)
    ]
    return answered(request, {"items": items, "next": None})


def _counted(hub: Hub, principal: Principal, connection: apsw.Connection) -> dict[str, dict[str, int]]:
    """How many things each service that the key may see has, by plant."""
    return {
        name: questions.counted(connection, service, "plant")
        for name, service in hub.services.services.items()
        if principal.domains is None or service.domain in principal.domains
    }


@api.get("/v1/adapters", summary="The adapters and their health")
async def adapters(request: Request, principal: Reader) -> Response:
    """`connected`, `data_flowing` and `last_good_at` are three facts: a connection may be up while no data
    comes. Adapters that belong to no plant are only for keys of all plants."""
    hub = hub_of(request)
    items = [_adapter(hub, each) for each in hub.adapters.values() if principal.sees(each.plant)]
    return json({"items": items, "next": None})


def _adapter(hub: Hub, each: Adapter) -> dict[str, Any]:
    health, settings = each.health, each.config
    return {
        "name": each.name,
        "kind": settings.kind,
        "plant": each.plant,
        "partner": settings.partner,
        "format": settings.format.kind if settings.format else None,
        "owner": settings.owner,
        "source": each.source_id,
        "receives": each.source is not None,
        "delivers": each.sink is not None,
        "connected": health.connected,
        "data_flowing": health.flowing(hub.clock()),
        "last_good_at": health.last_good_at,
        "fresh_within_s": health.fresh_within_s,
        "detail": health.detail,
    }


@api.get("/v1/routes", summary="The routes, their state and backlog")
async def routes(request: Request, principal: Reader) -> Response:
    """`state` is `flowing` or `paused` (its target is away; it drains by itself). `backlog` is per
    plant, `-` is none; `parked` and `dead_letters` count what is of the key's plants. `guarantee` is worked
    out of what its sources, the journal and its target can do: `because` says what keeps it from being
    better, `provided` what it rests on."""
    hub = hub_of(request)
    await hub.metrics.refresh(hub, younger_than_s=_FRESH_S)
    shadows = await hub.journal.read(partial(_shadows, hub))
    items = [
        _route(hub, name, engine)
        | _counts(hub.metrics.snapshot, name, principal)
        | {"mode": "shadow" if name in shadows else "live", "shadow": shadows.get(name)}
        for name, engine in hub.engines.items()
        if principal.plants is None
        or not engine.route.plants
        or not principal.plants.isdisjoint(engine.route.plants)
    ]
    return json({"items": items, "next": None})


def _shadows(hub: Hub, transaction: Transaction) -> dict[str, dict[str, Any]]:
    """What the routes in a shadow have recorded."""
    found = {}
    for name, route in hub.deployment.routes.items():
        if route.mode == "shadow":
            number, newest = shadow.recorded(transaction, name)
            found[name] = {"recorded": number, "newest_at": moment(newest)}
    return found


def _counts(snapshot: Snapshot, route: str, principal: Principal) -> dict[str, Any]:
    def seen(plant: str, of: str) -> bool:
        return of == route and principal.sees(None if plant == "-" else plant)

    waiting = [entry for entry in snapshot.backlog if seen(entry.plant, entry.route)]
    return {
        "backlog": [
            {"plant": entry.plant, "events": entry.events, "oldest_at": entry.oldest_at} for entry in waiting
        ],
        "oldest_at": min((entry.oldest_at for entry in waiting if entry.oldest_at), default=None),
        "parked": sum(
            rows for plant, of, state, rows in snapshot.lanes if state == "parked" and seen(plant, of)
        ),
        "dead_letters": sum(number for plant, of, number in snapshot.dead_letters if seen(plant, of)),
    }


def _route(hub: Hub, name: str, engine: Engine) -> dict[str, Any]:
    status, written = engine.status, hub.deployment.routes.get(name)
    guarantee = hub.guarantees.get(name)
    target = hub.deployment.adapters.get(engine.route.to)
    return {
        "name": name,
        "on": sorted(engine.route.types),
        "plants": sorted(engine.route.plants) or None,
        "when": written.when if written else None,
        "to": engine.route.to,
        "owner": engine.route.owner or None,
        "guarantee": structs.asdict(guarantee) if guarantee else None,
        "require": written.require if written else None,
        "priority": written.priority if written else "normal",
        "rate": format_rate(target.rate) if target and target.rate else None,
        "state": status.state,
        "reason": status.reason,
        "paused_for_s": status.paused_for_s,
        "probe_in_s": status.probe_in_s,
        "cursor": status.cursor,
        "head": hub.journal.head,
        "waiting": status.waiting,
        "in_flight": status.in_flight,
        "lagging": status.lagging,
    }


@api.post("/v1/routes/{name}/forget", status_code=204, summary="Give up the place of a removed route")
async def forget(
    request: Request, principal: Annotated[Principal, Depends(require(ADMIN))], name: str
) -> Response:
    """For a route that is configured no more: its cursor would hold history back for ever. 404 when it is
    configured, unknown, or still has something in its lanes."""
    if not principal.everywhere:
        raise forbidden("a route is forgotten by admins of all plants and domains")
    await hub_of(request).forget_route(name, by=principal.name)
    return Response(status_code=204)
