"""Crosswalk rows: what a system's code means, and since when."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from msgspec import Struct, structs
from starlette.responses import Response

from gateway.api.answers import (
    ERRORS,
    Cursor,
    Limit,
    body_as,
    json,
    moment,
    page,
    position_cursor,
    request_body,
)
from gateway.auth import READ, STEWARD, Principal, forbidden, hub_of, require
from gateway.problems import Problem
from router.crosswalk import Row

__all__ = ["api"]

api = APIRouter(tags=["crosswalks"], responses=ERRORS)

_Text = Annotated[str | None, Query(max_length=1024)]
_LONGEST = 1024


class NewRow(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``plant`` None: the whole enterprise's. Valid from (included) to (excluded); None: always."""

    domain: str
    system: str
    value: str
    canonical: str
    plant: str | None = None
    valid_from: datetime | None = None
    valid_to: datetime | None = None


@api.get("/v1/crosswalks", summary="Crosswalk rows, oldest first")
async def crosswalks(
    request: Request,
    principal: Annotated[Principal, Depends(require(READ))],
    domain: _Text = None,
    system: _Text = None,
    plant: _Text = None,
    value: _Text = None,
    canonical: _Text = None,
    status: _Text = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """`plant` null: the row is the enterprise's. `domain` is of codes (`item`, `unit`), not of events."""
    wanted = {
        "domain": domain,
        "system": system,
        "plant": plant,
        "value": value,
        "canonical": canonical,
        "status": status,
    }
    rows = await hub_of(request).crosswalks.list(
        **{name: text for name, text in wanted.items() if text is not None}
    )
    after = position_cursor(cursor) or 0
    seen = [row for row in rows if row.id > after and (not row.plant or principal.sees(row.plant))]
    following = str(seen[limit - 1].id) if len(seen) > limit else None
    return page(request, [_shown(row) for row in seen[:limit]], following)


@api.post("/v1/crosswalks", status_code=201, summary="Add a row", openapi_extra=request_body(NewRow))
async def add(request: Request, principal: Annotated[Principal, Depends(require(STEWARD))]) -> Response:
    """The row, and in `released` how many lanes it let go: what was parked for this code is delivered now, in
    order. 409 when the code has another meaning in that time."""
    hub = hub_of(request)
    new = await body_as(request, NewRow)
    _check(new, hub.deployment.plants.keys())
    if not principal.sees(new.plant):
        whose = (
            f"plant {new.plant!r}"
            if new.plant
            else "the whole enterprise, and the key is for some plants only"
        )
        raise forbidden(f"the row is for {whose}", [("/plant", "is not one of the key's")])
    row, released = await hub.crosswalks.add(
        Row(
            domain=new.domain,
            system=new.system,
            plant=new.plant or "",
            value=new.value,
            canonical=new.canonical,
            valid_from=None if new.valid_from is None else new.valid_from.timestamp(),
            valid_to=None if new.valid_to is None else new.valid_to.timestamp(),
            steward=principal.name,
        ),
        by=principal.name,
    )
    return json(_shown(row) | {"released": released}, 201)


def _check(new: NewRow, plants: Any) -> None:
    """Raises Problem 422."""
    faults: list[tuple[str, str]] = []
    for name in ("domain", "system", "value", "canonical"):
        text = getattr(new, name)
        if not text.strip() or len(text) > _LONGEST:
            faults.append((f"/{name}", f"must be 1 to {_LONGEST} characters"))
    if new.plant is not None and new.plant not in plants:
        faults.append(("/plant", f"{new.plant!r} is no plant of this deployment"))
    for name in ("valid_from", "valid_to"):
        at = getattr(new, name)
        if at is not None and at.tzinfo is None:
            faults.append((f"/{name}", "needs an offset, like 2026-03-31T00:00:00Z"))
    if not faults and new.valid_from and new.valid_to and new.valid_from >= new.valid_to:
        faults.append(("/valid_to", "must be later than valid_from"))
    if faults:
        raise Problem(422, "invalid", f"{faults[0][0]} {faults[0][1]}", errors=faults)


def _shown(row: Row) -> dict[str, Any]:
    times = {name: moment(getattr(row, name)) for name in ("valid_from", "valid_to", "created_at")}
    return structs.asdict(row) | {"plant": row.plant or None} | times
