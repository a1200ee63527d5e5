"""The MQTT source against mosquitto: messages, sessions, bursts, restarts, a fight for the client id."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from adapters.conformance.hub import ACCEPTED
from adapters.conformance.proxy import FaultProxy
from adapters.mqtt import source as module
from adapters.mqtt import wire
from adapters.mqtt.config import MqttOptions
from adapters.mqtt.source import MqttSource
from canonical.ports import Inbound, RawMessage
from tests.adapters.mqtt.conftest import LoggedHub, MakeOptions
from tests.adapters.mqtt.peers import mosquitto_pub, publish
from tests.servers import Mosquitto, StartMosquitto
from tests.waiting import eventually

PROTOCOLS = pytest.mark.parametrize("protocol", ["5", "3.1.1"])
BURST = 20_000


def _source(options: MqttOptions, hub: LoggedHub) -> MqttSource:
    return MqttSource(options, hub.new_context())


async def _connected(hub: LoggedHub) -> None:
    await eventually(lambda: hub.context.health.connected, 15)


async def _bodies(hub: LoggedHub, count: int, timeout_s: float = 20) -> list[bytes]:
    await eventually(lambda: len(hub.committed) >= count, timeout_s)
    return [raw.body for raw in hub.committed]


def _address(broker: Mosquitto) -> str:
    return f"{broker.host}:{broker.port}"


@PROTOCOLS
async def test_a_message_of_mosquitto_pub_has_its_topic_captures_and_flags(
    mosquitto: Mosquitto, hub: LoggedHub, options: MakeOptions, protocol: str
) -> None:
    async with hub.runs(_source(options(_address(mosquitto), protocol=protocol), hub)):
        await _connected(hub)
        await mosquitto_pub(mosquitto, "acme/brno/press", ["21.5"])
        await mosquitto_pub(mosquitto, "acme/brno/press", ["lost, perhaps"], qos=0)
        assert await _bodies(hub, 2) == [b"21.5", b"lost, perhaps"]
    first, second = hub.committed
    mid = first.attributes.pop("mid")
    assert isinstance(mid, int)
    assert mid > 0
    assert first.attributes == {
        "topic": "acme/brno/press",
        "plant": "brno",
        "line": "press",
        "qos": 1,
        "retain": False,
        "dup": False,
    }
    assert (second.attributes["qos"], second.attributes["mid"]) == (0, 0)


async def test_mqtt_5_properties_come_along_also_long_ones(
    mosquitto: Mosquitto, hub: LoggedHub, options: MakeOptions
) -> None:
    long = "v" * 20_000
    properties = ["-V", "mqttv5", "-D", "publish", "content-type", "application/json"]
    properties += [
        "-D",
        "publish",
        "user-property",
        "trace",
        "abc",
        "-D",
        "publish",
        "user-property",
        "long",
        long,
    ]
    properties += ["-D", "publish", "response-topic", "answers/here"]
    async with hub.runs(_source(options(_address(mosquitto)), hub)):
        await _connected(hub)
        await mosquitto_pub(mosquitto, "acme/brno/press", ["1", "2"], *properties)
        await _bodies(hub, 2)
    for raw in hub.committed:
        assert raw.content_type == "application/json"
        assert raw.attributes["property.trace"] == "abc"
        assert raw.attributes["property.long"] == long
        assert raw.attributes["response_topic"] == "answers/here"


@PROTOCOLS
async def test_large_empty_and_binary_messages(
    mosquitto: Mosquitto, hub: LoggedHub, options: MakeOptions, protocol: str
) -> None:
    payloads = [b"", bytes(range(256)), b"x" * 5_000_000, b"after"]
    async with hub.runs(_source(options(_address(mosquitto), protocol=protocol), hub)):
        await _connected(hub)
        await asyncio.to_thread(publish, mosquitto, [("acme/brno/press", payload) for payload in payloads])
        assert await _bodies(hub, len(payloads)) == payloads


@PROTOCOLS
async def test_a_burst_arrives_completely_through_a_bounded_buffer(
    mosquitto: Mosquitto, hub: LoggedHub, options: MakeOptions, protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BUFFER_MESSAGES", 100)
    monkeypatch.setattr(wire, "READ_BYTES", 4_096)  # at least 20 bytes each
    held = 0

    def watched(source: MqttSource, inbound: Inbound) -> None:
        nonlocal held
        held = max(held, source._messages + len(inbound.messages))

    source = _source(options(_address(mosquitto), protocol=protocol, receive_maximum=500), hub)
    await source.open()
    await _connected(hub)
    sending = asyncio.create_task(
        mosquitto_pub(mosquitto, "acme/brno/press", [f"{number}" for number in range(BURST)])
    )
    async with asyncio.timeout(100):
        async for inbound in source.receive():
            watched(source, inbound)
            hub.commit(inbound)
            await inbound.ack([ACCEPTED] * len(inbound.messages))
            if len(hub.committed) >= BURST:
                break
    await sending
    await source.close()
    assert [raw.body for raw in hub.committed] == [b"%d" % number for number in range(BURST)]
    assert len({raw.id for raw in hub.committed}) == BURST
    assert held <= 100 + 4_096 / 20


@PROTOCOLS
async def test_a_burst_survives_cuts_and_restarts_of_the_hub_with_the_same_ids(
    start_mosquitto: StartMosquitto, hub: LoggedHub, options: MakeOptions, protocol: str
) -> None:
    broker = start_mosquitto()
    lines = [f"{number}" for number in range(BURST // 4)]
    async with FaultProxy(broker.host, broker.port) as proxy:
        settings = options(f"{proxy.host}:{proxy.port}", protocol=protocol, receive_maximum=200)
        async with hub.runs(_source(settings, hub)):
            await _connected(hub)
        sending = asyncio.create_task(mosquitto_pub(broker, "acme/brno/press", lines))
        for share in (0.2, 0.4, 0.6):
            source = _source(settings, hub)
            await source.open()
            await _take(source, hub, until=int(len(lines) * share), most_unacknowledged=100)
            proxy.cut()  # a crash of the hub: nothing of what is on its way arrives
            await source.close()
        async with hub.runs(_source(settings, hub)):
            await eventually(lambda: len({raw.body for raw in hub.committed}) == len(lines), 60)
            await sending
    repeated = [body for body, count in Counter(raw.body for raw in hub.committed).items() if count > 1]
    assert repeated
    assert len({(raw.id, raw.body) for raw in hub.committed}) == len(lines)


async def _take(source: MqttSource, hub: LoggedHub, *, until: int, most_unacknowledged: int) -> None:
    """Commits batches until so many messages are committed; the last ones are not acknowledged."""
    pending: list[Inbound] = []
    async with asyncio.timeout(60):
        async for inbound in source.receive():
            hub.commit(inbound)
            pending.append(inbound)
            if len(hub.committed) >= until:
                return
            if sum(len(each.messages) for each in pending) > most_unacknowledged:
                for each in pending:
                    await each.ack([ACCEPTED] * len(each.messages))
                pending.clear()


@PROTOCOLS
async def test_nothing_acknowledged_by_the_broker_is_lost_when_it_is_killed(
    start_mosquitto: StartMosquitto, hub: LoggedHub, options: MakeOptions, protocol: str
) -> None:
    broker = start_mosquitto()
    settings = options(_address(broker), protocol=protocol, receive_maximum=50)
    async with hub.runs(_source(settings, hub)):
        await _connected(hub)
    await mosquitto_pub(broker, "acme/brno/press", [f"{number}" for number in range(2_000)])
    await asyncio.to_thread(broker.save)
    source = _source(settings, hub)
    async with hub.runs(source):
        await _bodies(hub, 200)
        await asyncio.to_thread(broker.kill9)
        await eventually(lambda: not hub.context.health.connected)
        await eventually(lambda: "next attempt" in hub.context.health.detail)
        await asyncio.to_thread(broker.start)
        await eventually(lambda: len({raw.body for raw in hub.committed}) == 2_000, 30)


@PROTOCOLS
async def test_a_second_client_with_our_id_raises_an_alarm_and_is_not_fought_at_full_speed(
    mosquitto: Mosquitto, hub: LoggedHub, options: MakeOptions, protocol: str
) -> None:
    settings = options(_address(mosquitto), client_id="shared", max_backoff="30s", protocol=protocol)
    rival = Client(CallbackAPIVersion.VERSION2, client_id="shared", protocol=MQTTProtocolVersion.MQTTv5)
    rival.reconnect_delay_set(min_delay=1, max_delay=1)
    async with hub.runs(_source(settings, hub)):
        await _connected(hub)
        await asyncio.to_thread(rival.connect, mosquitto.host, mosquitto.port)
        rival.loop_start()
        try:
            # mosquitto 2.0.11 closes the older connection without saying why.
            await eventually(lambda: hub.log.count("mqtt_connections_end_early") >= 2, 30)
        finally:
            rival.disconnect()
            rival.loop_stop()
        pauses = [
            fields["next_attempt_s"] for _, event, fields in hub.log.records if event == "mqtt_disconnected"
        ]
        assert pauses[3] >= 2.0
        await _connected(hub)
        assert "perhaps another client uses the client id 'shared'" in hub.context.health.detail


@PROTOCOLS
async def test_a_filter_that_left_the_configuration_is_unsubscribed(
    mosquitto: Mosquitto, hub: LoggedHub, options: MakeOptions, protocol: str
) -> None:
    before = [{"topic": "acme/{plant}/old"}, {"topic": "acme/{plant}/kept"}]
    after = [{"topic": "acme/{plant}/kept"}, {"topic": "acme/{plant}/new"}]
    async with hub.runs(_source(options(_address(mosquitto), protocol=protocol, subscribe=before), hub)):
        await _connected(hub)
    async with hub.runs(_source(options(_address(mosquitto), protocol=protocol, subscribe=after), hub)):
        await _connected(hub)
        for level in ("old", "kept", "new"):
            await mosquitto_pub(mosquitto, f"acme/brno/{level}", [level])
        assert await _bodies(hub, 2) == [b"kept", b"new"]
    assert hub.log.count("mqtt_unsubscribed") == 1


@PROTOCOLS
async def test_a_forgotten_subscription_still_delivers_and_says_so(
    mosquitto: Mosquitto, hub: LoggedHub, options: MakeOptions, protocol: str, tmp_path: Path
) -> None:
    before = options(_address(mosquitto), protocol=protocol, subscribe=[{"topic": "forgotten/#"}])
    async with hub.runs(_source(before, hub)):
        await _connected(hub)
    hub.data_dir = tmp_path / "another folder"
    async with hub.runs(_source(options(_address(mosquitto), protocol=protocol), hub)):
        await _connected(hub)
        await mosquitto_pub(mosquitto, "forgotten/topic", ["not lost"])
        assert await _bodies(hub, 1) == [b"not lost"]
    assert hub.log.count("mqtt_topic_not_subscribed") == 1


@PROTOCOLS
async def test_retained_messages_come_once_not_at_every_connection(
    mosquitto: Mosquitto, hub: LoggedHub, options: MakeOptions, protocol: str
) -> None:
    await asyncio.to_thread(publish, mosquitto, [("acme/brno/press", b"last value")], retain=True)
    for life in range(3):
        async with hub.runs(_source(options(_address(mosquitto), protocol=protocol), hub)):
            await _connected(hub)
            await mosquitto_pub(mosquitto, "acme/brno/other", [f"life {life}"])
            await _bodies(hub, life + 2)
    assert [raw.body for raw in hub.committed] == [b"last value", b"life 0", b"life 1", b"life 2"]
    assert hub.committed[0].attributes["retain"] is True


async def test_qos_2_from_an_older_subscription_is_committed_before_it_is_answered(
    mosquitto: Mosquitto, hub: LoggedHub, options: MakeOptions
) -> None:
    settings = options(_address(mosquitto), client_id="ours", protocol="3.1.1")
    await asyncio.to_thread(_subscribe_at_qos_2, mosquitto, "ours", "acme/+/old")
    publishing = asyncio.to_thread(publish, mosquitto, [("acme/brno/old", b"exactly once")], qos=2)
    async with hub.runs(_source(settings, hub), acknowledges=False):
        await _connected(hub)
        await publishing
        await _bodies(hub, 1)
    async with hub.runs(_source(settings, hub)):
        await _bodies(hub, 2)
        assert hub.committed[0].attributes["qos"] == 2
        assert hub.committed[0].id == hub.committed[1].id
    async with hub.runs(_source(settings, hub)):
        await _connected(hub)
        await mosquitto_pub(mosquitto, "acme/brno/press", ["next"])
        await _bodies(hub, 3)
    assert hub.committed[2].body == b"next"


def _subscribe_at_qos_2(broker: Mosquitto, client_id: str, topic_filter: str) -> None:
    client = Client(
        CallbackAPIVersion.VERSION2, client_id, clean_session=False, protocol=MQTTProtocolVersion.MQTTv311
    )
    client.on_connect = lambda each, *_: each.subscribe(topic_filter, 2)
    client.on_subscribe = lambda each, *_: each.disconnect()
    client.connect(broker.host, broker.port)
    client.loop_forever()


async def test_a_lost_session_is_an_error_in_the_log(
    start_mosquitto: StartMosquitto, hub: LoggedHub, options: MakeOptions
) -> None:
    broker = start_mosquitto()
    async with hub.runs(_source(options(_address(broker)), hub)):
        await _connected(hub)
        await asyncio.to_thread(broker.kill9)  # not saved: its sessions are gone
        await eventually(lambda: not hub.context.health.connected)
        await asyncio.to_thread(broker.start)
        await _connected(hub)
        await mosquitto_pub(broker, "acme/brno/press", ["subscribed again"])
        await _bodies(hub, 1)
    assert hub.log.count("mqtt_session_lost") == 1


async def test_a_paused_connection_stays_alive_and_goes_on(
    start_mosquitto: StartMosquitto, hub: LoggedHub, options: MakeOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BUFFER_MESSAGES", 10)
    broker = start_mosquitto(extra=["max_inflight_messages 0"])
    payload = "x" * 20_000
    async with FaultProxy(broker.host, broker.port) as proxy:
        source = _source(options(f"{proxy.host}:{proxy.port}", protocol="3.1.1"), hub)
        await source.open()
        await _connected(hub)
        await mosquitto_pub(broker, "acme/brno/press", [f"{number} {payload}" for number in range(1_000)])
        await asyncio.sleep(4)  # four keep-alives, so that the broker would have thrown us out
        assert source._messages < 900
        assert proxy.connections == 1
        async with hub.takes_from(source):
            await _bodies(hub, 1_000)
        await source.close()
        assert proxy.connections == 1
    assert len({raw.id for raw in hub.committed}) == len(hub.committed) == 1_000


async def test_a_fault_in_a_handler_costs_a_connection_and_no_message(
    mosquitto: Mosquitto, hub: LoggedHub, options: MakeOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = _source(options(_address(mosquitto)), hub)
    read, faults = source._intake.read, 2

    def faulty(*arguments: object) -> object:
        nonlocal faults
        faults -= 1
        if faults >= 0:
            raise RuntimeError("a bug")
        return read(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(source._intake, "read", faulty)
    async with hub.runs(source):
        await _connected(hub)
        await mosquitto_pub(mosquitto, "acme/brno/press", ["kept by the broker"])
        assert await _bodies(hub, 1) == [b"kept by the broker"]
    reasons = [fields["reason"] for _, event, fields in hub.log.records if event == "mqtt_disconnected"]
    assert reasons[:2] == ["the connection failed: RuntimeError: a bug"] * 2


async def test_without_subscriptions_the_source_is_idle(hub: LoggedHub, options: MakeOptions) -> None:
    source = _source(options("127.0.0.1:1", subscribe=[]), hub)
    taken: list[RawMessage] = []

    async def take() -> None:
        async for inbound in source.receive():
            taken.extend(inbound.messages)

    await source.open()
    taking = asyncio.create_task(take())
    await asyncio.wait([taking], timeout=0.05)
    await source.close()
    await asyncio.wait_for(taking, 1)
    assert not taken
