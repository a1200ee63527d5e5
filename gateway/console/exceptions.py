"""Exceptions as tasks: whose they are, until when, what was done; each with the way to what mends it."""

from __future__ import annotations

from typing import Annotated, Final, Literal
from urllib.parse import urlencode

from fastapi import Path, Query
from msgspec import Struct
from starlette.responses import RedirectResponse, Response

from gateway.api.answers import as_cursor, from_cursor
from gateway.api.exceptions import seen_tasks, sees_task
from gateway.api.letters import seen
from gateway.auth import OPERATE, STEWARD, forbidden
from gateway.console.addresses import code_address
from gateway.console.guard import room
from gateway.console.letters import missing
from gateway.console.pages import page
from gateway.console.visitor import Acting, Looking, Visitor
from gateway.exceptions import Note, Task
from gateway.hub import Hub
from gateway.problems import Problem

__all__ = ["Link", "api", "links_of"]

api = room()

_ROOM: Final = "/exceptions"
_LISTED: Final = 50
_QUEUES: Final = 1000
_EXAMPLES: Final = 5
_ACT: Final = OPERATE | STEWARD
_TEXT: Final = 2000
_NAME: Final = 200
Number = Annotated[int, Path(ge=1, lt=2**63)]
_Text = Annotated[str, Query(max_length=200)]


class Link(Struct, frozen=True):
    """A way to what mends it."""

    address: str
    text: str


class Listed(Struct, frozen=True, kw_only=True):
    """The tasks of one kind; ``more`` is the address of the next ones, empty when there are none."""

    kind: str
    tasks: list[Task]
    more: str


@api.get("/exceptions")
async def exceptions(
    visitor: Looking,
    kind: _Text = "",
    queue: _Text = "",
    plant: _Text = "",
    whose: Literal["", "mine", "nobody"] = "",
    status: Literal["open", "all"] = "open",
    after: Annotated[str, Query(max_length=2000)] = "",
) -> Response:
    """Business and technical apart, the most urgent first."""
    asked = {"queue": queue, "plant": plant, "whose": whose, "status": status}
    filters: dict[str, object] = {name: asked[name] for name in ("queue", "plant") if asked[name]}
    if whose:
        filters["assignee"] = visitor.principal.name if whose == "mine" else ""
    kinds = [kind] if kind in {"business", "technical"} else ["business", "technical"]
    lists = [await _listed(visitor, each, filters, asked, after if kind else "") for each in kinds]
    every = await seen_tasks(visitor.hub, visitor.principal, {}, limit=_QUEUES)
    return page(
        visitor,
        "exceptions.html",
        room=_ROOM,
        lists=lists,
        kind=kind,
        asked=asked,
        queues=sorted({task.queue for task in every} | ({queue} if queue else set())),
        plants=sorted({task.plant for task in every if task.plant} | ({plant} if plant else set())),
        open=len(every),
        mine=sum(task.assignee == visitor.principal.name for task in every),
        overdue=sum(task.due_at < visitor.hub.clock().timestamp() for task in every),
        statistics=await visitor.hub.exceptions.resolution_time(),
    )


async def _listed(
    visitor: Visitor, kind: str, filters: dict[str, object], asked: dict[str, str], after: str
) -> Listed:
    start: tuple[int, float, int] | None = None
    if after:
        priority, due_at, identifier = from_cursor(after, int, float, int)
        start = priority, due_at, identifier
    found = await seen_tasks(
        visitor.hub,
        visitor.principal,
        {**filters, "kind": kind},
        open_only=asked["status"] == "open",
        after=start,
        limit=_LISTED + 1,
    )
    more = ""
    if len(found) > _LISTED:
        last = found[_LISTED - 1]
        cursor = as_cursor(last.priority, last.due_at, last.id)
        given = {name: value for name, value in asked.items() if value}
        more = f"{_ROOM}?{urlencode({'kind': kind, **given, 'after': cursor})}"
    return Listed(kind=kind, tasks=found[:_LISTED], more=more)


@api.get("/exceptions/{number}")
async def one(visitor: Looking, number: Number) -> Response:
    """One task: what it is, what helps, who did what."""
    return await _shown(visitor, number)


async def _shown(visitor: Visitor, number: int, *, wrong: str = "", status: int = 200) -> Response:
    task, history = await _one(visitor, number)
    return page(
        visitor,
        "exception.html",
        room=_ROOM,
        status=status,
        task=task,
        history=history,
        links=links_of(task),
        concerned=await _concerned(visitor, task),
        owners=sorted({team for team in _teams(visitor.hub) if team}),
        wrong=wrong,
        why_not=visitor.why_not(_ACT),
    )


def links_of(task: Task) -> list[Link]:
    """What mends it first."""
    refs, found = task.refs, list[Link]()
    if "value" in refs:
        address = code_address(refs["domain"], refs["system"], refs["value"])
        found += [
            Link(address, "Say what the code is"),
            Link(f"/lanes?route={task.route}", "What is blocked"),
        ]
    if "fingerprint" in refs:
        found.append(Link(f"/dead-letters?group={refs['fingerprint']}", "Open the dead letters"))
        found += [Link(f"/lanes?route={task.route}", "What is blocked")] if task.route else []
    if "sla" in refs:
        found.append(Link(f"/service-levels#{refs['sla']}", "See the service level"))
    if "exception" in refs:
        found.append(Link(f"/search?{urlencode({'q': refs['exception']})}", "Find what it is about"))
    return [*found, *([Link(f"/routes#{task.route}", f"Route {task.route}")] if task.route else [])]


async def _concerned(visitor: Visitor, task: Task) -> list[Link]:
    """Timelines of some events that it is about."""
    refs, hub = task.refs, visitor.hub
    if "value" in refs:
        where = {name: refs[name] for name in ("domain", "system", "value")}
        codes = await missing(hub, visitor.principal, **where)
        positions = [each.position for code in codes for each in code.parked]
    elif "fingerprint" in refs:
        filters = {"fingerprint": refs["fingerprint"], "status": "open"}
        letters = await seen(hub, visitor.principal, filters, None, _EXAMPLES)
        positions = [letter.position for letter in letters if letter.position is not None]
    else:
        positions = []
    return [Link(f"/events/{position}", f"event {position}") for position in positions[:_EXAMPLES]]


def _teams(hub: Hub) -> list[str | None]:
    deployment = hub.deployment
    return [
        *(route.owner for route in deployment.routes.values()),
        *(level.owner for level in deployment.service_levels.values()),
    ]


async def _one(visitor: Visitor, number: int) -> tuple[Task, list[Note]]:
    task, notes = await visitor.hub.exceptions.show(number)
    if not sees_task(visitor.principal, task):
        raise forbidden("the exception is of a plant that is not the key's")
    return task, notes


# ── acts ────────────────────────────────────────────────────────────────────────────────────────


@api.post("/exceptions/{number}/assign")
async def assign(visitor: Acting, number: Number) -> Response:
    """``act``: ``mine`` takes it on, ``back`` gives it back to its queue, else ``to`` names somebody."""
    await _may(visitor, number)
    act, name = visitor.fields.get("act", ""), visitor.principal.name
    to = {"mine": name, "back": ""}.get(act, visitor.fields.get("to", "").strip())
    if len(to) > _NAME or (not to and act != "back"):
        wrong = f"Write who takes it on: 1 to {_NAME} characters."
        return await _shown(visitor, number, wrong=wrong, status=422)
    await visitor.hub.exceptions.assign(number, to, by=name)
    return RedirectResponse(f"{_ROOM}/{number}", 303)


@api.post("/exceptions/{number}/comment")
async def comment(visitor: Acting, number: Number) -> Response:
    """A word for the others."""
    await _may(visitor, number)
    text = _needed(visitor, "text")
    await visitor.hub.exceptions.comment(number, text, by=visitor.principal.name)
    return RedirectResponse(f"{_ROOM}/{number}", 303)


@api.post("/exceptions/{number}/resolve")
async def resolve(visitor: Acting, number: Number) -> Response:
    """Ends it by hand; when its cause strikes again it is reopened."""
    await _may(visitor, number)
    text = _needed(visitor, "resolution")
    await visitor.hub.exceptions.resolve(number, text, by=visitor.principal.name)
    return RedirectResponse(f"{_ROOM}/{number}", 303)


async def _may(visitor: Visitor, number: int) -> None:
    visitor.need(_ACT)
    await _one(visitor, number)


def _needed(visitor: Visitor, name: str) -> str:
    text = visitor.fields.get(name, "").strip()
    if not text or len(text) > _TEXT:
        raise Problem(422, "invalid", f"this needs a text of 1 to {_TEXT} characters")
    return text
