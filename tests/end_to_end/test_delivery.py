"""A hub as users run it, over HTTP: outages, one bad document, unknown codes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.hub import HubProcess
from tests.servers.ports import LOOPBACK
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(180)

SETTINGS = """
company: acme
gateway: {{bind: {host}, port: {port}}}
plants:
  aachen: {{name: Aachen, timezone: Europe/Berlin}}
  brno: {{name: Brno, timezone: Europe/Prague}}
adapters:
  mes:
    kind: rest
    plant: aachen
    format:
      kind: json
      events:
        - type: production.order.created
          id: payload.order + "-" + string(payload.n)
          data:
            order: payload.order
            item: payload.item
            quantity: {{value: string(payload.n), uom: "'H87'"}}
            planned_start: payload.at
            planned_end: payload.at
    codes: {{system: mes, fields: [data.item]}}
    webhook: {{verify: {{kind: bearer, secret: "${{file:token}}"}}}}
  erp:
    kind: rest
    url: http://{host}:{target}
    timeout: 5s
routes:
  orders:
    on: [production.order.created]
    from: beginning
    map: {{order: data.order, item: data.item, n: data.quantity.value}}
    to: {{adapter: erp, path: orders}}
    retry: {{first: 200ms, max: 2s, give_up_after: 3s}}
crosswalks: [codes.csv]
"""


class Erp:
    """An ERP that can be away, or find fault with one order."""

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []
        self.sick: set[str] = set()
        self.refusals = 0

    async def take(self, request: web.Request) -> web.Response:
        body = await request.json()
        if body["order"] in self.sick:
            self.refusals += 1
            return web.Response(status=500, text="a fault of ours")
        self.taken.append(body)
        return web.json_response({"ok": True})

    def numbers(self, order: str) -> list[int]:
        """In which order an order's documents came."""
        return [int(body["n"]) for body in self.taken if body["order"] == order]


class Site:
    """The ERP's HTTP server, which can be shut and opened again on the same port."""

    def __init__(self, erp: Erp, port: int) -> None:
        self.erp, self.port = erp, port
        self._runner: web.AppRunner | None = None

    async def open(self) -> None:
        app = web.Application()
        app.router.add_post("/orders", self.erp.take)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, LOOPBACK, self.port, reuse_address=True).start()

    async def shut(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        self._runner = None


class Rig:
    """The hub, its ERP, and a key."""

    def __init__(self, hub: HubProcess, site: Site) -> None:
        self.hub, self.site, self.erp = hub, site, site.erp
        self.key = ""

    async def send(self, *orders: tuple[str, int, str]) -> list[dict[str, Any]]:
        """(order, n, item) each as a webhook call of the MES; the results."""
        return [await self._one(*each) for each in orders]

    async def _one(self, order: str, n: int, item: str) -> dict[str, Any]:
        at = datetime.now(UTC).isoformat()
        body = {"order": order, "n": n, "item": item, "at": at}
        status, answer = await self.hub.ask("POST", "/v1/webhooks/mes", key="hook-secret", body=body)
        assert status == 202, answer
        result: dict[str, Any] = answer["results"][0]
        return result

    async def route(self) -> dict[str, Any]:
        """How the route does."""
        listed = await self.hub.get("/v1/routes", self.key)
        found: dict[str, Any] = next(each for each in listed["items"] if each["name"] == "orders")
        return found

    async def items(self, path: str) -> list[dict[str, Any]]:
        """A listing's items."""
        return list((await self.hub.get(path, self.key))["items"])


@pytest.fixture
async def rig(tmp_path: Path, free_port: Callable[[], int]) -> AsyncIterator[Rig]:
    port, target = free_port(), free_port()
    (tmp_path / "token").write_text("hook-secret\n")
    (tmp_path / "codes.csv").write_text(
        "domain,system,plant,value,canonical,valid_from,valid_to\nitem,mes,,A-1,ITEM-1,,\n"
    )
    settings = tmp_path / "deployment.yaml"
    settings.write_text(SETTINGS.format(host=LOOPBACK, port=port, target=target))
    hub = HubProcess(tmp_path, settings, port)
    built = Rig(hub, Site(Erp(), target))
    await built.site.open()
    try:
        await hub.start()
        assert not hub.dead, hub.log()
        built.key = await hub.key()
        yield built
        code = await hub.stop()
    finally:
        await hub.end()
        await built.site.shut()
    assert code == 0, hub.log()[-3000:]


async def test_a_sink_that_is_away_for_30_s_pauses_its_route_and_drains_in_order(rig: Rig) -> None:
    await rig.send(("o1", 1, "A-1"))
    await eventually(lambda: rig.erp.numbers("o1") == [1])
    await rig.site.shut()
    down_until = asyncio.get_running_loop().time() + 30
    n = 1
    while asyncio.get_running_loop().time() < down_until:
        n += 1
        await rig.send(("o1", n, "A-1"), ("o2", n, "A-1"))
        await asyncio.sleep(0.2)
    found = await rig.route()
    assert found["state"] == "paused"
    assert "refused" in found["reason"] or "onnect" in found["reason"]
    assert await rig.items("/v1/dead-letters") == []
    assert await rig.items("/v1/lanes") == []
    await rig.site.open()
    await eventually(lambda: rig.erp.numbers("o2") and rig.erp.numbers("o2")[-1] == n, 30)
    await eventually(lambda: rig.erp.numbers("o1")[-1] == n)
    assert rig.erp.numbers("o1") == list(range(1, n + 1))
    assert rig.erp.numbers("o2") == list(range(2, n + 1))
    assert await rig.items("/v1/dead-letters") == []
    assert (await rig.route())["state"] == "flowing"


async def test_a_document_that_is_answered_500_ends_apart_and_the_rest_flows(rig: Rig) -> None:
    rig.erp.sick.add("bad")
    await rig.send(("bad", 1, "A-1"))
    for n in range(20):
        await rig.send((f"o{n}", n, "A-1"))
    await eventually(lambda: len(rig.erp.taken) == 20)
    [letter] = await eventually(lambda: rig.items("/v1/dead-letters"), 30)
    assert letter["route"] == "orders"
    assert letter["attempts"] > 1
    assert rig.erp.refusals == letter["attempts"]
    await rig.send(("bad", 2, "A-1"))
    rig.erp.sick.clear()
    status, answer = await rig.hub.ask("POST", f"/v1/dead-letters/{letter['id']}/retry", key=rig.key)
    assert status in {200, 202}, answer
    await eventually(lambda: rig.erp.numbers("bad") == [1, 2])


async def test_a_missing_crosswalk_row_delivers_what_was_parked_in_order(rig: Rig) -> None:
    await rig.send(*(("o1", n, "NEW-9") for n in range(1, 6)), ("o2", 1, "A-1"), ("o1", 6, "A-1"))
    await eventually(lambda: rig.erp.numbers("o2") == [1])
    [lane] = await eventually(lambda: rig.items("/v1/lanes"))
    assert (lane["state"], lane["key"].endswith("o1")) == ("parked", True)
    assert rig.erp.numbers("o1") == []
    row = {"domain": "item", "system": "mes", "value": "NEW-9", "canonical": "ITEM-9"}
    status, answer = await rig.hub.ask("POST", "/v1/crosswalks", key=rig.key, body=row)
    assert status == 201, answer
    assert answer["released"] == 1
    await eventually(lambda: rig.erp.numbers("o1") == [1, 2, 3, 4, 5, 6])
    assert [body["item"] for body in rig.erp.taken if body["order"] == "o1"] == ["ITEM-9"] * 5 + ["ITEM-1"]

    async def no_lanes() -> bool:
        return not await rig.items("/v1/lanes")

    await eventually(no_lanes)
    status, answer = await rig.hub.ask(
        "POST", "/v1/crosswalks", key=rig.key, body={**row, "canonical": "OTHER"}
    )
    assert status == 409, answer
