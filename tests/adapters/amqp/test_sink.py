"""The AMQP sink against RabbitMQ: what messages look like, and what becomes of those that no queue takes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aio_pika import DeliveryMode

from adapters.amqp.config import AmqpOptions
from adapters.amqp.sink import AmqpSink
from canonical.errors import Rejected, TransientError, Unauthorized
from canonical.ports import Accepted, Failed, NotTried, Unknown
from tests.adapters.amqp.conftest import LoggedHub, MakeOptions
from tests.adapters.amqp.deliveries import AT, delivery, error_of
from tests.adapters.amqp.peers import Peer, unique
from tests.servers import RabbitMQ
from tests.waiting import eventually

pytestmark = [pytest.mark.requires_server("rabbitmq"), pytest.mark.xdist_group("rabbitmq")]


def _address(broker: RabbitMQ) -> str:
    return f"{broker.host}:{broker.port}"


@asynccontextmanager
async def _open(settings: AmqpOptions, hub: LoggedHub) -> AsyncIterator[AmqpSink]:
    sink = AmqpSink(settings, hub.new_context())
    await sink.open()
    try:
        yield sink
    finally:
        await sink.close()


async def test_a_message_is_persistent_and_has_key_type_and_headers(
    rabbitmq: RabbitMQ, peer: Peer, queue: str, hub: LoggedHub, options: MakeOptions
) -> None:
    async with _open(options(_address(rabbitmq)), hub) as sink:
        wanted = delivery(1, routing_key=queue, headers={"line": "7", "urgent": True})
        assert list(await sink.send([wanted])) == [Accepted()]
        assert hub.context.health.connected
        assert hub.context.health.last_good_at is not None
    (message,) = await peer.take(queue)
    assert message.body == b"payload 1"
    assert message.delivery_mode == DeliveryMode.PERSISTENT
    assert (message.message_id, message.content_type) == ("idempotency-1", "application/json")
    assert (message.type, message.correlation_id) == ("com.crossplant.test.v1", "order-7")
    assert message.timestamp == AT
    headers = {name: value for name, value in message.headers.items() if name != "x-delivery-count"}
    assert headers == {"line": "7", "urgent": True}


async def test_cloudevents_attributes_become_headers(
    rabbitmq: RabbitMQ, peer: Peer, queue: str, hub: LoggedHub, options: MakeOptions
) -> None:
    async with _open(options(_address(rabbitmq)), hub) as sink:
        await sink.send([delivery(1, routing_key=queue, cloudevents=True)])
    (message,) = await peer.take(queue)
    assert message.headers["cloudEvents:specversion"] == "1.0"
    assert message.headers["cloudEvents:id"] == "1"
    assert message.headers["cloudEvents:source"] == "/tests"
    assert message.headers["cloudEvents:type"] == "com.crossplant.test.v1"
    assert message.headers["cloudEvents:time"] == "2025-03-04T05:06:07Z"
    assert not {"cloudEvents:data", "cloudEvents:datacontenttype"} & set(message.headers)


async def test_calls_at_once_arrive_complete_and_each_in_order(
    rabbitmq: RabbitMQ, peer: Peer, queue: str, hub: LoggedHub, options: MakeOptions
) -> None:
    async with _open(options(_address(rabbitmq)), hub) as sink:
        calls = [
            [delivery(200 * call + number, key="one", routing_key=queue) for number in range(200)]
            for call in range(5)
        ]
        reports = await asyncio.gather(*(sink.send(call) for call in calls))
    assert all(list(report) == [Accepted()] * 200 for report in reports)
    bodies = [message.body for message in await peer.take(queue)]
    assert len(bodies) == 1_000
    for call in calls:
        payloads = [each.payload for each in call]
        assert [body for body in bodies if body in set(payloads)] == payloads


async def test_a_message_that_no_queue_gets_is_rejected_or_accepted_as_asked(
    rabbitmq: RabbitMQ, peer: Peer, queue: str, hub: LoggedHub, options: MakeOptions
) -> None:
    nobody = unique("nobody")
    async with _open(options(_address(rabbitmq)), hub) as sink:
        lost, unheard, fine = await sink.send(
            [
                delivery(1, routing_key=nobody),
                delivery(2, routing_key=nobody, mandatory=False),
                delivery(3, routing_key=queue),
            ]
        )
        assert hub.log.count("amqp_connected") == 1
    assert isinstance(error_of(lost), Rejected)
    assert (error_of(lost).code, isinstance(lost, Failed)) == ("unroutable", True)
    assert f"routing key '{nobody}' (NO_ROUTE)" in error_of(lost).message
    assert (unheard, fine) == (Accepted(), Accepted())


async def test_an_exchange_that_is_not_there_harms_nobody_else(
    rabbitmq: RabbitMQ, peer: Peer, queue: str, hub: LoggedHub, options: MakeOptions
) -> None:
    exchange = unique("exchange")
    deliveries = [
        delivery(1, routing_key=queue),
        delivery(2, key="held", exchange=exchange, routing_key=queue),
        delivery(3, key="held", routing_key=queue),
        delivery(4, routing_key=queue),
    ]
    async with _open(options(_address(rabbitmq)), hub) as sink:
        first, missing, held, other = await sink.send(deliveries)
        assert (first, held, other) == (Accepted(), NotTried(), Accepted())
        assert error_of(missing).code == "exchange_missing"
        made = await peer.channel.declare_exchange(exchange, "topic", durable=True)
        await (await peer.channel.get_queue(queue)).bind(made, "#")
        assert list(await sink.send(deliveries)) == [Accepted()] * 4
        assert hub.log.count("amqp_connected") == 1


async def test_an_exchange_that_is_deleted_later_is_the_fault_of_its_own_deliveries_only(
    rabbitmq: RabbitMQ, peer: Peer, queue: str, hub: LoggedHub, options: MakeOptions
) -> None:
    exchange = unique("exchange")
    made = await peer.channel.declare_exchange(exchange, "topic", durable=True)
    await (await peer.channel.get_queue(queue)).bind(made, "#")
    deliveries = [
        delivery(1, routing_key=queue),
        delivery(2, exchange=exchange, routing_key=queue),
        delivery(3, routing_key=queue),
    ]
    async with _open(options(_address(rabbitmq)), hub) as sink:
        assert list(await sink.send(deliveries)) == [Accepted()] * 3
        await peer.channel.exchange_delete(exchange)
        before, culprit, after = await sink.send(deliveries)
        assert isinstance(before, Accepted | Unknown)
        assert isinstance(culprit, Failed)
        assert isinstance(culprit.error, Rejected)
        assert exchange in culprit.error.message
        assert after == NotTried()
        again = await sink.send(deliveries)
        assert [type(outcome) for outcome in again] == [Accepted, Failed, Accepted]


async def test_what_is_too_large_for_the_broker_is_rejected_and_the_rest_goes_through(
    rabbitmq: RabbitMQ, peer: Peer, queue: str, hub: LoggedHub, options: MakeOptions
) -> None:
    await asyncio.to_thread(rabbitmq.control, "eval", "application:set_env(rabbit, max_message_size, 1000).")
    try:
        async with _open(options(_address(rabbitmq)), hub) as sink:
            large = delivery(2, routing_key=queue, payload=b"x" * 1_001)
            first, culprit, last = await sink.send(
                [delivery(1, routing_key=queue), large, delivery(3, routing_key=queue)]
            )
            assert isinstance(first, Accepted | Unknown)
            assert isinstance(culprit, Failed)
            assert error_of(culprit).code == "precondition_failed"
            assert "size 1001" in error_of(culprit).message
            assert last == NotTried()
            assert list(await sink.send([delivery(3, routing_key=queue)])) == [Accepted()]
    finally:
        reset = "application:set_env(rabbit, max_message_size, 134217728)."
        await asyncio.to_thread(rabbitmq.control, "eval", reset)
    keys = {message.message_id for message in await peer.take(queue)}
    assert {"idempotency-1", "idempotency-3"} >= keys >= {"idempotency-3"}


async def test_an_exchange_that_we_may_not_write_to_is_said(
    rabbitmq: RabbitMQ, peer: Peer, queue: str, hub: LoggedHub, options: MakeOptions
) -> None:
    user, exchange = unique("user"), unique("exchange")
    await peer.channel.declare_exchange(exchange, "fanout", durable=True)
    await asyncio.to_thread(rabbitmq.control, "add_user", user, "secret")
    await asyncio.to_thread(rabbitmq.control, "set_permissions", user, "", "", "")
    async with _open(options(_address(rabbitmq), username=user, password="secret"), hub) as sink:
        (refused,) = await sink.send([delivery(1, exchange=exchange)])
    assert isinstance(error_of(refused), Unauthorized)
    assert f"access to exchange '{exchange}'" in error_of(refused).message


async def test_a_full_queue_that_refuses_is_a_failure_that_may_pass(
    rabbitmq: RabbitMQ, peer: Peer, hub: LoggedHub, options: MakeOptions
) -> None:
    arguments = {"x-queue-type": "classic", "x-max-length": 1, "x-overflow": "reject-publish"}
    queue = await peer.make_queue(unique("full"), **arguments)
    async with _open(options(_address(rabbitmq)), hub) as sink:
        first, second = await sink.send([delivery(number, routing_key=queue) for number in (1, 2)])
        assert first == Accepted()
        assert (error_of(second).code, isinstance(second, Failed)) == ("nack", True)
        assert isinstance(error_of(second), TransientError)
        await peer.take(queue)
        assert list(await sink.send([delivery(2, routing_key=queue)])) == [Accepted()]


@pytest.mark.parametrize(
    "target",
    [
        {},
        {"routing_key": "q", "colour": "red"},
        {"routing_key": "k" * 256},
        {"routing_key": "q", "headers": 1},
    ],
)
async def test_a_wrong_target_is_rejected_and_its_key_held_back(
    rabbitmq: RabbitMQ, queue: str, hub: LoggedHub, options: MakeOptions, target: dict[str, Any]
) -> None:
    async with _open(options(_address(rabbitmq)), hub) as sink:
        wrong, same_key, other_key = await sink.send(
            [
                delivery(1, key="k", **target),
                delivery(2, key="k", routing_key=queue),
                delivery(3, key="other", routing_key=queue),
            ]
        )
    assert isinstance(error_of(wrong), Rejected)
    assert error_of(wrong).code == "invalid_target"
    assert (same_key, other_key) == (NotTried(), Accepted())


@pytest.mark.parametrize("headers", [{"n": 2**64}, {"n" * 300: "x"}])
async def test_headers_that_no_message_can_have_are_rejected(
    rabbitmq: RabbitMQ, queue: str, hub: LoggedHub, options: MakeOptions, headers: dict[str, object]
) -> None:
    async with _open(options(_address(rabbitmq)), hub) as sink:
        wrong, fine = await sink.send(
            [delivery(1, routing_key=queue, headers=headers), delivery(2, routing_key=queue)]
        )
        assert isinstance(error_of(wrong), Rejected)
        assert fine == Accepted()
        assert list(await sink.send([delivery(3, routing_key=queue)])) == [Accepted()]


async def test_a_sink_that_is_not_open_says_so(hub: LoggedHub, options: MakeOptions) -> None:
    sink = AmqpSink(options("127.0.0.1:1"), hub.new_context())
    (outcome,) = await sink.send([delivery(1, routing_key="q")])
    assert isinstance(outcome, Failed)
    assert error_of(outcome).code == "not_open"


async def test_health_is_that_of_the_way_in_where_there_is_one(
    rabbitmq: RabbitMQ, queue: str, hub: LoggedHub, options: MakeOptions
) -> None:
    async with _open(options(_address(rabbitmq), queue=queue), hub) as sink:
        await sink.send([delivery(1, routing_key=queue)])
        assert hub.context.health.detail == "not started"
    async with _open(options(_address(rabbitmq)), hub) as sink:
        await eventually(lambda: hub.context.health.connected)
