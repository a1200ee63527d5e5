"""The dead-letter workbench: groups in plain words, one letter with what mends it, retry and discard."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Final
from urllib.parse import urlencode

from fastapi import Path, Query
from starlette.responses import RedirectResponse, Response

from canonical.event import decode
from deadletter.entry import DeadLetter
from gateway.api.answers import readable
from gateway.api.letters import act_on_each, seen
from gateway.api.letters import one as letter_of
from gateway.auth import OPERATE
from gateway.console.guard import room
from gateway.console.letters import fault_of, groups, repair_of
from gateway.console.pages import page
from gateway.console.steps import fields_of
from gateway.console.timeline import download
from gateway.console.visitor import Acting, Looking, Visitor
from gateway.problems import Problem

__all__ = ["api"]

api = room()

_LISTED: Final = 50
_ACT_S: Final = 10.0
_LONGEST_REASON: Final = 2000
_SHOWN_BYTES: Final = 20_000
_ROOM: Final = "/dead-letters"
Number = Annotated[int, Path(ge=1, lt=2**63)]
_Text = Annotated[str, Query(max_length=200)]


@api.get("/dead-letters")
async def workbench(
    visitor: Looking,
    group: _Text = "",
    status: _Text = "open",
    done: Annotated[int | None, Query(ge=0)] = None,
    left: Annotated[int | None, Query(ge=0)] = None,
    act: _Text = "",
) -> Response:
    """The groups, and the letters of the chosen one; ``status`` shows those that are settled."""
    filters: dict[str, object] = {"fingerprint": group} if group else {}
    if status in {"open", "retrying", "recovered", "discarded"} and not group:
        filters["status"] = status
    found = await seen(visitor.hub, visitor.principal, filters, None, _LISTED)
    every = await groups(visitor.hub, visitor.principal)
    return page(
        visitor,
        "dead_letters.html",
        room=_ROOM,
        groups=every,
        chosen=next((each for each in every if each.fingerprint == group), None),
        group=group,
        showing=status,
        letters=[(letter, fault_of(visitor.hub, letter)) for letter in found],
        letter=None,
        why_not=visitor.why_not(OPERATE),
        done=done,
        left=left,
        act=act,
    )


@api.get("/dead-letters/{number}")
async def one(visitor: Looking, number: Number) -> Response:
    """One letter: what it is, why it failed, what to do, its bytes."""
    letter = await _one(visitor, number)
    hub = visitor.hub
    event = decode(letter.event) if letter.event else None
    return page(
        visitor,
        "dead_letter.html",
        room=_ROOM,
        groups=await groups(hub, visitor.principal),
        group=letter.fingerprint,
        showing="",
        letter=letter,
        title=fault_of(hub, letter),
        repair=repair_of(hub, letter),
        raw=readable(letter.body, _SHOWN_BYTES),
        event=event,
        fields=fields_of(hub, event) if event else [],
        why_not=visitor.why_not(OPERATE),
    )


@api.get("/dead-letters/{number}/raw")
async def raw(visitor: Looking, number: Number) -> Response:
    """Its bytes as they came, to be kept."""
    return download((await _one(visitor, number)).body, f"dead-letter-{number}.bin")


async def _one(visitor: Visitor, number: int) -> DeadLetter:
    return await letter_of(visitor.hub, visitor.principal, number)


# ── acts ────────────────────────────────────────────────────────────────────────────────────────


@api.post("/dead-letters/{number}/retry")
async def retry(visitor: Acting, number: Number) -> Response:
    """Tries it again; the letter's page shows what comes of it."""
    visitor.need(OPERATE)
    await _one(visitor, number)
    await visitor.hub.dead_letters.retry(number, by=visitor.principal.name)
    return RedirectResponse(f"/dead-letters/{number}", 303)


@api.post("/dead-letters/{number}/discard")
async def discard(visitor: Acting, number: Number) -> Response:
    """Gives it up for good."""
    visitor.need(OPERATE)
    reason = _reason(visitor)
    await _one(visitor, number)
    await visitor.hub.dead_letters.discard(number, by=visitor.principal.name, reason=reason)
    return RedirectResponse(f"/dead-letters/{number}", 303)


@api.post("/dead-letters/groups/{group}/retry")
async def retry_group(visitor: Acting, group: Annotated[str, Path(max_length=64)]) -> Response:
    """Tries all of a group again that are open now, the oldest first."""
    visitor.need(OPERATE)
    service, name = visitor.hub.dead_letters, visitor.principal.name
    return await _each(visitor, group, "retried", lambda number: service.retry(number, by=name))


@api.post("/dead-letters/groups/{group}/discard")
async def discard_group(visitor: Acting, group: Annotated[str, Path(max_length=64)]) -> Response:
    """Gives up all of a group that are open now."""
    visitor.need(OPERATE)
    reason = _reason(visitor)
    service, name = visitor.hub.dead_letters, visitor.principal.name
    return await _each(
        visitor, group, "discarded", lambda number: service.discard(number, by=name, reason=reason)
    )


def _reason(visitor: Visitor) -> str:
    reason = visitor.fields.get("reason", "").strip()
    if not reason or len(reason) > _LONGEST_REASON:
        raise Problem(
            422,
            "invalid",
            f"discarding needs a reason of 1 to {_LONGEST_REASON} characters, for those who will ask later",
        )
    return reason


async def _each(
    visitor: Visitor, group: str, word: str, act: Callable[[int], Awaitable[DeadLetter]]
) -> Response:
    """Acts on each, and leads back to what is left."""
    results, left = await act_on_each(
        visitor.hub, visitor.principal, {"fingerprint": group}, act, within_s=_ACT_S
    )
    told = urlencode({"group": group, "act": word, "done": len(results), "left": left})
    return RedirectResponse(f"/dead-letters?{told}", 303)
