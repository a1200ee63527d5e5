"""The AMQP source against RabbitMQ: messages, identity, acknowledgements, queues that are not there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from aio_pika import DeliveryMode, Message

from adapters.amqp.config import AmqpOptions
from adapters.amqp.source import AmqpSource
from adapters.conformance.hub import ACCEPTED
from adapters.conformance.proxy import FaultProxy
from canonical.ports import Inbound
from tests.adapters.amqp.conftest import LoggedHub, MakeOptions
from tests.adapters.amqp.peers import Peer, unique
from tests.servers import RabbitMQ
from tests.waiting import eventually

pytestmark = [pytest.mark.requires_server("rabbitmq"), pytest.mark.xdist_group("rabbitmq")]


def _address(broker: RabbitMQ | FaultProxy) -> str:
    return f"{broker.host}:{broker.port}"


@asynccontextmanager
async def _running(
    hub: LoggedHub, settings: AmqpOptions, *, acknowledges: bool = True
) -> AsyncIterator[AmqpSource]:
    source = AmqpSource(settings, hub.new_context())
    async with hub.runs(source, acknowledges=acknowledges):
        await eventually(lambda: hub.context.health.connected, 15)
        yield source


async def _bodies(hub: LoggedHub, count: int) -> list[bytes]:
    await eventually(lambda: len(hub.committed) >= count, 20)
    return [raw.body for raw in hub.committed]


async def test_a_message_has_its_properties_and_scalar_headers(
    rabbitmq: RabbitMQ, peer: Peer, queue: str, hub: LoggedHub, options: MakeOptions
) -> None:
    async with _running(hub, options(_address(rabbitmq), queue=queue)):
        await peer.publish(
            queue,
            [b"{}"],
            message_id="m-1",
            correlation_id="c-1",
            type="confirmation",
            content_type="application/json",
            content_encoding="utf-8",
            reply_to="answers",
            app_id="mes",
            timestamp=datetime(2025, 3, 4, 5, 6, 7, tzinfo=UTC),
            headers={"plant": "brno", "count": 7, "ratio": 0.5, "last": True, "list": [1], "none": None},
        )
        await _bodies(hub, 1)
    (raw,) = hub.committed
    assert (raw.id, raw.content_type, raw.body) == ("m-1", "application/json", b"{}")
    assert raw.attributes == {
        "exchange": "",
        "routing_key": queue,
        "redelivered": False,
        "message_id": "m-1",
        "correlation_id": "c-1",
        "type": "confirmation",
        "content_encoding": "utf-8",
        "reply_to": "answers",
        "app_id": "mes",
        "timestamp": "2025-03-04T05:06:07Z",
        "header.plant": "brno",
        "header.count": 7,
        "header.ratio": 0.5,
        "header.last": True,
    }


async def test_cloudevents_headers_are_called_as_in_http(
    rabbitmq: RabbitMQ, peer: Peer, queue: str, hub: LoggedHub, options: MakeOptions
) -> None:
    async with _running(hub, options(_address(rabbitmq), queue=queue)):
        await peer.publish(queue, [b"1"], headers={"cloudEvents:id": "e-1", "cloudEvents_type": "t"})
        await _bodies(hub, 1)
    attributes = hub.committed[0].attributes
    assert (attributes["header.ce-id"], attributes["header.ce-type"]) == ("e-1", "t")


async def test_large_empty_and_binary_messages(
    rabbitmq: RabbitMQ, peer: Peer, queue: str, hub: LoggedHub, options: MakeOptions
) -> None:
    payloads = [b"", bytes(range(256)), b"x" * 5_000_000, b"after"]
    async with _running(hub, options(_address(rabbitmq), queue=queue)):
        for payload in payloads:
            await peer.publish(queue, [payload])
        assert await _bodies(hub, len(payloads)) == payloads


async def test_a_burst_arrives_once_and_in_order_and_the_queue_ends_empty(
    rabbitmq: RabbitMQ, peer: Peer, queue: str, hub: LoggedHub, options: MakeOptions
) -> None:
    payloads = [b"%d" % number for number in range(2_000)]
    settings = options(_address(rabbitmq), queue=queue, prefetch=50)
    async with _running(hub, settings):
        await peer.publish(queue, payloads)
        assert await _bodies(hub, len(payloads)) == payloads
    assert len({raw.id for raw in hub.committed}) == len(payloads)
    assert max(len(batch.messages) for batch in hub.batches) <= 50
    assert await peer.take(queue) == []


async def test_a_message_id_is_the_identity_unless_told_otherwise(
    rabbitmq: RabbitMQ, peer: Peer, queue: str, hub: LoggedHub, options: MakeOptions
) -> None:
    for uses, ids in ((True, 1), (False, 2)):
        hub.committed.clear()
        async with _running(hub, options(_address(rabbitmq), queue=queue, use_message_id=uses)):
            await peer.publish(queue, [b"one", b"two"], message_id="same")
            await _bodies(hub, 2)
        assert len({raw.id for raw in hub.committed}) == ids


async def test_equal_messages_without_ids_keep_theirs_over_a_cut_and_a_restart(
    rabbitmq: RabbitMQ, peer: Peer, queue: str, hub: LoggedHub, options: MakeOptions
) -> None:
    async with FaultProxy(rabbitmq.host, rabbitmq.port) as proxy:
        settings = options(_address(proxy), queue=queue)
        await peer.publish(queue, [b"equal"] * 10)
        async with _running(hub, settings, acknowledges=False):
            await _bodies(hub, 10)
            proxy.cut()
            await _bodies(hub, 20)
        async with _running(hub, settings):
            await _bodies(hub, 30)
    assert len({raw.id for raw in hub.committed}) == 10
    assert all(raw.attributes["redelivered"] for raw in hub.committed[10:])
    assert await peer.take(queue) == []


async def test_batches_acknowledged_out_of_order_are_all_acknowledged(
    rabbitmq: RabbitMQ, peer: Peer, queue: str, hub: LoggedHub, options: MakeOptions
) -> None:
    source = AmqpSource(options(_address(rabbitmq), queue=queue), hub.new_context())
    await source.open()
    batches: list[Inbound] = []
    async with asyncio.timeout(20):
        receiving = source.receive()
        for number in range(3):
            await peer.publish(queue, [b"%d" % number])
            batches.append(await anext(receiving))
        for batch in (batches[1], batches[0], batches[2]):
            await batch.ack([ACCEPTED])
        await source.close()
    assert await peer.take(queue) == []


async def test_a_queue_that_is_not_there_is_named_and_awaited(
    rabbitmq: RabbitMQ, peer: Peer, hub: LoggedHub, options: MakeOptions
) -> None:
    name = unique("late")
    async with hub.runs(AmqpSource(options(_address(rabbitmq), queue=name), hub.new_context())):
        await eventually(lambda: f"no queue '{name}'" in hub.context.health.detail)
        assert "or set declare_queue" in hub.context.health.detail
        await peer.make_queue(name)
        await eventually(lambda: hub.context.health.connected)


async def test_a_deleted_queue_is_noticed_and_a_new_one_used(
    rabbitmq: RabbitMQ, peer: Peer, queue: str, hub: LoggedHub, options: MakeOptions
) -> None:
    async with _running(hub, options(_address(rabbitmq), queue=queue)):
        await peer.channel.queue_delete(queue)
        await eventually(lambda: not hub.context.health.connected)
        await eventually(lambda: "next attempt" in hub.context.health.detail)
        await peer.make_queue(queue)
        await eventually(lambda: hub.context.health.connected)
        await peer.publish(queue, [b"new"])
        assert await _bodies(hub, 1) == [b"new"]


async def test_a_queue_with_other_arguments_is_refused_with_advice(
    rabbitmq: RabbitMQ, queue: str, hub: LoggedHub, options: MakeOptions
) -> None:
    settings = options(_address(rabbitmq), queue=queue, declare_queue={})
    async with hub.runs(AmqpSource(settings, hub.new_context())):
        await eventually(lambda: "it exists with other arguments" in hub.context.health.detail)


async def test_a_declared_queue_is_bound_and_dead_letters_what_ends_every_connection(
    rabbitmq: RabbitMQ, peer: Peer, hub: LoggedHub, options: MakeOptions
) -> None:
    name, exchange = unique("declared"), unique("exchange")
    await peer.channel.declare_exchange(exchange, "topic", durable=True)
    declare = {"delivery_limit": 2, "bind": [{"exchange": exchange, "routing_key": "orders.*"}]}
    async with FaultProxy(rabbitmq.host, rabbitmq.port) as proxy:
        settings = options(_address(proxy), queue=name, declare_queue=declare)
        async with _running(hub, settings, acknowledges=False):
            made = await peer.channel.get_exchange(exchange)
            await made.publish(_message(b"poison"), "orders.1")
            for times in range(1, 4):
                await _bodies(hub, times)
                proxy.cut()
            await eventually(lambda: _ready(peer, f"{name}.dead"))
            assert len(hub.committed) == 3
    (dead,) = await peer.take(f"{name}.dead")
    assert dead.body == b"poison"
    assert await peer.take(name) == []


async def test_a_message_with_illegible_properties_comes_in_without_them(
    rabbitmq: RabbitMQ, peer: Peer, queue: str, hub: LoggedHub, options: MakeOptions
) -> None:
    async with _running(hub, options(_address(rabbitmq), queue=queue)):
        await peer.publish(queue, [b"before"])
        await peer.publish_illegible(queue, b"odd")
        await _bodies(hub, 2)
        await peer.publish(queue, [b"after"], correlation_id="fine")
        assert await _bodies(hub, 3) == [b"before", b"odd", b"after"]
    assert hub.committed[1].content_type == ""
    assert hub.committed[2].attributes["correlation_id"] == "fine"
    assert hub.log.count("amqp_properties_illegible") == 1
    assert hub.log.count("amqp_connected") == 1


async def _ready(peer: Peer, queue: str) -> bool:
    return await peer.count(queue) > 0


def _message(body: bytes) -> Message:
    return Message(body, delivery_mode=DeliveryMode.PERSISTENT)
