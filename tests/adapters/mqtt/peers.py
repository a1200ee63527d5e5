"""Producers and observers that are not ours: mosquitto's own clients, and stock paho."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from tests.servers import Mosquitto
from tests.servers.required import program

__all__ = ["Observer", "mosquitto_pub", "publish"]

DEADLINE_S = 30.0


async def mosquitto_pub(
    broker: Mosquitto, topic: str, lines: Sequence[str], *more: str, qos: int = 1
) -> None:
    """Publishes each line as a message; returns once the broker has acknowledged all."""
    options = ["-h", broker.host, "-p", str(broker.port), "-t", topic, "-q", str(qos), "-l", *more]
    process = await asyncio.create_subprocess_exec(
        program("mosquitto_pub"), *options, stdin=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(DEADLINE_S):
        _, errors = await process.communicate("".join(f"{line}\n" for line in lines).encode())
    assert process.returncode == 0, errors.decode()


@contextmanager
def _client(broker: Mosquitto, client: Client) -> Iterator[Client]:
    client.max_inflight_messages = 1_000
    client.connect(broker.host, broker.port)
    client.loop_start()
    try:
        yield client
    finally:
        client.disconnect()
        client.loop_stop()


def publish(
    broker: Mosquitto, messages: Sequence[tuple[str, bytes]], *, qos: int = 1, retain: bool = False
) -> None:
    """Publishes (topic, payload) pairs; returns once the broker has acknowledged all. Blocks."""
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv311)
    with _client(broker, client):
        sent = [client.publish(topic, payload, qos, retain) for topic, payload in messages]
        for info in sent:
            info.wait_for_publish(DEADLINE_S)
        assert all(info.is_published() for info in sent), "the broker did not acknowledge everything"


class Observer:
    """Sees all messages of a topic filter on a session of its own; ``messages`` grows in a thread."""

    def __init__(self, broker: Mosquitto, topic_filter: str) -> None:
        self.messages: list[MQTTMessage] = []
        self._subscribed = threading.Event()
        self._filter = topic_filter
        self._client = Client(
            CallbackAPIVersion.VERSION2, client_id="observer", protocol=MQTTProtocolVersion.MQTTv5
        )
        self._client.reconnect_delay_set(min_delay=1, max_delay=1)
        self._client.on_connect = lambda client, *_: client.subscribe(self._filter, 1)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = lambda client, data, message: self.messages.append(message)
        self._broker = broker

    def start(self) -> None:
        """Connects; returns once it is subscribed. Blocks."""
        from paho.mqtt.packettypes import PacketTypes
        from paho.mqtt.properties import Properties

        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = 3_600
        self._client.connect(self._broker.host, self._broker.port, clean_start=False, properties=properties)
        self._client.loop_start()
        self.ready()

    def forget(self) -> None:
        """Its broker is gone: mosquitto 2.0.11 may have forgotten the session of a connected client."""
        self._subscribed.clear()

    def ready(self) -> None:
        """Returns once it is subscribed, for the first time or again. Blocks."""
        assert self._subscribed.wait(DEADLINE_S), "the observer could not subscribe"

    def stop(self) -> None:
        """Leaves the broker."""
        self._client.disconnect()
        self._client.loop_stop()
