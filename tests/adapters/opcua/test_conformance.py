"""The contract of sources, as the conformance suite knows it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from itertools import count

import pytest

from adapters.conformance import source
from adapters.opcua import SPEC
from adapters.opcua.reading import Notification, decode_body
from canonical.ports import RawMessage, Source
from canonical.spec import AdapterContext
from tests.adapters.opcua.running import LINE, options
from tests.servers import OpcuaPeer

NUMBERS = count(1)


class SerialNumbers:
    """One text variable, each of whose values is a message of its own."""

    guarantees = SPEC.guarantees
    patience_s = 20.0

    def __init__(self, peer: OpcuaPeer) -> None:
        self._peer = peer
        self._published: set[str] = set()

    async def start_server(self) -> tuple[str, int]:
        if self._peer.process.running is None:
            await asyncio.to_thread(self._peer.start)
        return "127.0.0.1", self._peer.port

    async def stop_server(self) -> None:
        await asyncio.to_thread(self._peer.kill9)

    def make_source(self, context: AdapterContext, host: str, port: int) -> Source:
        tag = {"node": f"{LINE}serial", "tag": "serial", "sampling_interval": "0ms"}
        settings = options(
            f"opc.tcp://{host}:{port}/UA/peer", tag, max_notifications=1, queue_size=2000, buffer=2
        )
        assert SPEC.source is not None
        return SPEC.source(settings, context)

    async def publish(self, count: int, size_bytes: int = 0) -> Sequence[str]:
        marks = [f"mark-{next(NUMBERS)}" for _ in range(count)]
        self._published.update(marks)
        await asyncio.to_thread(self._set, marks, size_bytes)
        return marks

    def _set(self, marks: Sequence[str], size_bytes: int) -> None:
        for mark in marks:
            self._peer.process.write(f"set serial {mark}:{'x' * size_bytes}")

    def mark(self, raw: RawMessage) -> str | None:
        body = decode_body(raw.body)
        if not isinstance(body, Notification):
            return None
        name = str(body.values[0].value).partition(":")[0]
        return name if name in self._published else None


@pytest.fixture
async def harness(still: OpcuaPeer) -> AsyncIterator[SerialNumbers]:
    numbers = SerialNumbers(still)
    yield numbers
    await numbers.start_server()  # others use it too


# An acknowledgement belongs to the subscription, which outlives the connection that brought the message.
CASES = source.cases(SPEC.guarantees, acknowledges_by_connection=False)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_conformance(case: source.Case, harness: SerialNumbers) -> None:
    await case(harness)
