"""The MQTT sink against mosquitto: acknowledgements, refusals, limits, a broker that hangs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from adapters.conformance.proxy import FaultProxy
from adapters.mqtt.config import MqttOptions
from adapters.mqtt.sink import MqttSink
from canonical.errors import Rejected, TransientError
from canonical.ports import Accepted, Failed, NotTried, SinkOutcome, Unknown
from tests.adapters.mqtt.conftest import LoggedHub, MakeOptions
from tests.adapters.mqtt.deliveries import delivery
from tests.adapters.mqtt.peers import Observer
from tests.servers import Mosquitto, StartMosquitto
from tests.waiting import eventually


@asynccontextmanager
async def _open(settings: MqttOptions, hub: LoggedHub) -> AsyncIterator[MqttSink]:
    sink = MqttSink(settings.model_copy(update={"subscribe": ()}), hub.new_context())
    await sink.open()
    try:
        yield sink
    finally:
        await sink.close()


@pytest.fixture
def observer(mosquitto: Mosquitto) -> Iterator[Observer]:
    observer = Observer(mosquitto, "out/#")
    observer.start()
    yield observer
    observer.stop()


def _address(broker: Mosquitto) -> str:
    return f"{broker.host}:{broker.port}"


def _error(outcome: SinkOutcome) -> Any:
    assert isinstance(outcome, Failed | Unknown)
    return outcome.error


async def test_content_type_and_idempotency_key_travel_as_properties(
    mosquitto: Mosquitto, observer: Observer, hub: LoggedHub, options: MakeOptions
) -> None:
    async with _open(options(_address(mosquitto)), hub) as sink:
        assert await sink.send([delivery(7)]) == [Accepted()]
    await eventually(lambda: len(observer.messages) == 1)
    (message,) = observer.messages
    assert message.payload == b"payload 7"
    assert message.properties is not None
    properties = message.properties.json()  # type: ignore[no-untyped-call]
    assert properties["ContentType"] == "application/json"
    assert properties["UserProperty"] == [("idempotency-key", "idempotency-7")]
    assert hub.context.health.last_good_at is not None


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_a_full_batch_of_one_key_arrives_in_order(
    mosquitto: Mosquitto, observer: Observer, hub: LoggedHub, options: MakeOptions, protocol: str
) -> None:
    deliveries = [delivery(number, key="one") for number in range(500)]
    async with _open(options(_address(mosquitto), protocol=protocol), hub) as sink:
        assert list(await sink.send(deliveries)) == [Accepted()] * 500
    await eventually(lambda: len(observer.messages) == 500)
    assert [message.payload for message in observer.messages] == [each.payload for each in deliveries]


async def test_several_calls_at_once_share_the_connection(
    mosquitto: Mosquitto, observer: Observer, hub: LoggedHub, options: MakeOptions
) -> None:
    async with _open(options(_address(mosquitto)), hub) as sink:
        calls = [[delivery(100 * call + number) for number in range(100)] for call in range(10)]
        reports = await asyncio.gather(*(sink.send(call) for call in calls))
    assert all(list(report) == [Accepted()] * 100 for report in reports)
    await eventually(lambda: len(observer.messages) == 1_000)


async def test_the_brokers_receive_maximum_is_heeded(
    start_mosquitto: StartMosquitto, hub: LoggedHub, options: MakeOptions
) -> None:
    broker = start_mosquitto(extra=["max_inflight_messages 5"])
    async with _open(options(_address(broker)), hub) as sink:
        report = await sink.send([delivery(number, topic="nobody/listens") for number in range(300)])
    assert all(isinstance(outcome, Accepted) for outcome in report)
    assert "receive-maximum" not in broker.log_path.read_text()


async def test_a_message_that_nobody_gets_is_accepted_and_said(
    mosquitto: Mosquitto, hub: LoggedHub, options: MakeOptions
) -> None:
    async with _open(options(_address(mosquitto)), hub) as sink:
        outcomes = await sink.send([delivery(1, topic="nobody/listens"), delivery(2, topic="nobody/listens")])
    assert outcomes == [Accepted("no matching subscribers")] * 2
    assert hub.log.count("mqtt_no_subscribers") == 1


async def test_what_the_broker_does_not_permit_is_rejected(
    start_mosquitto: StartMosquitto, hub: LoggedHub, options: MakeOptions, tmp_path: Path
) -> None:
    permitted = tmp_path / "acl"
    permitted.write_text("topic readwrite out/#\n")
    broker = start_mosquitto(extra=[f"acl_file {permitted}"])
    async with _open(options(_address(broker)), hub) as sink:
        (refused,) = await sink.send([delivery(1, topic="secret/topic")])
        # mosquitto 2.0.11 closes the connection after such an acknowledgement; the next call has a new one.
        await eventually(lambda: not hub.context.health.connected)
        (fine,) = await sink.send([delivery(2)])
    assert isinstance(_error(refused), Rejected)
    assert _error(refused).code == "mqtt_87"
    assert "'secret/topic': not authorized (0x87)" in _error(refused).message
    assert isinstance(fine, Accepted)


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ({"topic": "out/+"}, "invalid_target"),
        ({"topic": ""}, "invalid_target"),
        ({"topic": "out", "qos": 2}, "invalid_target"),
        ({"topic": "out", "colour": "red"}, "invalid_target"),
    ],
)
async def test_a_wrong_target_is_rejected_and_its_key_held_back(
    mosquitto: Mosquitto, hub: LoggedHub, options: MakeOptions, target: dict[str, Any], code: str
) -> None:
    async with _open(options(_address(mosquitto)), hub) as sink:
        deliveries = [delivery(1, key="k", **target), delivery(2, key="k"), delivery(3, key="other")]
        wrong, same_key, other_key = await sink.send(deliveries)
    assert isinstance(_error(wrong), Rejected)
    assert _error(wrong).code == code
    assert same_key == NotTried()
    assert isinstance(other_key, Accepted)


async def test_what_is_too_large_for_the_broker_is_rejected_and_the_connection_stays(
    start_mosquitto: StartMosquitto, hub: LoggedHub, options: MakeOptions
) -> None:
    broker = start_mosquitto(extra=["max_packet_size 2000"])
    async with (
        FaultProxy(broker.host, broker.port) as proxy,
        _open(options(f"{proxy.host}:{proxy.port}"), hub) as sink,
    ):
        large, small = await sink.send([delivery(1, payload=b"x" * 3_000), delivery(2)])
        assert _error(large).code == "packet_too_large"
        assert isinstance(small, Accepted)
        assert proxy.connections == 1


async def test_retained_and_quality_0(mosquitto: Mosquitto, hub: LoggedHub, options: MakeOptions) -> None:
    async with _open(options(_address(mosquitto)), hub) as sink:
        report = await sink.send(
            [delivery(1, retain=True), delivery(2, qos=0, topic="out/other", retain=True)]
        )
        assert all(isinstance(outcome, Accepted) for outcome in report)
    late = Observer(mosquitto, "out/#")
    await asyncio.to_thread(late.start)
    await eventually(lambda: {message.payload for message in late.messages} == {b"payload 1", b"payload 2"})
    await asyncio.to_thread(late.stop)


async def test_a_hung_broker_leaves_the_outcome_unknown_in_time(
    mosquitto: Mosquitto, hub: LoggedHub, options: MakeOptions
) -> None:
    settings = options(_address(mosquitto), publish_timeout="500ms", keepalive="30s")
    async with _open(settings, hub) as sink:
        assert isinstance((await sink.send([delivery(1)]))[0], Accepted)
        mosquitto.process.freeze()
        try:
            async with asyncio.timeout(2):
                (outcome,) = await sink.send([delivery(2)])
        finally:
            mosquitto.process.thaw()
        assert isinstance(outcome, Unknown)
        assert isinstance(outcome.error, TransientError)
        assert "no acknowledgement" in outcome.error.message
        await eventually(lambda: hub.context.health.connected)
        assert isinstance((await sink.send([delivery(3)]))[0], Accepted)


async def test_a_cut_leaves_what_was_sent_unknown_and_the_rest_not_tried(
    start_mosquitto: StartMosquitto, hub: LoggedHub, options: MakeOptions
) -> None:
    broker = start_mosquitto(extra=["max_inflight_messages 10"])
    async with (
        FaultProxy(broker.host, broker.port) as proxy,
        _open(options(f"{proxy.host}:{proxy.port}", keepalive="30s"), hub) as sink,
    ):
        await sink.send([delivery(0)])
        proxy.black_hole()
        sending = asyncio.create_task(sink.send([delivery(number) for number in range(1, 51)]))
        await eventually(lambda: len(sink._in_flight) == 10)
        proxy.cut()
        outcomes = list(await sending)
    assert [type(outcome) for outcome in outcomes] == [Unknown] * 10 + [NotTried] * 40
    assert _error(outcomes[0]).outage


async def test_the_health_of_an_adapter_that_takes_in_is_not_that_of_its_way_out(
    hub: LoggedHub, options: MakeOptions
) -> None:
    context = hub.new_context()
    context.health.connected, context.health.detail = True, "the source says so"
    sink = MqttSink(options("127.0.0.1:1", connect_timeout="100ms"), context)
    await sink.open()
    (outcome,) = await sink.send([delivery(1)])
    await sink.close()
    assert _error(outcome).outage
    assert (context.health.connected, context.health.detail) == (True, "the source says so")


async def test_a_sink_that_is_not_open_says_so(hub: LoggedHub, options: MakeOptions) -> None:
    sink = MqttSink(options("127.0.0.1:1", connect_timeout="10ms"), hub.new_context())
    (outcome,) = await sink.send([delivery(1)])
    assert isinstance(outcome, Failed)
    assert _error(outcome).code == "not_open"
