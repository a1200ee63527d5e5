"""GET /v1/telemetry/history: the values of a piece of equipment as they were taken in, from the journal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request
from msgspec import structs
from starlette.responses import Response

from canonical import catalogue
from canonical.ports import Recorded
from gateway import reading
from gateway.api.answers import ERRORS, Cursor, Limit, position_cursor
from gateway.api.services import answered, coding_of, plants_of
from gateway.auth import READ, Principal, hub_of, require
from gateway.coding import Coding
from gateway.hub import Hub
from gateway.problems import Problem
from gateway.projections.search import Filters
from gateway.projections.services.entry import Origin, happened, seconds
from gateway.selection import Moment, PlantName

__all__ = ["api"]

api = APIRouter(tags=["services"], responses=ERRORS)

_TYPE: Final = catalogue.full_name("telemetry.measurement.recorded")
_FIELDS: Final = ("tag", "value", "uom", "quality", "source_time", "status_code", "historical")
_AHEAD: Final = timedelta(hours=1)
_AT_ONCE: Final = 2000
_LOOKED_AT: Final = 20_000
"""Events that one answer looks through; it goes on with `next` even when it found few."""


@api.get("/v1/telemetry/history", summary="Values of a piece of equipment, in the order they were taken in")
async def history(
    request: Request,
    principal: Annotated[Principal, Depends(require(READ))],
    equipment: Annotated[
        str, Query(min_length=1, max_length=512, description="Canonical code or the source's own; exactly.")
    ],
    tag: Annotated[str | None, Query(max_length=512)] = None,
    plant: PlantName | None = None,
    since: Annotated[Moment | None, Query(description="`source_time` then or later.")] = None,
    until: Annotated[Moment | None, Query(description="`source_time` then or earlier.")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """As far back as the journal's retention reaches. A page may be short, or empty, and yet have a `next`.
    With `since`, values whose source's clock was more than an hour ahead may be missing."""
    hub = hub_of(request)
    if since is not None and until is not None and since > until:
        raise Problem(
            422, "parameters", "since is later than until", errors=[("/query/since", "is after until")]
        )
    filters = Filters(
        type=_TYPE,
        plants=plants_of(principal, plant, "telemetry"),
        since=(since - _AHEAD).timestamp() if since else None,
    )
    names = await _names(hub, equipment)
    wanted = partial(_fits, tag=tag, since=since, until=until)
    items: list[Recorded] = []
    after, looked, more = position_cursor(cursor) or 0, 0, True
    while more and len(items) <= limit and looked < _LOOKED_AT:
        positions = await _positions(hub, names, filters, after)
        more, looked = len(positions) == _AT_ONCE, looked + len(positions)
        found = await reading.those(hub.journal, positions)
        items += [item for item in found if wanted(item)]
        after = positions[-1] if positions else after
    if len(items) > limit:
        items, after, more = items[:limit], items[limit - 1].position, True
    following = str(after) if more else None
    coding = coding_of(hub)
    body = {"items": [_shown(item, coding) for item in items], "next": following}
    return answered(request, body, following)


async def _names(hub: Hub, equipment: str) -> list[str]:
    """What the sources call it."""
    rows = await hub.crosswalks.list(domain="equipment", canonical=equipment, status="approved")
    return sorted({equipment, *(row.value for row in rows)})


async def _positions(hub: Hub, names: Sequence[str], filters: Filters, after: int) -> list[int]:
    """The next ones of all names together, ascending."""
    found: set[int] = set()
    for name in names:
        found |= set(
            await hub.search.page(structs.replace(filters, subject=name), after=after, limit=_AT_ONCE)
        )
    return sorted(found)[:_AT_ONCE]


def _fits(item: Recorded, *, tag: str | None, since: datetime | None, until: datetime | None) -> bool:
    data = item.event.data
    if not isinstance(data, dict) or (tag is not None and data.get("tag") != tag):
        return False
    at = seconds(data.get("source_time")) or 0.0
    return (since is None or at >= since.timestamp()) and (until is None or at <= until.timestamp())


def _shown(item: Recorded, coding: Coding) -> dict[str, Any]:
    event = item.event
    origin = Origin(item.position, happened(event), event.plantid, event.source, event.type)
    named = "data.equipment" if event.data.get("equipment") else "subject"
    cells: dict[str, Any] = {"equipment": [event.data.get("equipment") or event.subject, 0, named]}
    cells |= {name: [event.data.get(name), 0, f"data.{name}"] for name in _FIELDS}
    values, missing = coding.shown(cells, [origin])
    return {
        "plant": event.plantid,
        **values,
        "unresolved": [structs.asdict(each) for each in missing],
        "source": event.source,
        "position": item.position,
        "recorded_at": event.recordedtime,
    }
