"""The dead-letter workbench: groups in plain words, one letter with what mends it, retry and discard."""

from __future__ import annotations

from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import Path, Query
from msgspec import Struct
from starlette.responses import RedirectResponse, Response

from canonical.event import decode
from deadletter.bulk import Progress
from deadletter.edits import Edit
from deadletter.entry import DeadLetter
from gateway.api.answers import readable
from gateway.api.edits import APPROVE
from gateway.api.letters import act_on_each, seen
from gateway.api.letters import one as letter_of
from gateway.auth import OPERATE, Principal
from gateway.console.guard import room
from gateway.console.letters import fault_of, groups, repair_of
from gateway.console.pages import page
from gateway.console.steps import fields_of
from gateway.console.timeline import download
from gateway.console.visitor import Acting, Looking, Visitor
from gateway.hub import Hub
from gateway.problems import Problem

__all__ = ["GroupName", "MapStep", "Number", "api", "map_of", "seen_retries", "waiting_edits"]

api = room()

_LISTED: Final = 50
_ACT_S: Final = 10.0
_LONGEST_REASON: Final = 2000
_SHOWN_BYTES: Final = 20_000
_RECENT: Final = 5
_REMEMBERED: Final = 100
_ROOM: Final = "/dead-letters"
_STATES: Final = ("open", "retrying", "recovered", "discarded", "all")
Number = Annotated[int, Path(ge=1, lt=2**63)]
GroupName = Annotated[str, Path(max_length=64)]
_Text = Annotated[str, Query(max_length=200)]


class MapStep(Struct, frozen=True):
    """A field of a route's map; ``error``: why it failed, empty where it did not."""

    field: str
    expression: str
    error: str


@api.get("/dead-letters")
async def workbench(
    visitor: Looking,
    group: _Text = "",
    status: _Text = "open",
    before: Annotated[int | None, Query(ge=1)] = None,
    done: Annotated[int | None, Query(ge=0)] = None,
    left: Annotated[int | None, Query(ge=0)] = None,
) -> Response:
    """The groups, and the letters of the chosen one; ``status`` shows those that are settled."""
    status = status if status in _STATES else "open"
    filters: dict[str, object] = {} if status == "all" else {"status": status}
    if group:
        filters["fingerprint"] = group
    found = await seen(visitor.hub, visitor.principal, filters, before, _LISTED + 1)
    every = await groups(visitor.hub, visitor.principal)
    retries = await seen_retries(visitor.hub, visitor.principal, _REMEMBERED)
    return page(
        visitor,
        "dead_letters.html",
        room=_ROOM,
        groups=every,
        chosen=next((each for each in every if each.fingerprint == group), None),
        group=group,
        showing=status,
        letters=[(letter, fault_of(visitor.hub, letter), _name(letter)) for letter in found[:_LISTED]],
        older=_address(group, status, found[_LISTED - 1].id) if len(found) > _LISTED else "",
        newer=_address(group, status, None) if before is not None else "",
        retries=retries[:_RECENT],
        running=next((each for each in retries if _runs(each, group)), None) if group else None,
        waiting=await waiting_edits(visitor),
        why_not=visitor.why_not(OPERATE),
        done=done,
        left=left,
    )


def _name(letter: DeadLetter) -> str:
    """What people call it: the event's subject, else the message's id."""
    subject = decode(letter.event).subject if letter.event else None
    return subject or letter.message_id


def _address(group: str, status: str, before: int | None) -> str:
    asked: dict[str, object] = {"group": group, "status": status, "before": before}
    return f"{_ROOM}?{urlencode({name: value for name, value in asked.items() if value})}"


def _runs(retry: Progress, group: str) -> bool:
    """Whether it has still to try some of the group."""
    return retry.state != "done" and retry.filter.get("fingerprint") == group


async def seen_retries(hub: Hub, principal: Principal, limit: int) -> list[Progress]:
    """The newest retries of many: everybody's for who sees all, else one's own."""
    found = await hub.retries.page(limit=100)
    return [each for each in found if principal.everywhere or each.by == principal.name][:limit]


async def waiting_edits(visitor: Visitor) -> list[tuple[Edit, DeadLetter]]:
    """Edits that wait for a second person, of letters that may be seen."""
    found = []
    for edit in await visitor.hub.edits.waiting():
        try:
            found.append((edit, await letter_of(visitor.hub, visitor.principal, edit.dead_letter)))
        except Problem:
            continue
    return found


@api.get("/dead-letters/{number}")
async def one(visitor: Looking, number: Number) -> Response:
    """One letter: what it is, why it failed, what to do, its bytes."""
    hub = visitor.hub
    letter = await letter_of(hub, visitor.principal, number)
    event = decode(letter.event) if letter.event else None
    edits = await hub.edits.of(number)
    proposed = next((edit for edit in edits if edit.state == "proposed"), None)
    checked = None
    if proposed is not None and letter.status == "open":
        checked = await hub.dry_run.one(number, proposed.content)
    return page(
        visitor,
        "dead_letter.html",
        room=_ROOM,
        groups=await groups(hub, visitor.principal),
        group=letter.fingerprint,
        letter=letter,
        title=fault_of(hub, letter),
        repair=repair_of(hub, letter),
        raw=readable(letter.body, _SHOWN_BYTES),
        event=event,
        fields=fields_of(hub, event) if event else [],
        steps=map_of(hub, letter),
        edits=edits,
        proposed=proposed,
        checked=checked,
        why_not=visitor.why_not(OPERATE),
        why_not_approve=visitor.why_not(APPROVE),
        own=proposed is not None and proposed.author == visitor.principal.name and hub.edits.second_person,
    )


def map_of(hub: Hub, letter: DeadLetter) -> list[MapStep]:
    """The map of a delivery's route, the field that failed marked; nothing for what did not fail there."""
    route = hub.deployment.routes.get(letter.route)
    if route is None or route.map is None or letter.code != "expression":
        return []
    flat = list(_flat(route.map, ""))
    failed = max((name for name, _ in flat if letter.error.startswith(f"{name}: ")), key=len, default="")
    return [
        MapStep(name, text, letter.error.removeprefix(f"{name}: ") if name == failed else "")
        for name, text in flat
    ]


def _flat(fields: Any, prefix: str) -> list[tuple[str, str]]:
    if isinstance(fields, dict):
        inner = [(f"{prefix}.{name}" if prefix else str(name), value) for name, value in fields.items()]
    elif isinstance(fields, list):
        inner = [(f"{prefix}[{at}]", value) for at, value in enumerate(fields)]
    else:
        return [(prefix, str(fields))]
    return [row for name, value in inner for row in _flat(value, name)]


@api.get("/dead-letters/{number}/raw")
async def raw(visitor: Looking, number: Number) -> Response:
    """Its bytes as they came, to be kept."""
    letter = await letter_of(visitor.hub, visitor.principal, number)
    return download(letter.body, f"dead-letter-{number}.bin")


# ── acts ────────────────────────────────────────────────────────────────────────────────────────


@api.post("/dead-letters/{number}/retry")
async def retry(visitor: Acting, number: Number) -> Response:
    """Tries it again; the letter's page shows what comes of it."""
    visitor.need(OPERATE)
    await letter_of(visitor.hub, visitor.principal, number)
    await visitor.hub.dead_letters.retry(number, by=visitor.principal.name, reason=visitor.reason)
    return RedirectResponse(f"/dead-letters/{number}", 303)


@api.post("/dead-letters/{number}/discard")
async def discard(visitor: Acting, number: Number) -> Response:
    """Gives it up for good."""
    visitor.need(OPERATE)
    reason = _reason(visitor)
    await letter_of(visitor.hub, visitor.principal, number)
    await visitor.hub.dead_letters.discard(number, by=visitor.principal.name, reason=reason)
    return RedirectResponse(f"/dead-letters/{number}", 303)


@api.post("/dead-letters/groups/{group}/discard")
async def discard_group(visitor: Acting, group: GroupName) -> Response:
    """Gives up all of a group that are open now, 500 at once; the list is fixed before the first act."""
    visitor.need(OPERATE)
    reason = _reason(visitor)
    service, name = visitor.hub.dead_letters, visitor.principal.name
    results, left = await act_on_each(
        visitor.hub,
        visitor.principal,
        {"fingerprint": group},
        lambda number: service.discard(number, by=name, reason=reason),
        within_s=_ACT_S,
    )
    done = sum(isinstance(came, DeadLetter) for _, came in results)
    told = urlencode({"group": group, "done": done, "left": left + len(results) - done})
    return RedirectResponse(f"/dead-letters?{told}", 303)


def _reason(visitor: Visitor) -> str:
    reason = visitor.fields.get("reason", "").strip()
    if not reason or len(reason) > _LONGEST_REASON:
        raise Problem(
            422,
            "invalid",
            f"discarding needs a reason of 1 to {_LONGEST_REASON} characters, for those who will ask later",
        )
    return reason
