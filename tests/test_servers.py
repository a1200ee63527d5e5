"""The servers that other tests rely on do what is said of them."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from asyncua import ua
from asyncua.client import Client
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from tests.servers import Mosquitto, OpcuaPeer, StartMosquitto, StartOpcuaPeer, requires_server
from tests.waiting import eventually

CEL = 0x43454C  # UNECE's "CEL", as OPC UA part 8, 5.6.3 encodes it


class Listener:
    """A persistent MQTT session `name` that subscribes to plant/# and keeps what it hears."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.heard: list[bytes] = []
        self.answers: list[ReasonCode] = []
        self.subscribed = False

    @contextmanager
    def on(
        self,
        broker: Mosquitto,
        *,
        login: tuple[str, str] | None = None,
        context: ssl.SSLContext | None = None,
    ) -> Iterator[mqtt.Client]:
        """Connected, until left."""
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=self.name, clean_session=False)
        client.on_connect = self._connected
        client.on_message = lambda _client, _data, message: self.heard.append(bytes(message.payload))
        client.on_subscribe = lambda *_: setattr(self, "subscribed", True)
        if login:
            client.username_pw_set(*login)
        if context:
            client.tls_set_context(context)
        client.connect(broker.host, broker.port)
        client.loop_start()
        try:
            yield client
        finally:
            client.disconnect()
            client.loop_stop()

    def _connected(
        self, client: mqtt.Client, _data: Any, _flags: Any, answer: ReasonCode, _more: Any
    ) -> None:
        self.answers.append(answer)
        client.subscribe("plant/#", qos=1)


async def test_mosquitto_delivers_what_was_published(mosquitto: Mosquitto) -> None:
    listener = Listener("one")
    with listener.on(mosquitto) as client:
        await eventually(lambda: listener.subscribed)
        client.publish("plant/press", b"21.5", qos=1)
        await eventually(lambda: listener.heard == [b"21.5"])


async def test_mosquitto_keeps_queued_messages_over_restart_and_saved_ones_over_kill(
    mosquitto: Mosquitto,
) -> None:
    listener, sender = Listener("one"), Listener("two")
    with listener.on(mosquitto):
        await eventually(lambda: listener.subscribed)
    with sender.on(mosquitto) as client:
        await asyncio.to_thread(client.publish("plant/press", b"first", qos=1).wait_for_publish, 5)
        mosquitto.restart()
        await eventually(client.is_connected)
        await asyncio.to_thread(client.publish("plant/press", b"second", qos=1).wait_for_publish, 5)
        mosquitto.save()
        mosquitto.kill9()
        mosquitto.start()
    with listener.on(mosquitto):
        await eventually(lambda: listener.heard == [b"first", b"second"])


async def test_mosquitto_with_users_refuses_a_stranger(start_mosquitto: StartMosquitto) -> None:
    broker = start_mosquitto(users={"press": "secret"})
    stranger, known = Listener("stranger"), Listener("known")
    with stranger.on(broker), known.on(broker, login=("press", "secret")):
        await eventually(lambda: stranger.answers and stranger.answers[0].is_failure)
        await eventually(lambda: known.answers and not known.answers[0].is_failure)


async def test_mosquitto_with_tls_asks_for_a_client_certificate(start_mosquitto: StartMosquitto) -> None:
    broker = start_mosquitto(tls=True, client_certificates=True)
    assert broker.authority is not None
    issued = broker.authority.issue("press")
    context = ssl.create_default_context(cafile=broker.ca_path)
    context.load_cert_chain(issued.certificate_path, issued.key_path)
    listener = Listener("one")
    with listener.on(broker, context=context):
        await eventually(lambda: listener.subscribed)


async def test_frozen_server_keeps_connections_open_and_does_not_answer(mosquitto: Mosquitto) -> None:
    mosquitto.process.freeze()
    listener = Listener("one")
    with socket.create_connection((mosquitto.host, mosquitto.port), timeout=5):
        mosquitto.process.thaw()
    with listener.on(mosquitto):
        await eventually(lambda: listener.subscribed)


async def test_opcua_peer_serves_values_units_and_statuses(opcua_peer: OpcuaPeer) -> None:
    async with Client(opcua_peer.url) as client:
        machine = await client.get_namespace_index("urn:peer:machine")
        line = await client.get_namespace_index("urn:peer:line")
        temperature = client.get_node(f"ns={machine};s=temperature")
        unit = await (await temperature.get_child("0:EngineeringUnits")).read_value()
        assert unit.UnitId == CEL
        assert await client.get_node(f"ns={line};s=serial").read_value() == "000123"

        opcua_peer.tell("set temperature 42.5")
        assert await temperature.read_value() == 42.5
        opcua_peer.tell("status temperature BadSensorFailure")
        value = await temperature.read_data_value(raise_on_bad_status=False)
        assert value.StatusCode == ua.StatusCode(ua.UInt32(ua.StatusCodes.BadSensorFailure))

        counter = client.get_node(f"ns={machine};s=counter")
        first = await counter.read_value()

        async def advanced() -> bool:
            return bool(await counter.read_value() > first)

        await eventually(advanced)


async def test_opcua_peer_comes_back_with_other_namespace_indexes(opcua_peer: OpcuaPeer) -> None:
    async with Client(opcua_peer.url) as client:
        before = await client.get_namespace_array()
    opcua_peer.kill9()
    opcua_peer.start(swap_namespaces=True)
    async with Client(opcua_peer.url) as client:
        after = await client.get_namespace_array()
    assert set(before) == set(after)
    assert before.index("urn:peer:machine") == after.index("urn:peer:line")


async def test_opcua_peer_states_its_limits_and_asks_for_a_password(start_opcua_peer: StartOpcuaPeer) -> None:
    peer = start_opcua_peer(max_items=100, items=250, interval=0, username="hub", password="secret")
    with pytest.raises(ua.UaStatusCodeError):
        await _max_items(Client(peer.url))
    client = Client(peer.url)
    client.set_user("hub")
    client.set_password("secret")
    assert await _max_items(client) == 100


async def _max_items(client: Client) -> int:
    async with client:
        limit = client.get_node(
            ua.ObjectIds.Server_ServerCapabilities_OperationLimits_MaxMonitoredItemsPerCall
        )
        return int(await limit.read_value())


def test_free_ports_differ(free_port: Callable[[], int]) -> None:
    assert len({free_port() for _ in range(20)}) == 20


def test_missing_server_is_reported_as_not_run_or_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.servers.required.SEARCH_PATH", "")
    monkeypatch.delenv("CROSSPLANT_REQUIRE_SERVICES", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"^not run: mosquitto is not installed"):
        requires_server("mosquitto")
    monkeypatch.setenv("CROSSPLANT_REQUIRE_SERVICES", "1")
    with pytest.raises(pytest.fail.Exception, match="mosquitto is not installed"):
        requires_server("mosquitto")
