"""A hub of a few lines, from clients that are not ours: it shows what truly came over the wire."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

import aiohttp
import paho.mqtt.client as mqtt
from asyncua import Client
from asyncua.common.subscription import DataChangeNotif
from paho.mqtt.enums import CallbackAPIVersion

from tests.simulator.fakehub import FakeHub, event

__all__ = ["MiniHub"]

_MQTT_TYPES = {
    "state": ("equipment.state.changed", "ts", "entered_at"),
    "count": ("equipment.count.reported", "to", "window_end"),
    "move": ("inventory.moved", "ts", "at"),
}


class MiniHub(FakeHub):
    """Subscribes to the floor and the presses, polls the MES, checks its webhooks' signatures."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        super().__init__()
        self._env = environment
        self.to_withhold: set[str] = set()
        self.raws: list[tuple[str, str, bytes]] = []
        self.malformed: list[bytes | bytearray] = []
        self.units: dict[str, str] = {}
        self._mqtt = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="a-hub", clean_session=False)
        self._opcua = Client(environment["AACHEN_OPCUA_URL"])
        self._poller: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "MiniHub":
        await super().__aenter__()
        self._connect_mqtt()
        await self._connect_opcua()
        self._poller = asyncio.create_task(self._poll())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._poller is not None
        self._poller.cancel()
        await asyncio.wait([self._poller])
        await self._opcua.disconnect()
        self._mqtt.disconnect()
        await asyncio.to_thread(self._mqtt.loop_stop)
        await super().__aexit__()

    def _show(self, shown: dict[str, Any]) -> None:
        """Shows it, unless it is the first of an adapter that a test wants withheld."""
        adapter = shown["source"].rpartition("/")[2]
        if adapter in self.to_withhold:
            self.to_withhold.remove(adapter)
        else:
            self.events.append(shown)

    # ── MQTT ──

    def _connect_mqtt(self) -> None:
        loop = asyncio.get_running_loop()

        def on_connect(client: mqtt.Client, *_: Any) -> None:
            client.subscribe("acme/brno/#", qos=1)

        def on_message(_client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
            loop.call_soon_threadsafe(self._said, message.topic, message.payload)

        self._mqtt.on_connect = on_connect
        self._mqtt.on_message = on_message
        self._mqtt.username_pw_set(self._env["BRNO_MQTT_USERNAME"], self._env["BRNO_MQTT_PASSWORD"])
        host, port = self._env["BRNO_MQTT_URL"].removeprefix("mqtt://").split(":")
        self._mqtt.connect_async(host, int(port))
        self._mqtt.loop_start()

    def _said(self, topic: str, body: bytes | bytearray) -> None:
        self.raws.append(("brno-floor", topic, bytes(body)))
        tag = topic.rpartition("/")[2]
        suffix, given, field = _MQTT_TYPES.get(tag, ("telemetry.measurement.recorded", "ts", "source_time"))
        try:
            data = json.loads(body)
        except ValueError:
            self.malformed.append(body)
        else:
            self._show(event("brno-floor", suffix, {field: data[given], "tag": tag}))

    # ── OPC UA ──

    async def _connect_opcua(self) -> None:
        await self._opcua.connect()
        index = await self._opcua.get_namespace_index("urn:acme:aachen:presses")
        presses = await self._opcua.nodes.objects.get_child(f"{index}:Presses")
        watched = []
        for press in await presses.get_children():
            for node in await press.get_children():
                watched.append(node)
                if await node.get_properties():
                    unit = await (await node.get_child("0:EngineeringUnits")).read_value()
                    self.units[str(node.nodeid.Identifier)] = unit.UnitId.to_bytes(3, "big").decode()
        subscription = await self._opcua.create_subscription(100, self)
        await subscription.subscribe_data_change(watched, queuesize=100)

    def datachange_notification(self, node: Any, _value: Any, data: DataChangeNotif) -> None:
        """Called by asyncua for each value."""
        at = data.monitored_item.Value.SourceTimestamp
        is_state = str(node.nodeid.Identifier).endswith("State")
        suffix, field = (
            ("equipment.state.changed", "entered_at")
            if is_state
            else ("telemetry.measurement.recorded", "source_time")
        )
        self._show(event("aachen-lines", suffix, {field: at.isoformat()}))

    # ── REST ──

    async def _poll(self) -> None:
        since = ""
        headers = {"Authorization": f"Bearer {self._env['MES_TOKEN']}"}
        async with aiohttp.ClientSession(headers=headers) as session:
            while True:
                async with session.get(f"{self._env['MES_URL']}/orders?since={since}") as response:
                    page = await response.json()
                since = page["next"]
                for order in page["orders"]:
                    self.raws.append(("aachen-mes-orders", "", json.dumps(order).encode()))
                    self._show(event("aachen-mes-orders", "production.order.released", order))
                await asyncio.sleep(0.1)

    def take_webhooks(self) -> None:
        """Makes events of the webhooks that came; raises AssertionError for a wrong signature."""
        key = base64.b64decode(self._env["MES_WEBHOOK_SECRET"].removeprefix("whsec_"))
        for headers, body in self.webhooks:
            signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
            signature = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
            assert headers["webhook-signature"] == f"v1,{signature}"
            self.raws.append(("aachen-mes", "", body))
            self._show(event("aachen-mes", "production.operation.completed", json.loads(body)))
        self.webhooks.clear()
