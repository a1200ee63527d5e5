"""Exceptions as tasks: what waits for a person, whose it is, until when."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Request
from msgspec import Struct, structs
from starlette.responses import Response

from gateway.api.answers import (
    ERRORS,
    Cursor,
    Limit,
    as_cursor,
    body_as,
    from_cursor,
    json,
    listed,
    moment,
    request_body,
)
from gateway.auth import OPERATE, READ, STEWARD, Principal, forbidden, hub_of, require
from gateway.exceptions import Note, Task
from gateway.hub import Hub
from gateway.problems import Problem

__all__ = ["api", "seen_tasks", "sees_task"]

api = APIRouter(tags=["exceptions"], responses=ERRORS)

Reader = Annotated[Principal, Depends(require(READ))]
Actor = Annotated[Principal, Depends(require(OPERATE | STEWARD))]
Number = Annotated[int, Path(ge=1, lt=2**63)]
_Text = Annotated[str | None, Query(max_length=1024)]


class Assignment(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who takes it on; empty gives it back to its queue."""

    to: str


class Comment(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the others should know."""

    text: str


class Resolution(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was done about it."""

    resolution: str


@api.get("/v1/exceptions", summary="What waits for a person, the most urgent first")
async def exceptions(
    request: Request,
    principal: Reader,
    status: Annotated[
        Literal["open", "all"], Query(description="`open`: all that are not resolved.")
    ] = "open",
    kind: Annotated[Literal["business", "technical"] | None, Query()] = None,
    queue: _Text = None,
    assignee: _Text = None,
    plant: _Text = None,
    route: _Text = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """By priority, then due time. One task per cause, however often it struck (`occurrences`): an unknown
    code, a group of dead letters, a missed service level, an overdue acknowledgement. It closes by itself
    once its cause is gone. `queue` is the team that it belongs to."""
    wanted = {"kind": kind, "queue": queue, "assignee": assignee, "plant": plant, "route": route}
    filters = {name: value for name, value in wanted.items() if value is not None}
    hub = hub_of(request)
    after: tuple[int, float, int] | None = None
    if cursor is not None:
        priority, due_at, identifier = from_cursor(cursor, int, float, int)
        after = priority, due_at, identifier
    found = await seen_tasks(
        hub, principal, filters, open_only=status == "open", after=after, limit=limit + 1
    )
    return listed(request, found, limit, _shown, lambda last: as_cursor(last.priority, last.due_at, last.id))


@api.get("/v1/exceptions/statistics", summary="How long exceptions take")
async def statistics(request: Request, principal: Reader) -> Response:
    """From opening to resolution, of what was resolved within 30 days; a reopening continues the clock."""
    return json(await hub_of(request).exceptions.resolution_time())


@api.get("/v1/exceptions/{number}", summary="One exception and its history")
async def exception(request: Request, principal: Reader, number: Number) -> Response:
    """`history` tells who did what, oldest first."""
    task, notes = await _one(request, principal, number)
    return json(_shown(task) | {"history": [_noted(note) for note in notes]})


@api.post(
    "/v1/exceptions/{number}/assign",
    summary="Take it on, or hand it on",
    openapi_extra=request_body(Assignment),
)
async def assign(request: Request, principal: Actor, number: Number) -> Response:
    """409 when it is resolved."""
    to = (await body_as(request, Assignment)).to.strip()
    _short("/to", to, 200)
    await _one(request, principal, number)
    return json(_shown(await hub_of(request).exceptions.assign(number, to, by=principal.name)))


@api.post(
    "/v1/exceptions/{number}/comment",
    summary="Leave word for the others",
    openapi_extra=request_body(Comment),
)
async def comment(request: Request, principal: Actor, number: Number) -> Response:
    """It stands in the history and in the audit."""
    text = (await body_as(request, Comment)).text.strip()
    _needed("/text", text)
    await _one(request, principal, number)
    return json(_shown(await hub_of(request).exceptions.comment(number, text, by=principal.name)))


@api.post("/v1/exceptions/{number}/resolve", summary="End it", openapi_extra=request_body(Resolution))
async def resolve(request: Request, principal: Actor, number: Number) -> Response:
    """When its cause strikes again it is reopened, and its clock goes on. 409 when it is resolved."""
    resolution = (await body_as(request, Resolution)).resolution.strip()
    _needed("/resolution", resolution)
    await _one(request, principal, number)
    return json(_shown(await hub_of(request).exceptions.resolve(number, resolution, by=principal.name)))


async def _one(request: Request, principal: Principal, number: int) -> tuple[Task, list[Note]]:
    task, notes = await hub_of(request).exceptions.show(number)
    if not sees_task(principal, task):
        raise forbidden("the exception is of a plant that is not the key's")
    return task, notes


async def seen_tasks(
    hub: Hub,
    principal: Principal,
    filters: Mapping[str, object],
    *,
    open_only: bool = True,
    after: tuple[int, float, int] | None = None,
    limit: int,
) -> list[Task]:
    """The most urgent that may be seen; those of other plants are passed over."""
    found: list[Task] = []
    while len(found) < limit:
        read = await hub.exceptions.page(filters, open_only=open_only, after=after, limit=limit)
        found += [task for task in read if sees_task(principal, task)]
        if len(read) < limit:
            break
        after = read[-1].priority, read[-1].due_at, read[-1].id
    return found[:limit]


def sees_task(principal: Principal, task: Task) -> bool:
    """A task is about a plant, and about no one domain."""
    return principal.sees(task.plant or None)


def _needed(pointer: str, text: str) -> None:
    if not text:
        raise Problem(422, "invalid", "this needs a text", errors=[(pointer, "is empty")])
    _short(pointer, text, 2000)


def _short(pointer: str, text: str, most: int) -> None:
    if len(text) > most:
        raise Problem(
            422, "invalid", "the text is too long", errors=[(pointer, f"has more than {most} characters")]
        )


def _shown(task: Task) -> dict[str, Any]:
    told = structs.asdict(task)
    for name in ("cause", "version", "told"):
        del told[name]
    return told | {name: moment(told[name]) for name in ("opened_at", "last_at", "due_at", "resolved_at")}


def _noted(note: Note) -> dict[str, Any]:
    return structs.asdict(note) | {"at": moment(note.at)}
