"""The timeline of one thing: every event that names it, each with its way, on one line in time."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import Path, Query
from msgspec import Struct
from starlette.responses import Response

from gateway import reading
from gateway.api.events import event_for, sees_event, visible
from gateway.api.timeline import sees_raw
from gateway.auth import forbidden
from gateway.console.guard import room
from gateway.console.pages import page
from gateway.console.steps import Way, way_of
from gateway.console.visitor import Looking
from gateway.problems import Problem

__all__ = ["api"]

api = room()

_MOST = 15
_GAP_S = 30.0
Position = Annotated[int, Path(ge=1, lt=2**63)]


class Gap(Struct, frozen=True):
    """Nothing was heard of it for so long."""

    seconds: float


@api.get("/search")
async def search(
    visitor: Looking,
    q: Annotated[str, Query(max_length=1024)] = "",
    before: Annotated[int | None, Query(ge=1)] = None,
) -> Response:
    """All that is known under a business key, an event's id or a position."""
    text, hub = q.strip(), visitor.hub
    if not text:
        return page(visitor, "search.html", room="/search", q="", line=[], more=0, plants=set())
    hits = await hub.search.find(text, seen=visible(visitor.principal), limit=1000)
    wanted = [hit for hit in hits if before is None or hit.position < before]
    positions = sorted(hit.position for hit in wanted[:_MOST])
    items = await reading.those(hub.journal, positions)
    ways = [
        await way_of(hub, visitor.principal, item)
        for item in items
        if sees_event(visitor.principal, item.event)
    ]
    return page(
        visitor,
        "search.html",
        room="/search",
        q=text,
        line=_line(ways),
        more=max(len(wanted) - _MOST, 0),
        oldest=positions[0] if positions else 0,
        found=len(hits),
        several=len(ways) > 1,
        plants={hit.plant for hit in hits},
    )


def _line(ways: list[Way]) -> list[Way | Gap]:
    """The ways in order, with the gaps between them."""
    line: list[Way | Gap] = []
    last: datetime | None = None
    for way in sorted(ways, key=lambda way: (way.recorded_at, way.position)):
        if last is not None and (passed := (way.recorded_at - last).total_seconds()) >= _GAP_S:
            line.append(Gap(passed))
        line.append(way)
        last = way.recorded_at
    return line


@api.get("/events/{position}")
async def event(visitor: Looking, position: Position) -> Response:
    """One event."""
    item = await event_for(visitor.hub, visitor.principal, position)
    way = await way_of(visitor.hub, visitor.principal, item)
    return page(visitor, "event.html", room="/search", way=way)


@api.get("/events/{position}/raw")
async def raw(visitor: Looking, position: Position) -> Response:
    """The bytes as they came, to be kept."""
    item = await event_for(visitor.hub, visitor.principal, position)
    if not sees_raw(visitor.hub, visitor.principal, item):
        raise forbidden("the message may hold events of plants or domains that are not the key's")
    found = await visitor.hub.journal.raw(position)
    if found is None:
        raise Problem(404, "not_found", "the message is not here any more")
    return download(found.body, f"message-{position}.bin")


def download(body: bytes, name: str) -> Response:
    """Bytes that a browser keeps and never shows."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(body, media_type="application/octet-stream", headers=headers)
