"""Crosswalk rows: what a system's code means, since when, who said so, and what an unknown one may mean."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Path, Query, Request
from msgspec import Struct, structs
from starlette.responses import Response

from canonical.event import Event
from config.crosswalks import DOMAINS
from config.packages import PACKAGE, content
from gateway.api.answers import (
    ERRORS,
    Cursor,
    Limit,
    body_as,
    json,
    listed,
    moment,
    position_cursor,
    request_body,
)
from gateway.api.events import sees_event
from gateway.auth import READ, STEWARD, Principal, forbidden, hub_of, require
from gateway.compile import inbound_codes
from gateway.crosswalks import seen
from gateway.crosswalks.candidates import Candidate, rank
from gateway.hub import Hub
from gateway.problems import Problem
from router.crosswalk import Row
from router.crosswalk_history import Step

__all__ = ["Steward", "api", "outside", "proposals", "sees_row", "shown"]

api = APIRouter(tags=["crosswalks"], responses=ERRORS)

_Text = Annotated[str | None, Query(max_length=1024)]
_Needed = Annotated[str, Query(min_length=1, max_length=1024)]
Number = Annotated[int, Path(ge=1, lt=2**63, description="The row.")]
Reader = Annotated[Principal, Depends(require(READ))]
_LONGEST: Final = 1024
_REASON: Final = 2000


async def _steward(request: Request, principal: Reader) -> Principal:
    """Who asks, if they are a steward. Raises Problem 403, and writes the attempt into the audit."""
    if not principal.may(STEWARD):
        why = f"this needs one of the roles {', '.join(sorted(STEWARD))}"
        act = f"{request.method} {request.url.path}"
        await hub_of(request).crosswalks.refuse("", by=principal.name, act=act, why=why)
        raise forbidden(why)
    return principal


Steward = Annotated[Principal, Depends(_steward)]


class NewRow(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``plant`` None: the whole enterprise's. Valid from (included) to (excluded); None: always. A draft has
    no effect until it is approved."""

    domain: str
    system: str
    value: str
    canonical: str
    plant: str | None = None
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    status: Literal["draft", "approved"] = "approved"
    why: str = ""


class Approval(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Why; it stands in the history."""

    why: str = ""


class Retirement(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """``valid_to``: until when it held, now by default. ``never``: it was wrong from the start."""

    why: str
    valid_to: datetime | None = None
    never: bool = False


@api.get("/v1/crosswalks", summary="Crosswalk rows, oldest first")
async def crosswalks(
    request: Request,
    principal: Reader,
    domain: _Text = None,
    system: _Text = None,
    plant: _Text = None,
    value: _Text = None,
    canonical: _Text = None,
    status: _Text = None,
    as_of: Annotated[datetime | None, Query(description="Only rows that hold at that moment.")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """`plant` null: the row is the enterprise's. `domain` is of codes (`item`, `uom`), not of events; of
    `package` are the rows that say what is in an item's packages. A retired row holds until `valid_to`."""
    wanted = {
        "domain": domain,
        "system": system,
        "plant": plant,
        "value": value,
        "canonical": canonical,
        "status": status,
    }
    if as_of is not None and as_of.tzinfo is None:
        raise Problem(
            422, "parameters", "as_of needs an offset", errors=[("/query/as_of", "like 2026-03-31T00:00:00Z")]
        )
    rows = await hub_of(request).crosswalks.list(
        **{name: text for name, text in wanted.items() if text is not None}
    )
    if as_of is not None:
        rows = [row for row in rows if row.effective and row.covers(as_of.timestamp())]
    after = position_cursor(cursor) or 0
    found = [row for row in rows if row.id > after and sees_row(principal, row)]
    return listed(request, found, limit, shown, lambda last: str(last.id))


@api.get("/v1/crosswalks/candidates", summary="What an unknown code may mean")
async def candidates(
    request: Request,
    principal: Reader,
    domain: _Needed,
    system: _Needed,
    value: _Needed,
    outward: Annotated[
        bool | None,
        Query(description="It is a canonical code, the system's is asked for; default: as what waits needs."),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=50)] = 10,
) -> Response:
    """Proposals, the likeliest first, each with its reason: the same code elsewhere, the same GTIN, a like
    description, a like spelling. `code` is the canonical one, or where `outward` is true the system's. They
    are for a steward to judge: none is ever taken over by itself."""
    outward, found = await proposals(hub_of(request), principal, domain, system, value, outward, limit)
    return json({"outward": outward, "items": [structs.asdict(each) for each in found]})


@api.get("/v1/crosswalks/{number}", summary="One row")
async def one(request: Request, principal: Reader, number: Number) -> Response:
    """The row as it is now."""
    return json(shown(await _row(request, principal, number)))


@api.get("/v1/crosswalks/{number}/history", summary="What was done to a row")
async def history(request: Request, principal: Reader, number: Number) -> Response:
    """Oldest first: who, when, why, and the row as it was after it. A row of a file has one step."""
    await _row(request, principal, number)
    steps = await hub_of(request).crosswalks.history(number)
    return json({"items": [_told(step) for step in steps], "next": None})


@api.post("/v1/crosswalks", status_code=201, summary="Add a row", openapi_extra=request_body(NewRow))
async def add(request: Request, principal: Steward) -> Response:
    """The row, and in `released` how many lanes it let go: what was parked for this code is delivered now, in
    order. A draft is a proposal without effect. 409 when the code has another meaning in that time,
    403 for codes that others keep."""
    hub = hub_of(request)
    new = await body_as(request, NewRow)
    _check(new, hub.deployment.plants.keys())
    row = Row(
        domain=new.domain,
        system=new.system,
        plant=new.plant or "",
        value=new.value,
        canonical=new.canonical,
        valid_from=None if new.valid_from is None else new.valid_from.timestamp(),
        valid_to=None if new.valid_to is None else new.valid_to.timestamp(),
        status=new.status,
        steward=principal.name,
    )
    await _allow(request, principal, row)
    kept, released = await hub.crosswalks.add(row, by=principal.name, why=new.why)
    return json(shown(kept) | {"released": released}, 201, {"Location": f"/v1/crosswalks/{kept.id}"})


@api.post(
    "/v1/crosswalks/{number}/approve",
    summary="Let a draft take effect",
    openapi_extra=request_body(Approval, required=False),
)
async def approve(request: Request, principal: Steward, number: Number) -> Response:
    """What was parked for the code is delivered now, in order: `released` lanes. Where `stewardship` asks for
    a second person, 403 for the author. 409 when it is no draft, or another row says otherwise."""
    body = await body_as(request, Approval, empty=Approval())
    _short("/why", body.why)
    await _allow(request, principal, await _row(request, principal, number))
    kept, released = await hub_of(request).crosswalks.approve(number, by=principal.name, why=body.why)
    return json(shown(kept) | {"released": released})


@api.post(
    "/v1/crosswalks/{number}/retire",
    summary="End a row, or give up a draft",
    openapi_extra=request_body(Retirement),
)
async def retire(request: Request, principal: Steward, number: Number) -> Response:
    """It stays, and holds for what happened before its `valid_to`; with `never` for nothing. 409 for a row
    that a file of the deployment holds: that is changed there."""
    body = await body_as(request, Retirement)
    if not body.why.strip():
        raise Problem(422, "invalid", "this needs a reason", errors=[("/why", "is empty")])
    _short("/why", body.why)
    if body.valid_to is not None and (body.valid_to.tzinfo is None or body.never):
        wrong = "goes not together with never" if body.never else "needs an offset, like 2026-03-31T00:00:00Z"
        raise Problem(422, "invalid", f"/valid_to {wrong}", errors=[("/valid_to", wrong)])
    await _allow(request, principal, await _row(request, principal, number))
    at = None if body.valid_to is None else body.valid_to.timestamp()
    kept = await hub_of(request).crosswalks.retire(
        number, by=principal.name, why=body.why, at=at, never=body.never
    )
    return json(shown(kept))


async def proposals(
    hub: Hub,
    principal: Principal,
    domain: str,
    system: str,
    value: str,
    outward: bool | None = None,
    limit: int = 10,
) -> tuple[bool, list[Candidate]]:
    """(whether the system's code is asked for, what the code may mean), by what may be seen."""

    def sees(event: Event) -> bool:
        return sees_event(principal, event)

    question = await seen.asked(hub, domain, system, value, sees, outward)
    known = await seen.known(hub, question, inbound_codes(hub.deployment), sees)
    rows = [row for row in await hub.crosswalks.list(domain=domain) if sees_row(principal, row)]
    return question.outward, await asyncio.to_thread(rank, question, rows, known, limit)


# ── within ──────────────────────────────────────────────────────────────────────────────────────


def sees_row(principal: Principal, row: Row) -> bool:
    """A row of the enterprise is everybody's, a plant's is that plant's."""
    return not row.plant or principal.sees(row.plant)


async def _row(request: Request, principal: Principal, number: int) -> Row:
    row = await hub_of(request).crosswalks.find(number)
    if not sees_row(principal, row):
        raise forbidden("the row is of a plant that is not the key's")
    return row


async def _allow(request: Request, principal: Principal, row: Row) -> None:
    """Raises Problem 403, with an audit row, for a plant that is not the key's to write for."""
    why = outside(principal, row)
    if why:
        act = f"{request.method} {request.url.path}"
        await hub_of(request).crosswalks.refuse(row.domain, by=principal.name, act=act, why=why)
        raise forbidden(why, [("/plant", "is not one of the key's")])


def outside(principal: Principal, row: Row) -> str:
    """Why the row's plant is not the key's to write for; empty when it is."""
    if principal.sees(row.plant or None):
        return ""
    whole = "the whole enterprise, and the key is for some plants only"
    return f"the row is for {f'plant {row.plant!r}' if row.plant else whole}"


def _check(new: NewRow, plants: Any) -> None:
    """Raises Problem 422."""
    faults: list[tuple[str, str]] = []
    for name in ("domain", "system", "value", "canonical"):
        text = getattr(new, name)
        if not text.strip() or len(text) > _LONGEST:
            faults.append((f"/{name}", f"must be 1 to {_LONGEST} characters"))
    faults += [] if faults else _domain_faults(new)
    if new.plant is not None and new.plant not in plants:
        faults.append(("/plant", f"{new.plant!r} is no plant of this deployment"))
    for name in ("valid_from", "valid_to"):
        at = getattr(new, name)
        if at is not None and at.tzinfo is None:
            faults.append((f"/{name}", "needs an offset, like 2026-03-31T00:00:00Z"))
    if not faults and new.valid_from and new.valid_to and new.valid_from >= new.valid_to:
        faults.append(("/valid_to", "must be later than valid_from"))
    if len(new.why) > _REASON:
        faults.append(("/why", f"has more than {_REASON} characters"))
    if faults:
        raise Problem(422, "invalid", f"{faults[0][0]} {faults[0][1]}", errors=faults)


def _domain_faults(new: NewRow) -> list[tuple[str, str]]:
    if new.domain not in DOMAINS:
        return [("/domain", f"{new.domain!r} is none of {', '.join(DOMAINS)}")]
    try:
        if new.domain == PACKAGE:
            content(new.canonical)
    except ValueError as error:
        return [("/canonical", str(error))]
    return []


def _short(pointer: str, text: str) -> None:
    if len(text) > _REASON:
        told = f"has more than {_REASON} characters"
        raise Problem(422, "invalid", "the text is too long", errors=[(pointer, told)])


def shown(row: Row) -> dict[str, Any]:
    """A row as the API shows it."""
    times = {name: moment(getattr(row, name)) for name in ("valid_from", "valid_to", "created_at")}
    return structs.asdict(row) | {"plant": row.plant or None} | times


def _told(step: Step) -> dict[str, Any]:
    return structs.asdict(step) | {"at": moment(step.at), "state": shown(Row(**step.state))}
