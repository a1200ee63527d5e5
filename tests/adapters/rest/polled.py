"""A polling source that runs, what it gave, and a server with entries to poll."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from adapters.rest import SPEC
from canonical.ports import Inbound, Outcome, RawMessage
from canonical.spec import AdapterContext
from tests.adapters.rest.peer import Peer, Request, context, options
from tests.waiting import eventually

EVERY = "100ms"


class Taken:
    """What a source gave; acknowledges at once, unless told not to."""

    def __init__(self, source: Any, *, acknowledges: bool = True) -> None:
        self.source = source
        self.acknowledges = acknowledges
        self.batches: list[Inbound] = []

    @property
    def messages(self) -> list[RawMessage]:
        return [message for batch in self.batches for message in batch.messages]

    @property
    def bodies(self) -> list[Any]:
        return [json.loads(message.body) for message in self.messages]

    @property
    def state(self) -> bytes | None:
        return next((batch.state for batch in reversed(self.batches) if batch.state), None)

    async def take(self) -> None:
        async for batch in self.source.receive():
            self.batches.append(batch)
            if self.acknowledges:
                await batch.ack([Outcome(status="accepted")] * len(batch.messages))


@asynccontextmanager
async def polling(
    url: str, where: AdapterContext | None = None, *, acknowledges: bool = True, **poll: Any
) -> AsyncIterator[Taken]:
    """A running source that asks ``url``, and what it gave."""
    extra = poll.pop("options", {})
    settings = options(url=url, poll={"every": EVERY, "retry_max": "1s", **poll}, **extra)
    assert SPEC.source is not None
    source = SPEC.source(settings, where or context())
    taken = Taken(source, acknowledges=acknowledges)
    await source.open()
    taking = asyncio.create_task(taken.take())
    try:
        yield taken
    finally:
        await source.close()
        await asyncio.wait_for(taking, 5)


def gives(value: Any, **headers: str) -> Callable[[Request], web.Response]:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return lambda _: web.json_response(value, headers=named)


async def polled(peer: Peer, times: int) -> None:
    """Returns when the server was asked so many more times."""
    wanted = len(peer.requests) + times
    await eventually(lambda: len(peer.requests) >= wanted)


class Ledger:
    """A server with entries, numbered from 1, that gives two per page, those after ``since``."""

    def __init__(self) -> None:
        self.entries = 0

    def answer(self, request: Request) -> web.Response:
        query = dict(part.split("=") for part in request.target.partition("?")[2].split("&") if part)
        first = int(query.get("from", query.get("since", "0"))) + 1
        numbers = list(range(first, self.entries + 1))
        page, rest = numbers[:2], numbers[2:]
        following = f"/?since={query.get('since', 0)}&from={page[-1]}" if rest else None
        return web.json_response({"items": [{"number": number} for number in page], "next": following})


LEDGER: dict[str, Any] = {
    "items": "payload.items",
    "id": "item.number",
    "next": "payload.next",
    "cursor": {"query": "since", "from": "item.number", "initial": "0"},
}


def numbers(taken: Taken) -> list[int]:
    return [body["number"] for body in taken.bodies]
