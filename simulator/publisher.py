"""A floor's MQTT client: publishes JSON with QoS 1; the broker's PUBACK makes a fact safe."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from simulator.broker import MqttBroker
from simulator.ledger import Document, Fact, Ledger
from simulator.moments import rfc3339
from simulator.serving import LOOPBACK

__all__ = ["Publisher"]

_CONNECT_S: Final = 10.0
_SETTLE_S: Final = 5.0


class Publisher:
    """Topics are given below ``root``; ``adapter`` is the hub's adapter that hears them."""

    def __init__(
        self, broker: MqttBroker, ledger: Ledger, *, adapter: str, root: str, account: tuple[str, str]
    ) -> None:
        self._broker, self._ledger = broker, ledger
        self._adapter, self._root, self._account = adapter, root, account
        self._unacknowledged: dict[int, Fact] = {}
        self._none_open = asyncio.Event()
        self._none_open.set()
        self._to_drop = 0
        self._client: mqtt.Client | None = None

    def drop_one(self) -> None:
        """The next measurement is booked as safe and never sent: a loss that the ledger must find."""
        self._to_drop += 1

    def heard(self, topic: str) -> bool:
        """Whether somebody has subscribed to the topic: MQTT keeps nothing for those who never came."""
        return bool(self._broker.subscribers(f"{self._root}/{topic}"))

    async def open(self) -> None:
        """Connects to the broker. Raises TimeoutError when it does not answer."""
        loop = asyncio.get_running_loop()
        connected = asyncio.Event()
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=f"{self._adapter}-plc", clean_session=False
        )
        client.username_pw_set(*self._account)

        def on_connect(*_: Any) -> None:
            loop.call_soon_threadsafe(connected.set)

        def on_publish(_client: mqtt.Client, _data: Any, mid: int, *_: Any) -> None:
            loop.call_soon_threadsafe(self._acknowledged, mid)

        client.on_connect = on_connect
        client.on_publish = on_publish
        client.connect_async(LOOPBACK, self._broker.port, keepalive=60)
        client.loop_start()
        self._client = client
        async with asyncio.timeout(_CONNECT_S):
            await connected.wait()

    async def close(self) -> None:
        """Disconnects."""
        if self._client is not None:
            self._client.disconnect()
            await asyncio.to_thread(self._client.loop_stop)
            self._client = None

    async def settled(self) -> None:
        """Waits a little for what the broker has not acknowledged."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_SETTLE_S):
                await self._none_open.wait()

    def say(
        self,
        topic: str,
        payload: Mapping[str, Any],
        kind: str,
        at: datetime,
        *,
        key: str = "",
        documents: tuple[Document, ...] = (),
    ) -> None:
        """Publishes a fact of this type; its natural key is the time unless ``key`` says otherwise."""
        fact = Fact(
            adapter=self._adapter,
            protocol="mqtt",
            format="json",
            type=kind,
            key=key or rfc3339(at),
            at=at,
            detail=f"{self._root}/{topic}",
            documents=documents,
        )
        self._ledger.record_sent(fact)
        if self._to_drop and kind == "telemetry.measurement.recorded":
            self._to_drop -= 1
            self._ledger.on_purpose["dropped"] += 1
            self._ledger.record_safe(fact)
            return
        self._unacknowledged[self.publish(topic, json.dumps(payload).encode())] = fact
        self._none_open.clear()

    def publish(self, topic: str, body: bytes) -> int:
        """Publishes bytes that are no fact; returns the message's number."""
        if self._client is None:
            raise RuntimeError(f"{self._adapter} is not connected")
        return self._client.publish(f"{self._root}/{topic}", body, qos=1).mid

    def _acknowledged(self, mid: int) -> None:
        """The broker's PUBACK came; called in the loop, after ``publish`` returned."""
        fact = self._unacknowledged.pop(mid, None)
        if fact is not None:
            self._ledger.record_safe(fact)
        if not self._unacknowledged:
            self._none_open.set()
