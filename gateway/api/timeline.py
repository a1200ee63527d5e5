"""GET /v1/events/{position}/timeline: one event's whole way, from the bytes that came to what it caused."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from canonical.event import to_json
from canonical.ports import RawMessage, Recorded
from deadletter.entry import DeadLetter
from gateway import trail
from gateway.api.answers import ERRORS, json, moment, readable
from gateway.api.events import Position, event_for, shown, visible
from gateway.api.letters import summary
from gateway.auth import READ, Principal, hub_of, require
from gateway.hub import Hub
from gateway.trail import Trail
from router.shadow import Shadowed

__all__ = ["api", "sees_raw"]

api = APIRouter(tags=["events"], responses=ERRORS)

_RELATED = 100


@api.get("/v1/events/{position}/timeline", summary="One event's whole way")
async def timeline(
    request: Request, principal: Annotated[Principal, Depends(require(READ))], position: Position
) -> Response:
    """The raw message, the event, what became of it on every route, its dead letters, causes and effects.

    `state` of a route: `not_matched` (another type or plant), `passed` (the route's condition left it out,
    or the route began after it), `waiting`, `delivered`, `retrying`, `parked`, `dead`, `blocked` (behind one
    of these with the same key), `shadow` (recorded as `would_deliver`, and not delivered)."""
    hub = hub_of(request)
    item = await event_for(hub, principal, position)
    raw = await hub.journal.raw(position) if sees_raw(hub, principal, item) else None
    trails, letters = await trail.read(hub, item)
    seen, cause = visible(principal), item.event.causationid
    causes = await hub.search.identified(cause, seen=seen, limit=_RELATED) if cause else []
    effects = await hub.search.effects(item.event.id, seen=seen, limit=_RELATED)
    return json(
        {
            "position": position,
            "raw": None if raw is None else _raw(raw),
            "event": to_json(item.event),
            "routes": [_route(each) for each in trails],
            "dead_letters": [_letter(letter) for letter in letters],
            "causes": [shown(hit) for hit in causes],
            "effects": [shown(hit) for hit in effects],
        }
    )


def sees_raw(hub: Hub, principal: Principal, item: Recorded) -> bool:
    """A message may hold events of several plants and domains: only those who may see all of them see it."""
    if principal.everywhere:
        return True
    adapter = hub.adapters.get(item.event.source.rpartition("/")[2])
    return (
        principal.domains is None
        and adapter is not None
        and adapter.plant is not None
        and principal.sees(adapter.plant)
    )


def _raw(raw: RawMessage) -> dict[str, Any]:
    return {
        "adapter": raw.adapter,
        "id": raw.id,
        "received_at": raw.received_at,
        "content_type": raw.content_type,
        "attributes": raw.attributes,
        **readable(raw.body),
    }


def _route(each: Trail) -> dict[str, Any]:
    return {
        "route": each.route,
        "state": each.state,
        "at": moment(each.at),
        "attempts": each.attempts,
        "receipt": each.receipt,
        "due_at": moment(each.due_at),
        "code": each.code,
        "error": each.error,
        "dead_letter": each.dead_letter,
        "reason": each.reason,
        "would_deliver": None if each.shadowed is None else _shadow(each.shadowed),
    }


def _shadow(recorded: Shadowed) -> dict[str, Any]:
    return {
        "at": moment(recorded.at),
        "content_type": recorded.content_type,
        "target": recorded.target,
        **readable(recorded.payload),
    }


def _letter(letter: DeadLetter) -> dict[str, Any]:
    return {
        name: value for name, value in summary(letter).items() if name not in {"event", "body", "body_base64"}
    }
