"""The contract that every adapter keeps, for the polling source and for the sink."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from aiohttp import web

from adapters.conformance import sink as sink_suite
from adapters.conformance import source as source_suite
from adapters.rest import SPEC
from canonical.event import Event
from canonical.ports import Delivery, Inbound, Outcome, RawMessage, Sink, Source
from canonical.spec import AdapterContext
from tests.adapters.rest.peer import Peer, Request, options

PAGE = 50
POISON = b'{"poison": true}'


class AtCommit:
    """A source whose hub dies before the commit: state and messages are kept together, or neither.

    The suite's stand-in keeps both and then does not acknowledge, which for a poll is one and the same.
    """

    def __init__(self, source: Source, keep: Any) -> None:
        self.source = source
        self.keep = keep
        self.open, self.close = source.open, source.close

    async def receive(self) -> AsyncIterator[Inbound]:
        async for inbound in self.source.receive():
            yield Inbound(messages=inbound.messages, ack=self._keeping(inbound), state=inbound.state)

    def _keeping(self, inbound: Inbound) -> Any:
        async def ack(outcomes: Sequence[Outcome]) -> None:
            if inbound.state is not None:
                self.keep(inbound.state)
            await inbound.ack(outcomes)

        return ack


class PolledLedger:
    """A server that keeps entries and gives them in pages, those after ``since``."""

    guarantees = SPEC.guarantees
    patience_s = 10.0

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []
        self.state: bytes | None = None
        self.peer = Peer(answer=self._answer)

    async def start_server(self) -> tuple[str, int]:
        await self.peer.start()
        return "127.0.0.1", self.peer.port

    async def stop_server(self) -> None:
        await self.peer.stop()

    def make_source(self, context: AdapterContext, host: str, port: int) -> Source:
        settings = options(
            url=f"http://{host}:{port}",
            poll={
                "every": "100ms",
                "retry_max": "1s",
                "items": "payload.items",
                "id": "item.number",
                "next": "payload.next",
                "cursor": {"query": "since", "from": "item.number"},
            },
        )
        context.state = self.state
        assert SPEC.source is not None
        return AtCommit(SPEC.source(settings, context), lambda state: setattr(self, "state", state))

    async def publish(self, count: int, size_bytes: int = 0) -> Sequence[str]:
        first = len(self.entries) + 1
        self.entries += [{"number": first + at, "pad": "x" * size_bytes} for at in range(count)]
        return [str(first + at) for at in range(count)]

    def mark(self, raw: RawMessage) -> str | None:
        return str(json.loads(raw.body)["number"])

    def _answer(self, request: Request) -> web.Response:
        first = int(request.target.partition("since=")[2] or 0)
        page, rest = self.entries[first : first + PAGE], self.entries[first + PAGE :]
        following = f"/?since={page[-1]['number']}" if rest else None
        return web.json_response({"items": page, "next": following})


class Keeper:
    """A server that keeps what it is sent, by idempotency key, and refuses poison."""

    traits = SPEC.traits
    patience_s = 5.0

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.peer = Peer(answer=self._answer)

    async def start_server(self) -> tuple[str, int]:
        await self.peer.start()
        return "127.0.0.1", self.peer.port

    async def stop_server(self) -> None:
        await self.peer.stop()

    def make_sink(self, context: AdapterContext, host: str, port: int) -> Sink:
        assert SPEC.sink is not None
        return SPEC.sink(options(url=f"http://{host}:{port}"), context)

    def delivery(self, number: int, *, poison: bool = False) -> Delivery | None:
        return Delivery(
            event=Event(id=f"e-{number}", source="/test", type="test"),
            payload=POISON if poison else b"{}",
            content_type="application/json",
            key=f"k-{number}",
            idempotency_key=f"i-{number}",
            target={"path": f"documents/{number}"},
        )

    async def received(self) -> Sequence[str]:
        return list(self.keys)

    async def _answer(self, request: Request) -> web.StreamResponse:
        await asyncio.sleep(0)
        if request.body == POISON:
            return web.Response(status=422)
        self.keys.append(request.headers["Idempotency-Key"])
        return web.Response(status=201)


@pytest.mark.parametrize(
    "case",
    source_suite.cases(SPEC.guarantees, acknowledges_by_connection=False),
    ids=lambda case: case.__name__,
)
@pytest.mark.usefixtures("impatient")
async def test_source(case: source_suite.Case) -> None:
    harness = PolledLedger()
    try:
        await case(harness)
    finally:
        await harness.stop_server()


@pytest.mark.parametrize("case", sink_suite.cases(), ids=lambda case: case.__name__)
async def test_sink(case: sink_suite.Case) -> None:
    harness = Keeper()
    try:
        await case(harness)
    finally:
        await harness.stop_server()
