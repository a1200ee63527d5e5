"""The audit: who did what, and whether somebody tampered with the record of it. For admins."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from msgspec import structs
from starlette.responses import Response

from gateway import audit
from gateway.api.answers import ERRORS, Cursor, Limit, json, listed, moment, position_cursor
from gateway.auth import ADMIN, Principal, forbidden, hub_of, require

__all__ = ["api"]

api = APIRouter(tags=["audit"], responses=ERRORS)

Admin = Annotated[Principal, Depends(require(ADMIN))]
_Text = Annotated[str | None, Query(max_length=1024)]


@api.get("/v1/audit", summary="Who did what, newest first")
async def entries(
    request: Request,
    principal: Admin,
    actor: _Text = None,
    act: _Text = None,
    subject: _Text = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """For admins of everything, since acts belong to no plant."""
    _of_everything(principal)
    found = await audit.page(
        hub_of(request).journal,
        actor=actor,
        act=act,
        subject=subject,
        before=position_cursor(cursor),
        limit=limit + 1,
    )
    return listed(request, found, limit, _shown, lambda last: str(last.id))


def _shown(entry: audit.Entry) -> dict[str, Any]:
    return structs.asdict(entry) | {"at": moment(entry.at)}


@api.get("/v1/audit/verify", summary="Whether the audit is whole")
async def verify(
    request: Request,
    principal: Admin,
    seal: Annotated[str, Query(max_length=64, description="A seal that was told earlier.")] = "",
) -> Response:
    """`findings` names every row that was deleted, edited, moved or added past the hub, and an end that was
    cut off; empty is well. `head` is the newest seal: kept elsewhere, it proves later that nothing up to
    `last` was replaced, whoever has the hub's key: give it as `seal`."""
    _of_everything(principal)
    hub = hub_of(request)
    return json(await hub.audit.verify(hub.journal, seal=seal))


def _of_everything(principal: Principal) -> None:
    if not principal.everywhere:
        raise forbidden("the audit is for admins of all plants and domains")
