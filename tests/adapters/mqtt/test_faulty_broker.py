"""A broker that is silent, refuses, lies or talks rubbish: scripted, since no real one can be made to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import pytest

from adapters.mqtt.config import MqttOptions
from adapters.mqtt.link import pause_s
from adapters.mqtt.sink import MqttSink
from adapters.mqtt.source import MqttSource
from canonical.errors import CrossplantError, Rejected, TransientError, Unauthorized
from canonical.ports import Failed
from tests.adapters.mqtt.conftest import LoggedHub, MakeOptions
from tests.adapters.mqtt.deliveries import delivery
from tests.waiting import eventually

Answers = dict[int, Callable[[bytes], bytes]]

WELCOME = b"\x20\x03\x00\x00\x00"
WELCOME_BACK = b"\x20\x03\x01\x00\x00"
SUBSCRIBE, PUBACK, PINGREQ = 0x82, 0x40, 0xC0


class ScriptedBroker:
    """Reads whole packets; ``answers`` (first byte → bytes) say what comes back. ``b""`` closes."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers
        self.address = ""
        self.packets: list[bytes] = []
        self.connections = 0
        self._writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        try:
            while True:
                packet = await _packet(reader)
                self.packets.append(packet)
                answer = self.answers.get(packet[0])
                if answer is None:
                    continue
                said = answer(packet)
                writer.write(said)
                if not said:
                    return
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def say(self, said: bytes) -> None:
        """To the newest connection, unasked."""
        self._writers[-1].write(said)

    def received(self, first: int) -> list[bytes]:
        """All packets of one kind, over all connections."""
        return [packet for packet in self.packets if packet[0] == first]


async def _packet(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(2)
    length, shift = head[1] & 0x7F, 7
    while head[-1] & 0x80:
        head += await reader.readexactly(1)
        length |= (head[-1] & 0x7F) << shift
        shift += 7
    return head + await reader.readexactly(length)


def _granted(packet: bytes) -> bytes:
    return b"\x90\x04" + packet[2:4] + b"\x00\x01"


def _publish(mid: int, payload: bytes, *, first: int = 0x32) -> bytes:
    body = b"\x00\x0eacme/brno/line" + mid.to_bytes(2, "big") + b"\x00" + payload
    return bytes([first, len(body)]) + body


POLITE: Answers = {
    0x10: lambda packet: WELCOME,
    SUBSCRIBE: _granted,
    PINGREQ: lambda packet: b"\xd0\x00",
}


@asynccontextmanager
async def _running(answers: Answers) -> AsyncIterator[ScriptedBroker]:
    broker = ScriptedBroker(answers)
    server = await asyncio.start_server(broker.serve, "127.0.0.1", 0)
    broker.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield broker
    finally:
        server.close()
        for writer in broker._writers:
            writer.close()


@asynccontextmanager
async def _connected(
    hub: LoggedHub, settings: Callable[[str], MqttOptions], answers: Answers, *, acknowledges: bool = True
) -> AsyncIterator[ScriptedBroker]:
    """A scripted broker and a source that is connected to it."""
    async with _running(answers) as broker:
        source = MqttSource(settings(broker.address), hub.new_context())
        async with hub.runs(source, acknowledges=acknowledges):
            await eventually(lambda: hub.context.health.connected)
            yield broker


@asynccontextmanager
async def _refused(
    hub: LoggedHub, settings: Callable[[str], MqttOptions], answers: Answers
) -> AsyncIterator[ScriptedBroker]:
    """A scripted broker and a source that has tried it twice, in vain."""
    async with _running(answers) as broker:
        source = MqttSource(settings(broker.address), hub.new_context())
        async with hub.runs(source):
            await eventually(lambda: broker.connections >= 2)
            assert not hub.context.health.connected
            yield broker


def _connack(reason: int) -> bytes:
    return b"\x20\x03\x00" + bytes([reason, 0])


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (_connack(0x86), "bad user name or password (0x86); check username"),
        (_connack(0x87), "not authorized (0x87)"),
        (_connack(0x84), "unsupported protocol version (0x84); try protocol: 3.1.1"),
        (_connack(0x85), "client identifier not valid (0x85); set another client_id"),
        (_connack(0x88), "server unavailable (0x88)"),
        (b"\x20\x02\x00\x01", "try protocol: 3.1.1"),  # an MQTT 3.1.1 broker's way to refuse MQTT 5
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "instead of answering the login"),
        (b"", "instead of answering the login; if it speaks MQTT 3.1.1 only, set protocol: '3.1.1'"),
        (b"\x30\xff\xff\xff\xff\xff", "a length has more than four bytes"),
    ],
)
async def test_a_refused_login_is_said_and_tried_again(
    hub: LoggedHub, options: MakeOptions, answer: bytes, detail: str
) -> None:
    async with _refused(hub, options, {0x10: lambda packet: answer}):
        await eventually(lambda: detail in hub.context.health.detail)


async def test_a_silent_broker_times_out(hub: LoggedHub, options: MakeOptions) -> None:
    async with _refused(hub, partial(options, connect_timeout="300ms"), {}):
        await eventually(lambda: "within 0.3 s (login)" in hub.context.health.detail)


async def test_a_broker_that_never_answers_a_subscription_is_left(
    hub: LoggedHub, options: MakeOptions
) -> None:
    answers = {0x10: POLITE[0x10], PINGREQ: POLITE[PINGREQ]}
    async with _refused(hub, partial(options, connect_timeout="300ms"), answers):
        await eventually(lambda: "no answer to a subscription" in hub.context.health.detail)


@pytest.mark.parametrize(
    "rubbish", [b"\xff" * 50, b"\x30\x02\x00\x09", b"\x00" * 20, b"\x90\x00", b"\x40\x01\x00"]
)
async def test_rubbish_costs_a_connection_not_the_source(
    hub: LoggedHub, options: MakeOptions, rubbish: bytes
) -> None:
    async with _connected(hub, options, POLITE) as broker:
        broker.say(rubbish)
        await eventually(lambda: broker.connections >= 2)
        await eventually(lambda: hub.context.health.connected)
        broker.say(_publish(1, b"after"))
        await eventually(lambda: [raw.body for raw in hub.committed] == [b"after"])


async def test_a_broker_that_stops_answering_is_left_after_one_and_a_half_keepalives(
    hub: LoggedHub, options: MakeOptions
) -> None:
    answers = {0x10: POLITE[0x10], SUBSCRIBE: POLITE[SUBSCRIBE]}
    async with _connected(hub, options, answers) as broker:
        loop = asyncio.get_running_loop()
        started = loop.time()
        await eventually(lambda: not hub.context.health.connected)
        assert 1.3 <= loop.time() - started <= 30
        assert "no sign of life" in hub.context.health.detail
        assert broker.received(PINGREQ)


async def test_a_session_taken_over_raises_an_alarm(hub: LoggedHub, options: MakeOptions) -> None:
    async with _connected(hub, partial(options, client_id="shared"), POLITE) as broker:
        broker.say(b"\xe0\x02\x8e\x00")
        await eventually(lambda: hub.log.count("mqtt_client_id_taken_over") == 1)
        await eventually(lambda: hub.context.health.connected)
        assert "; another client uses the client id 'shared'" in hub.context.health.detail


async def test_an_unflagged_redelivery_keeps_its_id(hub: LoggedHub, options: MakeOptions) -> None:
    answers = {**POLITE, 0x10: lambda packet: WELCOME_BACK}
    async with _connected(hub, options, answers, acknowledges=False) as broker:
        broker.say(_publish(7, b"unacknowledged"))
        await eventually(lambda: len(hub.committed) == 1)
        broker.say(b"\xe0\x02\x8b\x00")
        await eventually(lambda: broker.connections == 2 and hub.context.health.connected)
        broker.say(_publish(7, b"unacknowledged"))
        await eventually(lambda: len(hub.committed) == 2)
    assert hub.committed[0].id == hub.committed[1].id


async def test_acknowledgements_come_in_order_and_only_on_their_own_connection(
    hub: LoggedHub, options: MakeOptions
) -> None:
    async with _connected(hub, options, POLITE, acknowledges=False) as broker:
        broker.say(b"".join(_publish(mid, b"x") for mid in (3, 1, 2)))
        await eventually(lambda: len(hub.committed) == 3)
        assert not broker.received(PUBACK)
        for inbound in hub.batches:
            await inbound.ack([])
        await eventually(lambda: [packet[3] for packet in broker.received(PUBACK)] == [3, 1, 2])
        broker.say(_publish(4, b"y"))
        await eventually(lambda: len(hub.committed) == 4)
        broker.say(b"\xe0\x02\x8b\x00")
        await eventually(lambda: broker.connections == 2 and hub.context.health.connected)
        await hub.batches[-1].ack([])
        broker.say(_publish(5, b"z"))
        await eventually(lambda: len(hub.committed) == 5)
        await hub.batches[-1].ack([])
        await eventually(lambda: [packet[3] for packet in broker.received(PUBACK)] == [3, 1, 2, 5])


@pytest.mark.parametrize("reason", [0x80, 0x87, 0x8F])
async def test_a_broker_that_refuses_every_subscription_is_no_connection(
    hub: LoggedHub, options: MakeOptions, reason: int
) -> None:
    answers = {**POLITE, SUBSCRIBE: lambda packet: b"\x90\x04" + packet[2:4] + bytes([0, reason])}
    async with _refused(hub, options, answers):
        await eventually(lambda: "refuses every subscription" in hub.context.health.detail)


async def test_one_refused_filter_is_named_and_tried_again(hub: LoggedHub, options: MakeOptions) -> None:
    refuse = True

    def answer(packet: bytes) -> bytes:
        return b"\x90\x05" + packet[2:4] + bytes([0, 1, 0x87 if refuse else 1])

    subscribe = [{"topic": "acme/{plant}/line"}, {"topic": "secret/#"}]
    settings = partial(options, subscribe=subscribe, max_backoff="200ms")
    async with _connected(hub, settings, {**POLITE, SUBSCRIBE: answer}) as broker:
        assert "'secret/#' refused: not authorized (0x87)" in hub.context.health.detail
        assert hub.log.count("mqtt_subscription_refused") >= 1
        refuse = False
        await eventually(lambda: "refused" not in hub.context.health.detail)
        assert broker.connections == 1


async def test_a_weaker_quality_than_asked_is_an_error_in_the_log(
    hub: LoggedHub, options: MakeOptions
) -> None:
    answers = {**POLITE, SUBSCRIBE: lambda packet: b"\x90\x04" + packet[2:4] + b"\x00\x00"}
    async with _connected(hub, options, answers):
        assert hub.log.count("mqtt_qos_downgraded") == 1


async def test_the_brokers_own_keepalive_and_shorter_session_are_heeded(
    hub: LoggedHub, options: MakeOptions
) -> None:
    welcome = b"\x20\x0b\x00\x00\x08\x13\x00\x01\x11\x00\x00\x00\x3c"  # keep-alive 1 s, session 60 s
    answers = {**POLITE, 0x10: lambda packet: welcome}
    async with _connected(hub, partial(options, keepalive="1h"), answers) as broker:
        await eventually(lambda: len(broker.received(PINGREQ)) >= 2)
    assert hub.log.count("mqtt_session_expiry_cut") == 1


async def test_refused_credentials_are_not_an_outage_to_a_delivery(
    hub: LoggedHub, options: MakeOptions
) -> None:
    async with _running({0x10: lambda packet: _connack(0x86)}) as broker:
        sink = MqttSink(options(broker.address, connect_timeout="500ms"), hub.new_context())
        await sink.open()
        (outcome,) = await sink.send([delivery(1)])
        await sink.close()
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, Unauthorized)


@pytest.mark.parametrize(
    ("reason", "kind", "busy"),
    [
        (0x80, TransientError, False),
        (0x83, TransientError, False),
        (0x87, Rejected, False),
        (0x90, Rejected, False),
        (0x91, TransientError, True),
        (0x97, TransientError, True),
        (0x99, Rejected, False),
    ],
)
async def test_a_negative_acknowledgement_says_whether_to_try_again(
    hub: LoggedHub, options: MakeOptions, reason: int, kind: type[CrossplantError], busy: bool
) -> None:
    def answer(packet: bytes) -> bytes:
        at = 4 + packet[3] if packet[1] < 0x80 else 5 + packet[4]
        return b"\x40\x09" + packet[at : at + 2] + bytes([reason]) + b"\x05\x1f\x00\x02no"

    async with _running({**POLITE, 0x32: answer}) as broker:
        sink = MqttSink(options(broker.address), hub.new_context())
        await sink.open()
        outcomes = await sink.send([delivery(1), delivery(2)])
        await sink.close()
    for outcome in outcomes:
        assert isinstance(outcome, Failed)
        assert type(outcome.error) is kind
        assert outcome.error.message.endswith(f"(0x{reason:02X}): no")
        assert getattr(outcome.error, "busy", False) is busy


def test_pauses_grow_are_capped_and_differ() -> None:
    assert all(0.25 <= pause_s(1, 60) <= 0.5 for _ in range(50))
    assert all(4.0 <= pause_s(5, 60) <= 8.0 for _ in range(50))
    assert all(30.0 <= pause_s(10_000, 60) <= 60.0 for _ in range(50))
    assert len({pause_s(5, 60) for _ in range(10)}) > 1
