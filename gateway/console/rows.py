"""Crosswalk rows: drafts that wait for a steward, what a row says, its history; approved and retired."""

from __future__ import annotations

from typing import Annotated, Final
from urllib.parse import urlencode

from fastapi import Path, Query
from starlette.responses import RedirectResponse, Response

from gateway.api.crosswalks import outside, sees_row
from gateway.auth import STEWARD, forbidden
from gateway.console.guard import room
from gateway.console.pages import page
from gateway.console.visitor import Acting, Looking, Visitor
from gateway.crosswalks import stewards
from gateway.problems import Problem
from router.crosswalk import Row

__all__ = ["api", "drafts", "why_not_write"]

api = room()

_ROOM: Final = "/codes"
_LISTED: Final = 100
_REASON: Final = 2000
_STATES: Final = ("draft", "approved", "retired")
Number = Annotated[int, Path(ge=1, lt=2**63)]
_Text = Annotated[str, Query(max_length=1024)]


async def drafts(visitor: Visitor, **only: str) -> list[Row]:
    """Those that wait for approval and may be seen, oldest first."""
    found = await visitor.hub.crosswalks.list(status="draft", **only)
    return [row for row in found if sees_row(visitor.principal, row)]


def why_not_write(visitor: Visitor, domain: str) -> str:
    """Why somebody may not write rows of this domain; empty when they may."""
    refused = stewards.refusal(visitor.hub.deployment.stewardship, domain, visitor.principal.name)
    return visitor.why_not(STEWARD) or refused


@api.get("/codes/rows")
async def rows(
    visitor: Looking,
    domain: _Text = "",
    system: _Text = "",
    status: _Text = "",
    code: _Text = "",
    after: Annotated[int, Query(ge=0)] = 0,
) -> Response:
    """All rows, oldest first. ``code``: one that stands on either side."""
    asked = {"domain": domain, "system": system, "status": status if status in _STATES else ""}
    every = await visitor.hub.crosswalks.list(**{name: text for name, text in asked.items() if text})
    found = [
        row
        for row in every
        if row.id > after
        and (not code or code in {row.value, row.canonical})
        and sees_row(visitor.principal, row)
    ]
    more = ""
    if len(found) > _LISTED:
        given = {name: text for name, text in {**asked, "code": code}.items() if text}
        more = f"/codes/rows?{urlencode({**given, 'after': found[_LISTED - 1].id})}"
    known = [row for row in await visitor.hub.crosswalks.list() if sees_row(visitor.principal, row)]
    return page(
        visitor,
        "rows.html",
        room=_ROOM,
        rows=found[:_LISTED],
        more=more,
        asked={**asked, "code": code},
        domains=sorted({row.domain for row in known}),
        systems=sorted({row.system for row in known}),
        states=_STATES,
    )


@api.get("/codes/rows/{number}")
async def one(visitor: Looking, number: Number) -> Response:
    """One row and what was done to it."""
    row = await _one(visitor, number)
    keepers, name = visitor.hub.deployment.stewardship, visitor.principal.name
    return page(
        visitor,
        "row.html",
        room=_ROOM,
        row=row,
        steps=await visitor.hub.crosswalks.history(number),
        why_not=why_not_write(visitor, row.domain) or outside(visitor.principal, row),
        same=stewards.same_person(keepers, row.domain, row.steward, name) if row.status == "draft" else "",
        released=visitor.request.query_params.get("released", ""),
    )


@api.post("/codes/rows/{number}/approve")
async def approve(visitor: Acting, number: Number) -> Response:
    """A draft takes effect, and what waits for it is delivered."""
    visitor.need(STEWARD)
    await _mine(visitor, number)
    why = _short(visitor)
    _, released = await visitor.hub.crosswalks.approve(number, by=visitor.principal.name, why=why)
    return RedirectResponse(f"/codes/rows/{number}?released={released}", 303)


@api.post("/codes/rows/{number}/retire")
async def retire(visitor: Acting, number: Number) -> Response:
    """A row ends now, or never held; a draft is given up."""
    visitor.need(STEWARD)
    await _mine(visitor, number)
    why = _short(visitor)
    if not why:
        raise Problem(422, "invalid", "this needs a reason, for those who will ask later")
    never = visitor.fields.get("never") == "yes"
    await visitor.hub.crosswalks.retire(number, by=visitor.principal.name, why=why, never=never)
    return RedirectResponse(f"/codes/rows/{number}", 303)


def _short(visitor: Visitor) -> str:
    why = visitor.fields.get("why", "").strip()
    if len(why) > _REASON:
        raise Problem(422, "invalid", f"the reason has more than {_REASON} characters")
    return why


async def _one(visitor: Visitor, number: int) -> Row:
    row = await visitor.hub.crosswalks.find(number)
    if not sees_row(visitor.principal, row):
        raise forbidden("the row is of a plant that is not the key's")
    return row


async def _mine(visitor: Visitor, number: int) -> Row:
    """Raises Problem 403, with an audit row, for a row of a plant that is not theirs to write for."""
    row = await _one(visitor, number)
    why = outside(visitor.principal, row)
    if why:
        act = f"POST {visitor.request.url.path}"
        await visitor.hub.crosswalks.refuse(row.domain, by=visitor.principal.name, act=act, why=why)
        raise forbidden(why)
    return row
