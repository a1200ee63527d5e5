"""GET /v1/events/stream: events as they are committed, as server-sent events.

Source: WHATWG HTML, 9.2. The ``id`` is the position; who comes back with ``Last-Event-ID`` goes on there.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, Query, Request
from starlette.responses import Response, StreamingResponse

from gateway import reading
from gateway.api.answers import ERRORS, position_cursor
from gateway.auth import READ, Principal, hub_of, require
from gateway.hub import Hub
from gateway.problems import Problem
from gateway.projections.search import Filters
from gateway.selection import Selection, filters_of, header_filter, matcher
from gateway.stream import Tail

__all__ = ["api"]

api = APIRouter(tags=["events"], responses=ERRORS)

HEARTBEAT_S: Final = 15.0
_MOST_STREAMS: Final = 200


@api.get(
    "/v1/events/stream",
    summary="Events as they are committed (SSE)",
    response_class=StreamingResponse,
    responses={200: {"description": "Server-sent events.", "content": {"text/event-stream": {}}}},
)
async def stream(
    request: Request,
    principal: Annotated[Principal, Depends(require(READ))],
    selection: Annotated[Selection, Depends()],
    after: Annotated[str | None, Query(description="Begin after this position; without it: now.")] = None,
    last_event_id: Annotated[str | None, Header(description="Goes before `after`.")] = None,
) -> Response:
    """`id` is the position, `data` the CloudEvent. Every 15 s of silence a comment comes. 410 when what comes
    next was removed by the retention: begin anew, and know that something is missing."""
    hub, state = hub_of(request), request.app.state
    filters = filters_of(selection, principal)
    begin = position_cursor(last_event_id or after)
    position = hub.journal.head if begin is None else min(begin, hub.journal.head)
    await _refuse_pruned(hub, position)
    if state.streams >= _MOST_STREAMS:
        raise Problem(503, "busy", "too many streams are open", retryable=True, headers={"Retry-After": "30"})
    return StreamingResponse(
        _lines(hub, state, principal, filters, position),
        media_type="text/event-stream",
        headers={"X-Accel-Buffering": "no"},
    )


async def _refuse_pruned(hub: Hub, position: int) -> None:
    if position >= hub.journal.head:
        return
    oldest, _ = await hub.journal.events(0, limit=1)
    if oldest and oldest[0].position > position + 1:
        raise Problem(
            410,
            "pruned",
            f"the events after position {position} are gone; the oldest is at {oldest[0].position}",
            more={"oldest": oldest[0].position},
        )


async def _lines(
    hub: Hub, state: Any, principal: Principal, filters: Filters, position: int
) -> AsyncIterator[bytes]:
    tail: Tail = state.tail
    state.streams += 1
    try:
        yield b"retry: 2000\n\n"
        batches = tail.follow(
            position,
            matcher(filters),
            header_filter(filters),
            quiet_s=state.heartbeat_s,
            ended=state.closing.is_set,
        )
        checked_s = time.monotonic()
        async for found, reached in batches:
            if time.monotonic() - checked_s >= state.heartbeat_s:
                checked_s = time.monotonic()
                if not await hub.keys.alive(principal.key_id):
                    return
            if found:
                yield b"".join(
                    b"id: %d\ndata: %s\n\n" % (item.position, reading.as_json(item)) for item in found
                )
            else:
                yield b": heartbeat\nid: %d\n\n" % reached
    finally:
        state.streams -= 1
