"""Lanes: keys that are blocked on a route, and how they are let go."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from msgspec import Struct
from starlette.responses import Response

from canonical.event import decode
from canonical.ports import Transaction
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
    page,
    position_cursor,
    request_body,
)
from gateway.api.reasons import checked
from gateway.auth import OPERATE, READ, Principal, forbidden, hub_of, require
from gateway.problems import Problem
from router import lanes as kept
from router.lanes import Entry, Lane

__all__ = ["api", "sees_lane"]

api = APIRouter(tags=["lanes"], responses=ERRORS)

_EVENT_BYTES = 2000
_READ_AT_ONCE = 200


class Release(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A lane, and why it is let go; that stands in the audit."""

    route: str
    key: str
    reason: str = ""


@api.get("/v1/lanes", summary="Blocked keys, longest first")
async def lanes(
    request: Request,
    principal: Annotated[Principal, Depends(require(READ))],
    route: Annotated[str | None, Query(max_length=200)] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """A lane is a key that cannot go on: its head is `retrying`, `parked` (an unknown code), or `dead` (a
    dead letter); `size` counts the events that wait, the head included. `event` is the head's, when small."""
    after: tuple[int, str, str] | None = None
    if cursor is not None:
        position, of, key = from_cursor(cursor, int, str, str)
        after = (position, of, key)
    found = await _seen(request, principal, route, after, limit + 1)
    return listed(request, found, limit, _shown, _cursor)


def _cursor(lane: Lane) -> str:
    return as_cursor(lane.head.position, lane.head.route, lane.head.key)


async def _seen(
    request: Request, principal: Principal, route: str | None, after: tuple[int, str, str] | None, limit: int
) -> list[Lane]:
    """The next ones that may be seen; those of other domains are passed over."""
    plants = None if principal.plants is None else sorted(principal.plants)
    store = hub_of(request).journal
    found: list[Lane] = []
    while len(found) < limit:
        size = limit - len(found) if principal.domains is None else _READ_AT_ONCE
        start = after

        def work(transaction: Transaction, start: Any = start, size: int = size) -> list[Lane]:
            return kept.page(transaction, route=route, plants=plants, after=start, limit=size)

        read = await store.read(work)
        found += [lane for lane in read if sees_lane(principal, lane.head)]
        if len(read) < size:
            break
        after = (read[-1].head.position, read[-1].head.route, read[-1].head.key)
    return found[:limit]


def sees_lane(principal: Principal, head: Entry) -> bool:
    """Whether the lane with that head is of the key's plants and domains."""
    if principal.domains is None:
        return principal.sees(head.plant or None)
    return principal.sees(head.plant or None, decode(head.event).domain or "-")


def _shown(lane: Lane) -> dict[str, Any]:
    head = lane.head
    missing = {"domain": head.code_domain, "system": head.code_system, "value": head.code_value}
    return {
        "route": head.route,
        "key": head.key,
        "state": head.state,
        "size": lane.size,
        "plant": head.plant or None,
        "position": head.position,
        "attempts": head.attempts,
        "due_at": moment(head.due_at),
        "entered_at": moment(head.entered_at),
        "code": head.code,
        "error": head.error,
        "missing": missing if head.code_value else None,
        "dead_letter": head.dead_letter,
        "event": msgspec.Raw(head.event) if len(head.event) <= _EVENT_BYTES else None,
    }


@api.get("/v1/lanes/waiting", summary="What waits in one lane, in its order")
async def waiting(
    request: Request,
    principal: Annotated[Principal, Depends(require(READ))],
    route: Annotated[str, Query(max_length=200, description="The route.")],
    key: Annotated[str, Query(max_length=2000, description="The key, as `/v1/lanes` shows it.")],
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """The events of a blocked key on a route, the head first: once it is delivered, the others are in this
    order. 404 when the key is not blocked there."""
    after = position_cursor(cursor) or 0
    store = hub_of(request).journal
    heads, found = await store.read(
        lambda t: (
            kept.heads(t, route, key, 1),
            kept.waiting(t, route, key, after=after, limit=limit + 1),
        )
    )
    if not heads:
        raise _free(route, key)
    if not sees_lane(principal, heads[0]):
        raise forbidden("the lane is of a plant or domain that is not the key's")
    more, found = len(found) > limit, found[:limit]
    items = [_waiting(row) for row in found if sees_lane(principal, row)]
    return page(request, items, str(found[-1].position) if more else None)


def _waiting(row: Entry) -> dict[str, Any]:
    event = decode(row.event)
    return {
        "position": row.position,
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "subject": event.subject,
        "time": event.time,
        "entered_at": moment(row.entered_at),
        "state": row.state,
        "dead_letter": row.dead_letter,
    }


def _free(route: str, key: str) -> Problem:
    return Problem(404, "not_found", f"nothing with the key {key!r} is blocked on route {route!r}")


@api.post("/v1/lanes/release", summary="Let a blocked key try again", openapi_extra=request_body(Release))
async def release(request: Request, principal: Annotated[Principal, Depends(require(OPERATE))]) -> Response:
    """The head is tried now, whatever it waits for; when it is delivered, the others follow in order."""
    hub = hub_of(request)
    wanted = await body_as(request, Release)
    reason = checked(wanted.reason)
    heads = await hub.journal.read(lambda t: kept.heads(t, wanted.route, wanted.key, 1))
    if not heads:
        raise _free(wanted.route, wanted.key)
    if not sees_lane(principal, heads[0]):
        raise forbidden("the lane is of a plant or domain that is not the key's")
    waiting = await hub.lanes_release(wanted.route, wanted.key, by=principal.name, reason=reason)
    return json({"route": wanted.route, "key": wanted.key, "released": waiting})
