"""What goes wrong at or on the way to the broker: death, silence, alarms, refusals, rubbish."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from adapters.amqp.config import AmqpOptions
from adapters.amqp.sink import AmqpSink
from adapters.amqp.source import AmqpSource
from adapters.conformance.proxy import FaultProxy
from canonical.errors import TransientError, Unauthorized
from canonical.ports import Accepted, Delivery, Failed, Unknown
from tests.adapters.amqp.conftest import LoggedHub, MakeOptions
from tests.adapters.amqp.deliveries import delivery, error_of
from tests.adapters.amqp.peers import Peer, connected, unique
from tests.servers import RabbitMQ
from tests.waiting import eventually

pytestmark = [pytest.mark.requires_server("rabbitmq"), pytest.mark.xdist_group("rabbitmq")]


def _address(server: RabbitMQ | FaultProxy) -> str:
    return f"{server.host}:{server.port}"


@asynccontextmanager
async def _open(settings: AmqpOptions, hub: LoggedHub) -> AsyncIterator[AmqpSink]:
    sink = AmqpSink(settings, hub.new_context())
    await sink.open()
    try:
        yield sink
    finally:
        await sink.close()


@pytest.mark.parametrize("direction", ["both", "down"])
async def test_a_half_open_connection_is_noticed_within_two_heartbeats(
    rabbitmq: RabbitMQ, queue: str, hub: LoggedHub, options: MakeOptions, direction: str
) -> None:
    async with FaultProxy(rabbitmq.host, rabbitmq.port) as proxy:
        settings = options(_address(proxy), queue=queue, heartbeat="2s")
        async with hub.runs(AmqpSource(settings, hub.new_context())):
            await eventually(lambda: hub.context.health.connected)
            started = time.monotonic()
            proxy.black_hole(direction)  # type: ignore[arg-type]
            await eventually(lambda: not hub.context.health.connected)
            assert time.monotonic() - started < 4.0
            await eventually(lambda: "no sign of life" in hub.context.health.detail)
            proxy.heal()
            await eventually(lambda: hub.context.health.connected)


async def test_nothing_confirmed_and_nothing_acknowledged_is_lost_when_the_broker_is_killed(
    rabbitmq: RabbitMQ, hub: LoggedHub, options: MakeOptions
) -> None:
    async with connected(rabbitmq) as peer:
        queue = await peer.make_queue(unique("killed"))
    await asyncio.to_thread(rabbitmq.save)
    settings = options(_address(rabbitmq), queue=queue, prefetch=100)
    async with hub.runs(AmqpSource(settings, hub.new_context())), _open(settings, hub) as sink:
        sending = asyncio.create_task(_send_all(sink, queue, 3_000))
        await eventually(lambda: len(hub.committed) > 500)
        await asyncio.to_thread(rabbitmq.kill9)
        await eventually(lambda: not hub.context.health.connected)
        await asyncio.to_thread(rabbitmq.start)
        await sending
        await eventually(lambda: len({raw.id for raw in hub.committed}) == 3_000, 30)
    async with connected(rabbitmq) as peer:
        assert await peer.take(queue) == []
    assert len({raw.body for raw in hub.committed}) == 3_000


async def _send_all(sink: AmqpSink, queue: str, count: int) -> None:
    """Sends again, under the same key, what was not accepted, as the hub does."""
    due: list[Delivery] = [delivery(number, routing_key=queue) for number in range(count)]
    while due:
        outcomes = await sink.send(due[:200])
        due = [
            each for each, outcome in zip(due, outcomes, strict=False) if not isinstance(outcome, Accepted)
        ] + due[200:]


async def test_a_memory_alarm_ends_in_time_shows_and_passes(
    rabbitmq: RabbitMQ, peer: Peer, queue: str, hub: LoggedHub, options: MakeOptions
) -> None:
    settings = options(_address(rabbitmq), connect_timeout="1s", publish_timeout="1500ms")
    async with _open(settings, hub) as sink:
        assert list(await sink.send([delivery(1, routing_key=queue)])) == [Accepted()]
        await asyncio.to_thread(rabbitmq.memory_alarm, on=True)
        try:
            async with asyncio.timeout(4):
                (sent,) = await sink.send([delivery(2, routing_key=queue)])
            assert isinstance(sent, Unknown)
            assert isinstance(error_of(sent), TransientError)
            assert (error_of(sent).code, sent.error.outage) == ("blocked", True)  # type: ignore[attr-defined]
            assert not hub.context.health.connected
            assert "blocks publishers (memory or disk alarm)" in hub.context.health.detail
            async with asyncio.timeout(3):
                (not_sent,) = await sink.send([delivery(3, routing_key=queue)])
            assert isinstance(not_sent, Failed)
            assert error_of(not_sent).code == "blocked"
            started = time.monotonic()
            await eventually(lambda: time.monotonic() - started > 2.5)  # heartbeats go on: no reconnection
        finally:
            await asyncio.to_thread(rabbitmq.memory_alarm, on=False)
        await eventually(lambda: hub.context.health.connected)
        assert list(await sink.send([delivery(3, routing_key=queue)])) == [Accepted()]
        assert hub.log.count("amqp_blocked") == 1
        assert hub.log.count("amqp_disconnected") == 0
    keys = [message.message_id for message in await peer.take(queue)]
    assert keys == ["idempotency-1", "idempotency-2", "idempotency-3"]


async def test_a_hung_broker_leaves_the_outcome_unknown_in_time(
    rabbitmq: RabbitMQ, queue: str, hub: LoggedHub, options: MakeOptions
) -> None:
    settings = options(_address(rabbitmq), publish_timeout="500ms", heartbeat="30s")
    async with _open(settings, hub) as sink:
        assert list(await sink.send([delivery(1, routing_key=queue)])) == [Accepted()]
        rabbitmq.process.freeze()
        try:
            async with asyncio.timeout(2):
                (outcome,) = await sink.send([delivery(2, routing_key=queue)])
        finally:
            rabbitmq.process.thaw()
        assert isinstance(outcome, Unknown)
        assert "no confirm" in error_of(outcome).message
        await eventually(lambda: hub.context.health.connected)
        assert list(await sink.send([delivery(3, routing_key=queue)])) == [Accepted()]


async def test_a_wrong_password_is_said_and_not_tried_again_and_again(
    rabbitmq: RabbitMQ, hub: LoggedHub, options: MakeOptions
) -> None:
    async with FaultProxy(rabbitmq.host, rabbitmq.port) as proxy:
        wrong = options(
            _address(proxy), username="guest", password="canary", max_backoff="60s", connect_timeout="2s"
        )
        async with _open(wrong, hub) as sink:
            (outcome,) = await sink.send([delivery(1, routing_key="q")])
            assert isinstance(outcome, Failed)
            assert isinstance(error_of(outcome), Unauthorized)
            assert "refuses the login" in hub.context.health.detail
            assert "next attempt in 60.0 s" in hub.context.health.detail
            assert proxy.connections == 1
    assert "canary" not in str(hub.log.records) + hub.context.health.detail


async def test_a_virtual_host_that_is_not_there_is_named(
    rabbitmq: RabbitMQ, hub: LoggedHub, options: MakeOptions
) -> None:
    settings = options(f"{_address(rabbitmq)}/nowhere", queue="q", max_backoff="60s")
    async with hub.runs(AmqpSource(settings, hub.new_context())):
        await eventually(lambda: "refuses the virtual host 'nowhere'" in hub.context.health.detail)


async def test_a_queue_that_we_may_not_read_is_said(
    rabbitmq: RabbitMQ, queue: str, hub: LoggedHub, options: MakeOptions
) -> None:
    user = unique("user")
    await asyncio.to_thread(rabbitmq.control, "add_user", user, "secret")
    await asyncio.to_thread(rabbitmq.control, "set_permissions", user, "", "", "")
    settings = options(_address(rabbitmq), queue=queue, username=user, password="secret")
    async with hub.runs(AmqpSource(settings, hub.new_context())):
        await eventually(lambda: f"access to queue '{queue}'" in hub.context.health.detail)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"", "does not answer within 0.5 s"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "what answers is not AMQP 0-9-1"),
        (b"\x01\x00\x00\x7f\xff\xff\xff", "a frame of 2147483648 bytes was announced"),
        (b"AMQP\x00\x00\x09\x01", "during the login"),
    ],
)
async def test_what_is_no_broker_is_given_up_in_time(
    hub: LoggedHub, options: MakeOptions, answer: bytes, said: str
) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        settings = options(f"127.0.0.1:{port}", queue="q", connect_timeout="500ms")
        async with hub.runs(AmqpSource(settings, hub.new_context())):
            await eventually(lambda: said in hub.context.health.detail, 5)


async def test_a_name_that_nobody_knows_is_said(hub: LoggedHub, options: MakeOptions) -> None:
    settings = options("nowhere.invalid", queue="q")
    async with hub.runs(AmqpSource(settings, hub.new_context())):
        await eventually(lambda: "cannot be looked up" in hub.context.health.detail)
