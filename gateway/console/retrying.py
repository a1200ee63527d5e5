"""The retry of a group: dry run first, then at a rate, with its progress; stopped and resumed."""

from __future__ import annotations

import math
from typing import Final

from starlette.responses import RedirectResponse, Response

from deadletter.bulk import MOST_PER_S, Progress
from deadletter.service import NotPossible
from gateway.api.begun import seen_by_beginner
from gateway.api.letters import one as letter_of
from gateway.api.letters import plants_of, seen_by
from gateway.api.retries import RETRIES
from gateway.auth import OPERATE
from gateway.console.guard import room
from gateway.console.letters import groups
from gateway.console.pages import page
from gateway.console.visitor import Acting, Looking, Visitor
from gateway.console.workbench import GroupName, Number, seen_retries
from gateway.problems import Problem

__all__ = ["api"]

api = room()

_ROOM: Final = "/dead-letters"
_LISTED: Final = 50
_TOLD: Final = 10


@api.get("/dead-letters/groups/{group}/dry-run")
async def dry_run_group(visitor: Looking, group: GroupName) -> Response:
    """What a retry of the group would do; nothing is delivered."""
    hub, principal = visitor.hub, visitor.principal
    found = await hub.dry_run.many(
        {"fingerprint": group}, plants=plants_of(principal), sees=seen_by(principal), limit=_TOLD
    )
    every = await groups(hub, principal)
    return page(
        visitor,
        "dry_run.html",
        room=_ROOM,
        groups=every,
        group=group,
        chosen=next((each for each in every if each.fingerprint == group), None),
        number=None,
        summary=found,
        verdicts=[verdict for verdict in found.items if verdict.sent],
        why_not=visitor.why_not(OPERATE),
    )


@api.get("/dead-letters/{number}/dry-run")
async def dry_run(visitor: Looking, number: Number) -> Response:
    """What a retry of one would do."""
    letter = await letter_of(visitor.hub, visitor.principal, number)
    return page(
        visitor,
        "dry_run.html",
        room=_ROOM,
        groups=await groups(visitor.hub, visitor.principal),
        group=letter.fingerprint,
        chosen=None,
        number=number,
        summary=None,
        verdicts=[await visitor.hub.dry_run.one(number)],
        why_not=visitor.why_not(OPERATE),
    )


@api.post("/dead-letters/groups/{group}/retry")
async def begin(visitor: Acting, group: GroupName) -> Response:
    """Freezes what is open of the group now and tries each once; its page shows how far it is."""
    visitor.need(OPERATE)
    rate = _rate(visitor.fields.get("rate", ""))
    for other in await visitor.hub.retries.page(limit=_LISTED):
        if other.state == "running" and other.filter.get("fingerprint") == group:
            raise NotPossible(f"retry {other.id} of this group is running: two would get in each other's way")
    progress = await visitor.hub.retries.begin(
        {"fingerprint": group},
        by=visitor.principal.name,
        rate=rate,
        reason=visitor.reason,
        plants=plants_of(visitor.principal),
        sees=seen_by(visitor.principal),
    )
    return RedirectResponse(f"/dead-letters/retries/{progress.id}", 303)


def _rate(text: str) -> float:
    """Raises Problem 422 for what is no rate."""
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not 0.0 < rate <= MOST_PER_S:
        detail = f"write how many a second at most: more than 0, up to {MOST_PER_S:g}"
        raise Problem(422, "invalid", detail)
    return rate


@api.get("/dead-letters/retries")
async def retries(visitor: Looking) -> Response:
    """The retries of many, newest first."""
    found = await seen_retries(visitor.hub, visitor.principal, _LISTED)
    return page(visitor, "retries.html", room=_ROOM, retries=found)


@api.get("/dead-letters/retries/{number}")
async def retry(visitor: Looking, number: Number) -> Response:
    """How far one is, and what failed anew."""
    progress = await _one(visitor, number)
    every = await groups(visitor.hub, visitor.principal)
    group = str(progress.filter.get("fingerprint", ""))
    return page(
        visitor,
        "retry.html",
        room=_ROOM,
        retry=progress,
        unended=await visitor.hub.retries.unended(number, _LISTED),
        group=group,
        chosen=next((each for each in every if each.fingerprint == group), None),
        why_not=visitor.why_not(OPERATE),
    )


@api.post("/dead-letters/retries/{number}/stop")
async def stop(visitor: Acting, number: Number) -> Response:
    """Nothing more is tried for now."""
    visitor.need(OPERATE)
    await _one(visitor, number)
    await visitor.hub.retries.stop(number, by=visitor.principal.name, reason=visitor.reason)
    return RedirectResponse(f"/dead-letters/retries/{number}", 303)


@api.post("/dead-letters/retries/{number}/resume")
async def resume(visitor: Acting, number: Number) -> Response:
    """Goes on with what was not tried yet."""
    visitor.need(OPERATE)
    await _one(visitor, number)
    await visitor.hub.retries.resume(number, by=visitor.principal.name, reason=visitor.reason)
    return RedirectResponse(f"/dead-letters/retries/{number}", 303)


async def _one(visitor: Visitor, number: int) -> Progress:
    return seen_by_beginner(visitor.principal, await visitor.hub.retries.show(number), RETRIES)
