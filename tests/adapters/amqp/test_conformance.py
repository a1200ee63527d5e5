"""The AMQP source and sink pass the contract suite against RabbitMQ."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from adapters.amqp import SPEC
from adapters.amqp.config import AmqpOptions
from adapters.amqp.sink import AmqpSink
from adapters.amqp.source import AmqpSource
from adapters.conformance import sink, source
from canonical.event import Event
from canonical.ports import Delivery, RawMessage
from canonical.spec import AdapterContext
from tests.adapters.amqp.peers import connected, unique
from tests.servers import RabbitMQ

pytestmark = [pytest.mark.requires_server("rabbitmq"), pytest.mark.xdist_group("rabbitmq")]


class AmqpPeer:
    """What both harnesses share: a broker that is there or not, and a quorum queue in it."""

    patience_s = 20.0

    def __init__(self, broker: RabbitMQ) -> None:
        self.broker = broker
        self.queue = unique("conformance")

    async def start_server(self) -> tuple[str, int]:
        if self.broker.process.running is None:
            await asyncio.to_thread(self.broker.start)
        async with connected(self.broker) as peer:
            await peer.make_queue(self.queue)
        return self.broker.host, self.broker.port

    async def stop_server(self) -> None:
        if self.broker.process.running is not None:
            await asyncio.to_thread(self.broker.save)
            await asyncio.to_thread(self.broker.kill9)

    def options(self, host: str, port: int, **more: object) -> AmqpOptions:
        quick = {"heartbeat": "1s", "connect_timeout": "3s", "publish_timeout": "3s", "max_backoff": "1s"}
        return AmqpOptions.model_validate({"url": f"amqp://{host}:{port}", **quick, **more})


class AmqpSourceHarness(AmqpPeer):
    """Messages are their marks, padded; every second one has a message-id."""

    guarantees = SPEC.guarantees

    def __init__(self, broker: RabbitMQ) -> None:
        super().__init__(broker)
        self.numbers = itertools.count()

    def make_source(self, context: AdapterContext, host: str, port: int) -> AmqpSource:
        return AmqpSource(self.options(host, port, queue=self.queue, prefetch=100), context)

    async def publish(self, count: int, size_bytes: int = 0) -> Sequence[str]:
        marks = [f"message-{next(self.numbers)}" for _ in range(count)]
        async with connected(self.broker) as peer:
            for number, mark in enumerate(marks):
                body = mark.encode().ljust(size_bytes, b".")
                await peer.publish(self.queue, [body], message_id=mark if number % 2 else None)
        return marks

    def mark(self, raw: RawMessage) -> str | None:
        return raw.body.decode().rstrip(".")


class AmqpSinkHarness(AmqpPeer):
    """The queue is drained by a peer that keeps what it took."""

    traits = SPEC.traits

    def __init__(self, broker: RabbitMQ) -> None:
        super().__init__(broker)
        self.taken: list[str] = []

    def make_sink(self, context: AdapterContext, host: str, port: int) -> AmqpSink:
        return AmqpSink(self.options(host, port), context)

    def delivery(self, number: int, *, poison: bool = False) -> Delivery | None:
        event = Event(id=str(number), source="/tests", type="com.crossplant.test.v1", time=datetime.now(UTC))
        return Delivery(
            event=event,
            payload=b"{}",
            content_type="application/json",
            key=f"subject-{number}",
            idempotency_key=f"key-{number}",
            target={"routing_key": unique("nobody") if poison else self.queue},
        )

    async def received(self) -> Sequence[str]:
        async with connected(self.broker) as peer:
            self.taken += [str(message.message_id) for message in await peer.take(self.queue)]
        return self.taken


@pytest.fixture
def source_harness(rabbitmq_of_session: RabbitMQ) -> AmqpSourceHarness:
    return AmqpSourceHarness(rabbitmq_of_session)


@pytest.fixture
def sink_harness(rabbitmq_of_session: RabbitMQ) -> AmqpSinkHarness:
    return AmqpSinkHarness(rabbitmq_of_session)


@pytest.mark.parametrize("case", source.cases(SPEC.guarantees), ids=lambda case: case.__name__)
async def test_source(case: source.Case, source_harness: AmqpSourceHarness) -> None:
    await case(source_harness)


@pytest.mark.parametrize("case", sink.cases(), ids=lambda case: case.__name__)
async def test_sink(case: sink.Case, sink_harness: AmqpSinkHarness) -> None:
    await case(sink_harness)
