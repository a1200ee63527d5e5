"""Codes that nobody has explained: what waits for each, and the missing crosswalk row, added right there."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import Query
from msgspec import Struct, structs
from starlette.responses import RedirectResponse, Response

from canonical.event import Event, decode
from gateway import reading, trail
from gateway.api.crosswalks import proposals
from gateway.api.events import sees_event
from gateway.auth import STEWARD, forbidden
from gateway.console.guard import room
from gateway.console.letters import Missing, missing
from gateway.console.pages import page
from gateway.console.rows import drafts, why_not_write
from gateway.console.visitor import Acting, Looking, Visitor
from gateway.crosswalks import stewards
from gateway.hub import Hub
from gateway.problems import Problem
from gateway.trail import Trail
from router.crosswalk import Row
from router.enrichment import of_record

__all__ = ["api"]

api = room()

_ROOM: Final = "/codes"
_LONGEST: Final = 1024
_SUGGESTED: Final = 500
_FOLLOWED: Final = 20
_CANDIDATES: Final = 5
_REASON: Final = 2000
_ENDED: Final = {"delivered", "dead", "discarded"}
"""For a moment, what was let go looks parked still; and what is out of its lane, as if it had passed by."""
_Text = Annotated[str, Query(max_length=_LONGEST)]


class Arrived(Struct, frozen=True, kw_only=True):
    """What became of an event that waited for a code."""

    position: int
    event: Event
    trail: Trail


@api.get("/codes")
async def codes(visitor: Looking) -> Response:
    """All codes that something waits for."""
    found = await missing(visitor.hub, visitor.principal)
    return page(
        visitor,
        "codes.html",
        room=_ROOM,
        codes=found,
        drafts=await drafts(visitor),
        why_not=visitor.why_not(STEWARD),
    )


@api.get("/codes/one")
async def one(visitor: Looking, domain: _Text, system: _Text, value: _Text) -> Response:
    """One code: what waits for it, and the row that is missing."""
    found = await missing(visitor.hub, visitor.principal, domain=domain, system=system, value=value)
    if not found:
        known = await visitor.hub.crosswalks.list(domain=domain, system=system)
        rows = [row for row in known if value in {row.value, row.canonical} and row.status == "approved"]
        return page(
            visitor, "code_gone.html", room=_ROOM, domain=domain, system=system, value=value, rows=rows
        )
    return await _form(visitor, found[0])


async def _form(
    visitor: Visitor, code: Missing, *, status: int = 200, wrong: str = "", given: str = ""
) -> Response:
    hub = visitor.hub
    kept = [
        row
        for row in await hub.crosswalks.list(domain=code.domain)
        if row.status == "approved" and (not row.plant or visitor.principal.sees(row.plant))
    ]
    inward = inbound(hub, code)
    mine = [row for row in kept if row.system == code.system]
    others = {row.canonical if inward else row.value for row in (kept if inward else mine)}
    enterprise = visitor.principal.plants is None
    plants = [plant for plant in code.plants if plant and visitor.principal.sees(plant)]
    name, stewardship = visitor.principal.name, hub.deployment.stewardship
    _, candidates = await proposals(
        hub, visitor.principal, code.domain, code.system, code.value, not inward, _CANDIDATES
    )
    return page(
        visitor,
        "code.html",
        room=_ROOM,
        status=status,
        code=code,
        events=[(each, decode(each.event)) for each in code.parked[:_FOLLOWED]],
        inward=inward,
        suggestions=sorted(others)[:_SUGGESTED],
        neighbours=mine[:10],
        plants=plants,
        plant=plants[0]
        if plants and (not visitor.principal.everywhere or any(row.plant for row in mine))
        else "",
        enterprise=enterprise,
        candidates=candidates,
        drafts=await drafts(visitor, domain=code.domain, system=code.system),
        second=stewards.same_person(stewardship, code.domain, name, name),
        why_not=why_not_write(visitor, code.domain),
        wrong=wrong,
        given=given,
    )


def inbound(hub: Hub, code: Missing) -> bool:
    """Whether it is the system's code that nobody knows; else a canonical one without the system's code."""
    if of_record(code.parked[0].error):
        return True
    event = decode(code.parked[0].event)
    engine = hub.engines.get(code.parked[0].route)
    if engine is None:
        return True
    codes = engine.route.inbound.get(event.source)
    return codes is not None and codes.system == code.system and _holds(event.data, code.value)


def _holds(data: Any, value: str) -> bool:
    match data:
        case dict():
            return any(_holds(inner, value) for inner in data.values())
        case list():
            return any(_holds(inner, value) for inner in data)
        case _:
            return bool(data == value)


@api.post("/codes")
async def add(visitor: Acting) -> Response:
    """Keeps the row, lets go what waits for it, and leads to where that can be watched.

    ``act`` is ``propose`` for a draft that a steward approves later.
    """
    visitor.need(STEWARD)
    fields, hub = visitor.fields, visitor.hub
    domain, system, value = (fields.get(name, "") for name in ("domain", "system", "value"))
    found = await missing(hub, visitor.principal, domain=domain, system=system, value=value)
    if not found:
        where = urlencode({"domain": domain, "system": system, "value": value})
        return RedirectResponse(f"/codes/one?{where}", 303)
    code, plant = found[0], fields.get("plant", "")
    other = fields.get("other", "").strip() or fields.get("pick", "")
    if not other or len(other) > _LONGEST:
        text = f"Choose or write the code that belongs to {value}: 1 to {_LONGEST} characters."
        return await _form(visitor, code, status=422, wrong=text, given=other)
    _allow(visitor, plant)
    row, why = _row(visitor, code, other, plant), fields.get("why", "").strip()[:_REASON]
    if fields.get("act") == "propose":
        row = structs.replace(row, status="draft")
        kept, _ = await hub.crosswalks.add(row, by=visitor.principal.name, why=why)
        return RedirectResponse(f"/codes/rows/{kept.id}", 303)
    await hub.crosswalks.add(row, by=visitor.principal.name, why=why)
    followed = [("e", f"{each.position}~{each.route}") for each in code.parked[:_FOLLOWED]]
    asked = [("domain", domain), ("system", system), ("value", value), ("other", other), *followed]
    return RedirectResponse(f"/codes/settled?{urlencode(asked)}", 303)


def _allow(visitor: Visitor, plant: str) -> None:
    """Raises Problem for a plant that does not exist, or is not theirs."""
    if plant and plant not in visitor.hub.deployment.plants:
        raise Problem(422, "invalid", f"{plant!r} is no plant of this deployment")
    if not visitor.principal.sees(plant or None):
        raise forbidden("the row is for a plant, or for the whole company, that is not your key's")


def _row(visitor: Visitor, code: Missing, other: str, plant: str) -> Row:
    inward = inbound(visitor.hub, code)
    return Row(
        domain=code.domain,
        system=code.system,
        plant=plant,
        value=code.value if inward else other,
        canonical=other if inward else code.value,
        steward=visitor.principal.name,
    )


@api.get("/codes/settled")
async def settled(
    visitor: Looking,
    domain: _Text,
    system: _Text,
    value: _Text,
    other: _Text,
    e: Annotated[list[str], Query(max_length=_FOLLOWED)] = [],  # noqa: B006 - FastAPI copies it
) -> Response:
    """What came of the events that waited; the page asks again until all have ended."""
    known = await visitor.hub.crosswalks.list(domain=domain, system=system)
    row = next((row for row in reversed(known) if {row.value, row.canonical} == {value, other}), None)
    arrived = await _arrived(visitor, e)
    left = await missing(visitor.hub, visitor.principal, domain=domain, system=system, value=value)
    elsewhere = [
        each for each in arrived if each.trail.state == "parked" and repr(value) not in each.trail.error
    ]
    moving = any(each.trail.state not in _ENDED and each not in elsewhere for each in arrived)
    return page(
        visitor,
        "code_settled.html",
        room=_ROOM,
        domain=domain,
        system=system,
        value=value,
        other=other,
        row=row,
        row_at=datetime.fromtimestamp(row.created_at, visitor.zone(None)) if row else None,
        arrived=arrived,
        moving=moving or bool(left),
        elsewhere=elsewhere,
        left=left[0] if left else None,
    )


async def _arrived(visitor: Visitor, followed: list[str]) -> list[Arrived]:
    wanted: dict[int, set[str]] = {}
    for text in followed:
        position, _, route = text.partition("~")
        if position.isascii() and position.isdigit() and len(position) < 19:
            wanted.setdefault(int(position), set()).add(route)
    found: list[Arrived] = []
    for item in await reading.those(visitor.hub.journal, sorted(wanted)):
        if not sees_event(visitor.principal, item.event):
            continue
        trails, _ = await trail.read(visitor.hub, item)
        found += [
            Arrived(position=item.position, event=item.event, trail=each)
            for each in trails
            if each.route in wanted[item.position]
        ]
    return found
