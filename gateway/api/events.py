"""GET /v1/events: what was said, by position, by identity, and by what people call it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from msgspec import structs
from starlette.responses import Response

from canonical.event import Event
from canonical.ports import Recorded
from gateway import reading
from gateway.api.answers import ERRORS, Cursor, Limit, json, moment, next_link, position_cursor
from gateway.auth import READ, Principal, forbidden, hub_of, require
from gateway.hub import Hub
from gateway.problems import Problem
from gateway.projections.search import Filters, Hit
from gateway.selection import Moment, Selection, filters_of

__all__ = ["Position", "api", "event_for", "sees_event", "shown", "visible"]

api = APIRouter(tags=["events"], responses=ERRORS)

Reader = Annotated[Principal, Depends(require(READ))]
Position = Annotated[int, Path(ge=1, lt=2**63, description="The event's place in the journal.")]
_JSON = "application/json"


@api.get("/v1/events", summary="Events, oldest first")
async def events(
    request: Request,
    principal: Reader,
    selection: Annotated[Selection, Depends()],
    since: Annotated[Moment | None, Query(description="Recorded then or later.")] = None,
    until: Annotated[Moment | None, Query(description="Recorded then or earlier.")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """CloudEvents with their `position`, ascending. Goes on with `Link: rel=next`. Everything that was
    committed before the question is in the answer."""
    hub = hub_of(request)
    filters = filters_of(selection, principal, since, until)
    positions = await hub.search.page(filters, after=position_cursor(cursor) or 0, limit=limit + 1)
    more, positions = len(positions) > limit, positions[:limit]
    found = await reading.those(hub.journal, positions)
    following = str(positions[-1]) if more else None
    headers = {"Link": next_link(request, following)} if following else None
    body = reading.together((reading.as_json(item) for item in found), following)
    return Response(body, headers=headers, media_type=_JSON)


@api.get("/v1/events/lookup", summary="The event of a source with an id")
async def lookup(
    request: Request,
    principal: Reader,
    source: Annotated[str, Query(max_length=1024)],
    id: Annotated[str, Query(max_length=1024)],
) -> Response:
    """404 when it was never taken in, or the retention has removed it."""
    hub = hub_of(request)
    position = await hub.search.lookup(source, id)
    if position is None:
        raise Problem(404, "not_found", f"no event {id!r} of {source!r} is here")
    return Response(reading.as_json(await event_for(hub, principal, position)), media_type=_JSON)


@api.get("/v1/search", summary="Find events by position, event id or business key")
async def search(
    request: Request,
    principal: Reader,
    q: Annotated[str, Query(min_length=1, max_length=1024, description="An order, a lot, an ASN, an SSCC …")],
    limit: Limit = 100,
) -> Response:
    """Newest first, without the events' data."""
    hits = await hub_of(request).search.find(q.strip(), seen=visible(principal), limit=limit)
    return json({"items": [shown(hit) for hit in hits], "next": None})


@api.get("/v1/events/{position}", summary="One event")
async def event(request: Request, principal: Reader, position: Position) -> Response:
    """404 when there is none, or the retention has removed it."""
    return Response(reading.as_json(await event_for(hub_of(request), principal, position)), media_type=_JSON)


async def event_for(hub: Hub, principal: Principal, position: int) -> Recorded:
    """The event. Raises Problem 404, or 403 when it is of another plant or domain."""
    found = await reading.at(hub.journal, position)
    if found is None:
        raise Problem(404, "not_found", f"no event is at position {position}")
    if not sees_event(principal, found.event):
        raise forbidden("the event is of a plant or domain that is not the key's")
    return found


def sees_event(principal: Principal, event: Event) -> bool:
    """Whether the event is of the key's plants and domains."""
    return principal.sees(event.plantid, event.domain or "-")


def visible(principal: Principal) -> Filters:
    """Everything that the key may see."""
    return Filters(plants=principal.plants, domains=principal.domains)


def shown(hit: Hit) -> dict[str, Any]:
    """What the index knows of an event."""
    plant = None if hit.plant == "-" else hit.plant
    names = {"plantid": plant, "recordedtime": moment(hit.recorded_at), "time": moment(hit.time)}
    kept = {
        name: value
        for name, value in structs.asdict(hit).items()
        if name not in {"plant", "recorded_at", "time"}
    }
    return kept | names
