"""The console's pulse: tells open pages that it is worth asking again (server-sent events)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

from starlette.responses import Response, StreamingResponse

from gateway.auth import session_of
from gateway.console.guard import room
from gateway.console.visitor import Looking, Visitor
from gateway.problems import Problem

__all__ = ["api"]

api = room()

_EVERY_S: Final = 2.0
_STILL: Final = 5
"""After so many beats without any change ages have grown enough to be shown anew."""
_MOST_STREAMS: Final = 200


@api.get("/live")
async def live(visitor: Looking) -> Response:
    """``changed`` when something is new, ``beat`` when nothing is: a page that hears neither is not live."""
    state = visitor.request.app.state
    if state.streams >= _MOST_STREAMS:
        raise Problem(503, "busy", "too many pages are live", retryable=True, headers={"Retry-After": "30"})
    return StreamingResponse(
        _beats(visitor, state), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"}
    )


async def _beats(visitor: Visitor, state: Any) -> AsyncIterator[bytes]:
    """Until the hub closes, or the session ends."""
    state.streams += 1
    try:
        yield b"retry: 3000\n\n"
        last: object = None  # something may have happened since the page was made
        still = 0
        while not await state.closing.wait(_EVERY_S):
            if session_of(visitor.request, touch=False) is None:
                yield b"event: ended\ndata: session\n\n"
                return
            sign = _sign(visitor)
            still = 0 if sign != last else still + 1
            changed, last = sign != last or still >= _STILL, sign
            if changed:
                still = 0
            yield b"event: changed\ndata: 1\n\n" if changed else b"event: beat\ndata: 1\n\n"
    finally:
        state.streams -= 1


def _sign(visitor: Visitor) -> object:
    """Differs when there may be something new to see."""
    hub = visitor.hub
    states = tuple(each.health.connected for each in hub.adapters.values())
    ended = hub.metrics.deliveries.total()
    return hub.journal.head, ended, hub.metrics.snapshot.at, states
