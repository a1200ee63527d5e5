"""The plant floor through the whole hub, with peers that are not ours: node-opcua and mosquitto_pub."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from adapters.conformance.proxy import FaultProxy
from tests.hub import HubProcess
from tests.servers import Mosquitto, OpcuaPeer
from tests.servers.ports import LOOPBACK
from tests.waiting import eventually

pytestmark = [pytest.mark.requires_server("mosquitto", "node-opcua"), pytest.mark.timeout(180)]

SETTINGS = """
company: acme
gateway: {{bind: {host}, port: {port}}}
plants:
  aachen: {{name: Aachen, timezone: Europe/Berlin}}
  brno: {{name: Brno, timezone: Europe/Prague}}
adapters:
  press:
    kind: opcua
    plant: aachen
    url: opc.tcp://{host}:{opcua}/UA/peer
    security: none
    anonymous: true
    equipment: acme/aachen/press-shop/line-1
    publishing_interval: 200ms
    sampling_interval: 50ms
    keep_alive_count: 5
    stale_after: 3s
    request_timeout: 3s
    max_backoff: 1s
    tags:
      - {{node: "nsu=urn:peer:machine;s=temperature", tag: temperature}}
      - {{node: "nsu=urn:peer:machine;s=counter", tag: counter, uom: C62}}
  floor:
    kind: mqtt
    plant: brno
    url: mqtt://{host}:{mqtt}
    subscribe: [{{topic: "acme/brno/{{line}}/{{tag}}"}}]
    format: {{kind: value, uom: CEL}}
  historian:
    kind: rest
    url: http://{host}:{target}
routes:
  measurements:
    on: [telemetry.measurement.recorded]
    from: beginning
    map:
      plant: event.plantid
      tag: data.tag
      value: data.value
      uom: data.uom
      at: data.source_time
    to: {{adapter: historian, path: values}}
"""


class Historian:
    """Keeps what it gets."""

    def __init__(self) -> None:
        self.values: list[dict[str, Any]] = []

    async def take(self, request: web.Request) -> web.Response:
        self.values.append(await request.json())
        return web.Response()

    def of(self, plant: str, tag: str) -> list[dict[str, Any]]:
        return [each for each in self.values if (each["plant"], each["tag"]) == (plant, tag)]


class Rig:
    def __init__(self, hub: HubProcess, proxy: FaultProxy, historian: Historian) -> None:
        self.hub, self.proxy, self.historian = hub, proxy, historian


@pytest.fixture
async def rig(
    tmp_path: Path, free_port: Callable[[], int], mosquitto: Mosquitto, opcua_peer: OpcuaPeer
) -> AsyncIterator[Rig]:
    port, target = free_port(), free_port()
    historian = Historian()
    app = web.Application()
    app.router.add_post("/values", historian.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, LOOPBACK, target).start()
    async with FaultProxy(LOOPBACK, opcua_peer.port) as proxy:
        settings = tmp_path / "deployment.yaml"
        settings.write_text(
            SETTINGS.format(host=LOOPBACK, port=port, opcua=proxy.port, mqtt=mosquitto.port, target=target)
        )
        hub = HubProcess(tmp_path, settings, port)
        try:
            await hub.start()
            assert not hub.dead, hub.log()
            await eventually(lambda: "mqtt_connected" in hub.log(), 20)
            yield Rig(hub, proxy, historian)
            proxy.heal()
            code = await hub.stop()
        finally:
            await hub.end()
            await runner.cleanup()
    assert code == 0, hub.log()[-3000:]


async def publish(broker: Mosquitto, topic: str, body: str) -> None:
    process = await asyncio.create_subprocess_exec(
        "mosquitto_pub", "-h", broker.host, "-p", str(broker.port), "-q", "1", "-t", topic, "-m", body
    )
    assert await process.wait() == 0


async def test_mosquitto_pub_feeds_the_hub(rig: Rig, mosquitto: Mosquitto) -> None:
    await publish(mosquitto, "acme/brno/line7/temperature", "21.5")
    [value] = await eventually(lambda: rig.historian.of("brno", "temperature"))
    assert (value["value"], value["uom"]) == (21.5, "CEL")
    await publish(mosquitto, "acme/brno/line7/temperature", "twenty")
    await publish(mosquitto, "acme/brno/line7/temperature", "22")
    await eventually(lambda: len(rig.historian.of("brno", "temperature")) >= 2)


async def test_node_opcua_feeds_the_hub_and_a_black_hole_leaves_a_gap_that_is_written_down(rig: Rig) -> None:
    before = await eventually(lambda: rig.historian.of("aachen", "temperature"), 30)
    assert before[0]["uom"] == "CEL"  # the server's own engineering unit
    await eventually(lambda: len(rig.historian.of("aachen", "counter")) > 5, 30)
    last = datetime.fromisoformat(rig.historian.of("aachen", "counter")[-1]["at"])
    rig.proxy.black_hole()
    await asyncio.sleep(10)
    rig.proxy.heal()

    def flowing_again() -> bool:
        newest = rig.historian.of("aachen", "counter")[-1]
        return datetime.fromisoformat(newest["at"]) > last + timedelta(seconds=10)

    await eventually(flowing_again, 40)
    key = await rig.hub.key()

    async def gaps() -> list[dict[str, Any]]:
        listed = await rig.hub.get("/v1/events?type=telemetry.source.changed&plant=aachen&limit=1000", key)
        return [each["data"] for each in listed["items"]]

    async def written_down() -> bool:
        told = await gaps()
        return any(each["status"] in {"offline", "stale"} for each in told) and told[-1]["status"] == "online"

    await eventually(written_down, 20)
    newest = int(rig.historian.of("aachen", "counter")[-1]["value"])

    def missing() -> set[int]:
        counts = {int(each["value"]) for each in rig.historian.of("aachen", "counter")}
        return set(range(min(counts), newest + 1)) - counts

    async def accounted() -> bool:
        """Readings have no order: one that is still on its way may come after its successor."""
        return not missing() or any(each.get("gap") for each in await gaps())

    await eventually(accounted, 20)
    told = [each["gap"] for each in await gaps() if each.get("gap")]
    for gap in told:
        assert datetime.fromisoformat(gap["from"]) < datetime.fromisoformat(gap["to"])
        assert gap["reason"]
