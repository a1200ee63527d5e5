"""kill -9 while events wait for what the read models do not know yet: all come, in order, one key each."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.hub import HubProcess
from tests.servers.ports import LOOPBACK
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(400)

ORDERS, STEPS, KILLS = 40, 3, 5
BATCH = "application/cloudevents-batch+json"


def settings(folder: Path, *, port: int, target: int) -> Path:
    path = folder / "deployment.yaml"
    path.write_text(
        f"""
company: acme
gateway: {{bind: {LOOPBACK}, port: {port}}}
plants:
  brno: {{name: Brno, timezone: Europe/Prague}}
adapters:
  erp: {{kind: rest, url: "http://{LOOPBACK}:{target}", timeout: 10s}}
routes:
  steps:
    on: [production.operation.started]
    order: key
    from: beginning
    enrich:
      order: {{from: production-orders, key: data.order}}
    map: {{order: data.order, step: data.operation, item: enrich.order.item}}
    retry: {{first: 50ms, max: 500ms, give_up_after: 1h}}
    to: {{adapter: erp, path: steps}}
""",
        encoding="utf-8",
    )
    return path


class Erp:
    """Keeps every request: (order, step) → idempotency keys, in the order of arrival."""

    def __init__(self) -> None:
        self.keys: dict[tuple[str, int], set[str]] = {}
        self.items: set[tuple[str, str]] = set()

    async def take(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.keys.setdefault((body["order"], int(body["step"])), set()).add(
            request.headers["Idempotency-Key"]
        )
        self.items.add((body["order"], body["item"]))
        return web.json_response({"ok": True})


@asynccontextmanager
async def erp(port: int) -> AsyncIterator[Erp]:
    system = Erp()
    app = web.Application()
    app.router.add_post("/steps", system.take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, LOOPBACK, port).start()
    try:
        yield system
    finally:
        await runner.cleanup()


def said(identifier: str, suffix: str, data: dict[str, Any]) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": identifier,
        "source": "/systems/mes",
        "type": f"com.crossplant.{suffix}.v1",
        "time": "2026-03-31T08:00:00Z",
        "plantid": "brno",
        "partitionkey": data["order"],
        "data": data,
    }


def step(order: int, number: int) -> dict[str, Any]:
    data = {"order": f"O-{order}", "operation": str(number), "work_centre": "W"}
    return said(
        f"s-{order}-{number}", "production.operation.started", {**data, "started_at": "2026-03-31T08:00:00Z"}
    )


def created(order: int) -> dict[str, Any]:
    data = {
        "order": f"O-{order}",
        "item": f"I-{order}",
        "quantity": {"value": "5", "uom": "H87"},
        "planned_start": "2026-03-31T10:00:00Z",
        "planned_end": "2026-03-31T12:00:00Z",
    }
    return said(f"o-{order}", "production.order.created", data)


async def post(hub: HubProcess, key: str, events: list[dict[str, Any]]) -> None:
    """Says it until it is safe, as every source does."""

    async def taken() -> bool:
        try:
            status, _ = await hub.ask("POST", "/v1/events", key=key, body=events, content_type=BATCH)
        except OSError:
            return False
        return status == 202

    await eventually(taken, 60)


async def test_what_waits_for_its_order_survives_kills_and_comes_in_order(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    port, target, chance = free_port(), free_port(), random.Random(11)
    hub = HubProcess(tmp_path, settings(tmp_path, port=port, target=target), port)
    sent = {(f"O-{order}", number) for order in range(ORDERS) for number in range(STEPS)}
    async with erp(target) as system:
        try:
            await hub.start()
            key = await hub.key()
            for number in range(STEPS):
                await post(hub, key, [step(order, number) for order in range(ORDERS)])

            async def all_wait() -> bool:
                found = await hub.get("/v1/lanes?limit=500", key)
                return sum(int(lane["size"]) for lane in found["items"]) == ORDERS * STEPS

            await eventually(all_wait, 60)
            assert system.keys == {}
            each = ORDERS // KILLS
            for begin in range(0, ORDERS, each):
                await post(hub, key, [created(order) for order in range(begin, begin + each)])
                seen = len(system.keys) + chance.randrange(1, each * STEPS)
                await eventually(lambda seen=seen: len(system.keys) >= seen, 60)  # type: ignore[misc]
                await hub.kill9()
                await hub.start()
            await eventually(lambda: system.keys.keys() == sent, 60)
            assert await hub.stop() == 0, hub.log()[-3000:]
        finally:
            await hub.end()
    assert all(len(keys) == 1 for keys in system.keys.values())
    assert len({key for keys in system.keys.values() for key in keys}) == len(sent)
    for order in range(ORDERS):
        assert [number for name, number in system.keys if name == f"O-{order}"] == list(range(STEPS))
    assert system.items == {(f"O-{order}", f"I-{order}") for order in range(ORDERS)}
