"""The gateway's web application around a running hub."""

from __future__ import annotations

import asyncio
from functools import partial
from importlib.metadata import version

from fastapi import FastAPI

from gateway import problems
from gateway.api import (
    audit,
    configuration,
    crosswalk_import,
    crosswalks,
    dead_letters,
    dry_run,
    edits,
    events,
    exceptions,
    health,
    keys,
    lanes,
    pages,
    publish,
    replays,
    retries,
    services,
    sla,
    streaming,
    telemetry,
    timeline,
    topology,
    webhooks,
)
from gateway.auth import Attempts
from gateway.console.rooms import ROOMS
from gateway.direct import Direct, Gateway
from gateway.gathering import Gathering
from gateway.hub import Hub
from gateway.limits import Limits, UnderWay
from gateway.outermost import Outermost
from gateway.sessions import Sessions
from gateway.stream import Tail

__all__ = ["build"]

_RESOURCES = (
    publish,
    streaming,  # before events: /v1/events/stream is no position
    events,
    timeline,
    webhooks,
    retries,  # before dead_letters: groups and retries are no numbers
    dry_run,
    dead_letters,
    edits,
    exceptions,
    lanes,
    replays,
    crosswalks,
    crosswalk_import,
    topology,
    telemetry,
    services,
    sla,
    keys,
    configuration,
    audit,
    health,
    pages,
)


def build(hub: Hub) -> FastAPI:
    """The app. Serve it with ``gateway.serving.server``, which guards what no app can.

    ``app.state`` has the hub, the failed proofs per address, the sessions, the open streams, and ``closing``:
    once set, streams end.
    """
    app = Gateway(
        title="Crossplant",
        version=version("crossplant"),
        summary="The gateway of an integration hub for manufacturers",
        description="Events in and out, what became of each, and what needs a person. Errors are problem "
        "details (RFC 9457); lists have keyset cursors with Link rel=next; times are RFC 3339.",
        openapi_url=None,  # ours stand behind a key, and load nothing from elsewhere
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.hub = hub
    app.state.attempts = Attempts()
    app.state.sessions = Sessions(hub.keys, now=hub.clock)
    app.state.tail = Tail(hub.journal)
    app.state.gathering = Gathering(partial(hub.ingest.record, publish.ADAPTER), within_s=publish.RECORD_S)
    app.state.closing = Closing(app.state.tail)
    app.state.streams = 0
    app.state.heartbeat_s = streaming.HEARTBEAT_S
    app.state.document = None
    for resource in _RESOURCES:
        app.include_router(resource.api)
    for each in ROOMS:
        app.include_router(each)
    problems.install(app)
    under_way = UnderWay()
    app.add_middleware(Limits, under_way=under_way)
    app.add_middleware(Outermost, log=hub.log)
    app.direct = Outermost(Limits(Direct(), under_way=under_way), log=hub.log)
    return app


class Closing:
    """The end of the app's streams."""

    def __init__(self, tail: Tail) -> None:
        self._tail, self._event = tail, asyncio.Event()

    def set(self) -> None:
        """Ends them."""
        self._event.set()
        self._tail.wake()

    def is_set(self) -> bool:
        """Whether they are to end."""
        return self._event.is_set()

    async def wait(self, most_s: float) -> bool:
        """Whether they are to end, at once when they are, else after so many seconds."""
        try:
            async with asyncio.timeout(most_s):
                await self._event.wait()
        except TimeoutError:
            pass
        return self._event.is_set()
