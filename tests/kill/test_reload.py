"""Fifty reloads under load, ten of them unsound: nothing lost, nobody reconnected, each refusal explained."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client, MQTTMessageInfo
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from tests.hub import HubProcess
from tests.kill.rig import LINES, Erp, deployment, erp
from tests.servers import Mosquitto, StartMosquitto
from tests.waiting import eventually

pytestmark = [pytest.mark.requires_server("mosquitto"), pytest.mark.timeout(400)]

RELOADS = 50
EVERY = 5
"""Each fifth is not sound."""
SLICE, SLICE_S = 500, 0.1
"""So many events in so many seconds, at most: 5,000 a second, or what the machine gives."""
MOST = 100_000
"""Of events: the load ends then, however long the reloads take."""

SOUND = "map: {line: event.subject, n: data.total}"
WRONG: list[tuple[str, str, str]] = [
    (SOUND, "map: {line: event.subjct, n: data.total}", "subjct"),
    (SOUND, "map: {line: event.subject, n: data.totl}", "did you mean data.total"),
    (SOUND, "map: {line: event.subject +, n: data.total}", "routes.counts.map.line"),
    ("on: [equipment.count.reported]", "on: [equipment.count.told]", "unknown event type"),
    ("to: {adapter: erp, path: counts}", "to: {adapter: crm, path: counts}", "crm"),
    ("from: beginning", "form: beginning", "form"),
    ("  timeout: 10s", "  timeout: 10", "needs its unit"),
    ("company: acme", "company: acme\njournal: {retain: 7d}", "needs a restart"),
    ("company: acme", "company: [acme", "not YAML"),
    ("  timeout: 10s", "  token: ${env:NOWHERE_TO_BE_FOUND}", "NOWHERE_TO_BE_FOUND"),
]


def publish(broker: Mosquitto, reloaded: threading.Event) -> set[tuple[str, int]]:
    """Slices of events of a few lines in turns, at their pace, until all was reloaded; returns what the
    broker has acknowledged.

    Stock paho in a thread of its own: mosquitto_pub hangs when its input ends after the last answer.
    """
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv311)
    client.max_inflight_messages = 1_000
    client.connect(broker.host, broker.port)
    client.loop_start()
    sent: list[MQTTMessageInfo] = []
    began_s = due_s = time.monotonic()
    while len(sent) < MOST and not reloaded.is_set():
        n = len(sent) // LINES
        body = f'{{"n":{n},"at":"2026-03-01T06:00:00Z"}}'
        sent += [client.publish(f"acme/brno/line{line}/count", body, 1) for line in range(LINES)]
        if len(sent) % SLICE == 0:
            due_s += SLICE_S
            time.sleep(max(due_s - time.monotonic(), 0.0))
    for info in sent:
        info.wait_for_publish(60)
    took_s = time.monotonic() - began_s
    print(f"{len(sent)} events in {took_s:.1f} s, {len(sent) / took_s:.0f} a second")  # noqa: T201
    client.disconnect()
    client.loop_stop()
    assert all(info.is_published() for info in sent)
    return {(f"line{line}", n) for line in range(LINES) for n in range(len(sent) // LINES)}


class Operator:
    """Writes one configuration after the other, and has each loaded."""

    def __init__(self, hub: HubProcess, path: Path, key: str) -> None:
        self.hub, self.path, self.key = hub, path, key
        self.sound = path.read_text()
        self.loaded: list[dict[str, Any]] = []
        self.refused: list[dict[str, Any]] = []

    async def reload(self, number: int) -> None:
        """Each sound one writes another constant into every delivery, and comes or goes with a route."""
        if number % EVERY == EVERY - 1:
            before, after, told = WRONG[number // EVERY]
            status, answer = await self._load(before, after)
            assert status == 422, answer
            assert answer["code"] == "configuration_refused"
            assert any(told in found["message"] for found in answer["findings"]), (told, answer)
            assert all(found["file"] and found["line"] for found in answer["findings"]), answer
            self.refused.append(answer)
            return
        copies = "  copies: {on: [equipment.count.reported], plants: [brno], when: 'false', to: erp}\n"
        status, answer = await self._load(SOUND, f"{SOUND[:-1]}, v: \"'{number}'\"}}", copies * (number % 2))
        assert status == 200, answer
        self.loaded.append(answer)

    async def _load(self, before: str, after: str, more: str = "") -> tuple[int, Any]:
        assert before in self.sound
        await asyncio.to_thread(self.path.write_text, self.sound.replace(before, after) + more)
        return await self.hub.ask("POST", "/v1/configuration/reload", key=self.key)


async def test_fifty_reloads_under_load(
    tmp_path: Path, start_mosquitto: StartMosquitto, free_port: Callable[[], int]
) -> None:
    broker: Mosquitto = start_mosquitto()
    port, target = free_port(), free_port()
    path = deployment(tmp_path, port=port, broker=broker.port, target=target)
    hub = HubProcess(tmp_path, path, port)
    try:
        async with erp(target) as system:
            await hub.start()
            await eventually(lambda: "mqtt_connected" in hub.log(), 20)
            operator = Operator(hub, path, await hub.key())
            reloaded, began_s = threading.Event(), time.monotonic()
            publishing = asyncio.create_task(asyncio.to_thread(publish, broker, reloaded))
            try:
                for number in range(RELOADS):
                    await operator.reload(number)
            finally:
                reloaded.set()
            print(f"{RELOADS} reloads in {time.monotonic() - began_s:.1f} s")  # noqa: T201
            sent = await publishing
            await judge(hub, system, operator, sent)
    finally:
        await hub.end()
    connected = broker.log_path.read_text().count("New client connected")
    assert connected == 2  # the hub once, and the publisher


async def judge(hub: HubProcess, system: Erp, operator: Operator, sent: set[tuple[str, int]]) -> None:
    await eventually(lambda: system.keys.keys() >= sent, 200)
    account = system.account(sent)
    assert account == {"lost": 0, "unexpected": 0, "other_key": 0, "overtaken": 0}, account
    assert system.repeated == 0
    assert (len(operator.loaded), len(operator.refused)) == (RELOADS - len(WRONG), len(WRONG))
    assert [one["version"]["number"] for one in operator.loaded] == list(range(2, 2 + len(operator.loaded)))
    assert {tuple(one["adapters"]) for one in operator.loaded} == {()}  # no connection was touched
    assert hub.log().count("mqtt_connected") == 1
    rows = (await hub.get("/v1/audit?act=configuration.refused&limit=100", operator.key))["items"]
    told = [[found["message"] for found in answer["findings"]] for answer in reversed(operator.refused)]
    assert [len(row["details"]["findings"]) for row in rows] == [len(messages) for messages in told]
    for row, messages in zip(rows, told, strict=True):
        assert all(any(message in line for line in row["details"]["findings"]) for message in messages)
