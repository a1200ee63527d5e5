"""The MQTT source and sink pass the contract suite, with MQTT 5 and 3.1.1, against mosquitto."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from adapters.conformance import sink, source
from adapters.mqtt import SPEC
from adapters.mqtt.config import MqttOptions
from adapters.mqtt.sink import MqttSink
from adapters.mqtt.source import MqttSource
from canonical.event import Event
from canonical.ports import Delivery, RawMessage
from canonical.spec import AdapterContext
from tests.adapters.mqtt.peers import Observer, publish
from tests.servers import Mosquitto, requires_server

PROTOCOLS = ("5", "3.1.1")


class MqttPeer:
    """What both harnesses share: a broker that is there or not."""

    patience_s = 20.0

    def __init__(self, folder: Path, port: int, protocol: str, *, extra: Sequence[str] = ()) -> None:
        self.broker = Mosquitto.create(folder / "mosquitto", port=port, extra=extra)
        self.protocol = protocol

    async def start_server(self) -> tuple[str, int]:
        if self.broker.process.running is None:
            await asyncio.to_thread(self.broker.start)
        return self.broker.host, self.broker.port

    async def stop_server(self) -> None:
        if self.broker.process.running is not None:
            await asyncio.to_thread(self.broker.save)
            await asyncio.to_thread(self.broker.kill9)

    def options(self, host: str, port: int, **more: object) -> MqttOptions:
        return MqttOptions.model_validate(
            {
                "url": f"mqtt://{host}:{port}",
                "protocol": self.protocol,
                "keepalive": "1s",
                "connect_timeout": "3s",
                "publish_timeout": "3s",
                "max_backoff": "1s",
                **more,
            }
        )


class MqttSourceHarness(MqttPeer):
    """Messages are their marks, padded."""

    guarantees = SPEC.guarantees

    def __init__(self, folder: Path, port: int, protocol: str) -> None:
        super().__init__(folder, port, protocol, extra=["max_inflight_messages 100"])
        self.numbers = itertools.count()

    def make_source(self, context: AdapterContext, host: str, port: int) -> MqttSource:
        subscribe = [{"topic": "acme/{plant}/+"}]
        return MqttSource(self.options(host, port, subscribe=subscribe, receive_maximum=100), context)

    async def publish(self, count: int, size_bytes: int = 0) -> Sequence[str]:
        marks = [f"message-{next(self.numbers)}" for _ in range(count)]
        messages = [("acme/brno/line", mark.encode().ljust(size_bytes, b".")) for mark in marks]
        await asyncio.to_thread(publish, self.broker, messages)
        return marks

    def mark(self, raw: RawMessage) -> str | None:
        return raw.body.decode().rstrip(".")


class MqttSinkHarness(MqttPeer):
    """An observer with a session of its own tells what the broker has."""

    traits = SPEC.traits

    def __init__(self, folder: Path, port: int, protocol: str) -> None:
        super().__init__(folder, port, protocol)
        self.observer: Observer | None = None

    async def start_server(self) -> tuple[str, int]:
        address = await super().start_server()
        if self.observer is None:
            self.observer = Observer(self.broker, "deliveries/#")
            await asyncio.to_thread(self.observer.start)
        await asyncio.to_thread(self.observer.ready)
        return address

    async def stop_server(self) -> None:
        await super().stop_server()
        if self.observer is not None:
            self.observer.forget()

    def make_sink(self, context: AdapterContext, host: str, port: int) -> MqttSink:
        return MqttSink(self.options(host, port), context)

    def delivery(self, number: int, *, poison: bool = False) -> Delivery | None:
        event = Event(id=str(number), source="/tests", type="com.crossplant.test.v1", time=datetime.now(UTC))
        return Delivery(
            event=event,
            payload=f"key-{number}".encode(),
            content_type="text/plain",
            key=f"subject-{number}",
            idempotency_key=f"key-{number}",
            target={"topic": "deliveries/#" if poison else f"deliveries/{number % 3}"},
        )

    async def received(self) -> Sequence[str]:
        assert self.observer is not None
        return [message.payload.decode() for message in list(self.observer.messages)]

    async def close(self) -> None:
        if self.observer is not None:
            await asyncio.to_thread(self.observer.stop)
        await self.stop_server()


@pytest.fixture(params=PROTOCOLS)
async def source_harness(
    request: pytest.FixtureRequest, tmp_path: Path, free_port: Callable[[], int]
) -> AsyncIterator[MqttSourceHarness]:
    requires_server("mosquitto")
    harness = MqttSourceHarness(tmp_path, free_port(), request.param)
    yield harness
    await harness.stop_server()


@pytest.fixture(params=PROTOCOLS)
async def sink_harness(
    request: pytest.FixtureRequest, tmp_path: Path, free_port: Callable[[], int]
) -> AsyncIterator[MqttSinkHarness]:
    requires_server("mosquitto")
    harness = MqttSinkHarness(tmp_path, free_port(), request.param)
    yield harness
    await harness.close()


@pytest.mark.parametrize("case", source.cases(SPEC.guarantees), ids=lambda case: case.__name__)
async def test_source(case: source.Case, source_harness: MqttSourceHarness) -> None:
    await case(source_harness)


@pytest.mark.parametrize("case", sink.cases(), ids=lambda case: case.__name__)
async def test_sink(case: sink.Case, sink_harness: MqttSinkHarness) -> None:
    await case(sink_harness)
