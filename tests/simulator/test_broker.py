"""Brno's broker: who may come in, and what a cut connection does to messages on their way."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from simulator.broker import MqttBroker
from tests.waiting import eventually


@pytest.fixture
async def broker() -> AsyncIterator[MqttBroker]:
    running = MqttBroker({"hub": "right", "floor": "right"})
    await running.open()
    yield running
    await running.close()


class Peer:
    """A paho client that acknowledges by hand and keeps what came."""

    def __init__(self, broker: MqttBroker, name: str, password: str = "right") -> None:
        self.came: list[mqtt.MQTTMessage] = []
        self.connections: list[Any] = []
        self.acknowledging = True
        self.client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=name, clean_session=False, manual_ack=True
        )
        self.client.username_pw_set(name, password)
        self.client.reconnect_delay_set(min_delay=1, max_delay=1)
        self.client.on_connect = lambda _c, _d, _flags, reason, _p: self.connections.append(reason)
        self.client.on_message = self._take
        self.client.connect_async("127.0.0.1", broker.port)
        self.client.loop_start()

    def _take(self, client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        self.came.append(message)
        if self.acknowledging:
            client.ack(message.mid, message.qos)

    async def end(self) -> None:
        self.client.disconnect()
        await asyncio.to_thread(self.client.loop_stop)


async def test_unacknowledged_messages_come_again_after_a_cut(broker: MqttBroker) -> None:
    hub, floor = Peer(broker, "hub"), Peer(broker, "floor")
    await eventually(lambda: hub.connections and floor.connections)
    hub.client.subscribe("acme/#", qos=1)
    await eventually(lambda: broker.subscribers("acme/brno/x"))
    hub.acknowledging = False
    for number in range(20):
        floor.client.publish("acme/brno/x", str(number), qos=1)
    await eventually(lambda: len(hub.came) == 20)
    hub.acknowledging = True
    raw = hub.client.socket()
    assert isinstance(raw, socket.socket)
    raw.shutdown(socket.SHUT_RDWR)
    await eventually(lambda: len(hub.came) == 40)
    assert [int(one.payload) for one in hub.came[20:]] == list(range(20))
    for peer in (hub, floor):
        await peer.end()


async def test_messages_wait_for_a_client_that_is_away(broker: MqttBroker) -> None:
    hub, floor = Peer(broker, "hub"), Peer(broker, "floor")
    await eventually(lambda: hub.connections and floor.connections)
    hub.client.subscribe("acme/#", qos=1)
    await eventually(lambda: broker.subscribers("acme/brno/x") == ["hub"])
    await hub.end()
    sent = [floor.client.publish("acme/brno/x", str(number), qos=1) for number in range(5)]
    await eventually(lambda: all(one.is_published() for one in sent))
    again = Peer(broker, "hub")
    await eventually(lambda: len(again.came) == 5)
    for peer in (again, floor):
        await peer.end()


@pytest.mark.parametrize(("name", "password"), [("hub", "wrong"), ("stranger", "right")])
async def test_a_wrong_account_is_refused(broker: MqttBroker, name: str, password: str) -> None:
    peer = Peer(broker, name, password)
    await eventually(lambda: peer.connections)
    assert peer.connections[0].is_failure
    await peer.end()


async def test_subscribers_are_found_by_topic_filter(broker: MqttBroker) -> None:
    hub = Peer(broker, "hub")
    await eventually(lambda: hub.connections)
    hub.client.subscribe([("acme/+/line-1/state", 1), ("acme/brno/exactly", 1)])
    await eventually(lambda: broker.subscribers("acme/brno/exactly"))
    assert broker.subscribers("acme/brno/line-1/state") == ["hub"]
    assert broker.subscribers("acme/brno/line-2/state") == []
    assert broker.subscribers("acme/brno/line-1/state/more") == []
    await hub.end()
