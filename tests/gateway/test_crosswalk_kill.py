"""300 of 10,000 events wait for one unknown code, and one approved row delivers them, kill -9 or not."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.gateway.hubs import BATCH, ORDER
from tests.hub import HubProcess
from tests.servers.ports import LOOPBACK
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(400)

KEYS, PER_KEY = 100, 97
BLOCKED, PER_BLOCKED = 60, 5
PER_REQUEST = 500
SETTINGS = """
company: acme
gateway: {{bind: {host}, port: {port}}}
plants:
  brno: {{name: Brno, timezone: Europe/Prague}}
crosswalks: [items.csv]
adapters:
  erp: {{kind: rest, url: "http://{host}:{target}", timeout: 10s}}
routes:
  orders:
    on: [production.order.created]
    order: key
    from: beginning
    codes: {{system: erp, fields: [data.item]}}
    map: {{order: data.order, n: int(data.quantity.value), material: data.item}}
    to: {{adapter: erp, path: orders}}
"""
Fact = tuple[str, int]


def blocked(order: str) -> bool:
    """Whether the order's first event has the unknown code."""
    return order.startswith("new")


def stretch() -> list[Fact]:
    """10,000 events of 160 orders, each order's in their order, all mixed."""
    counts = {f"old{n}": PER_KEY for n in range(KEYS)} | {f"new{n}": PER_BLOCKED for n in range(BLOCKED)}
    facts = [((n + 0.5) / count, order, n) for order, count in counts.items() for n in range(count)]
    return [(order, n) for _, order, n in sorted(facts)]


def cloud_event(order: str, n: int) -> dict[str, Any]:
    """Of a blocked order every second event has the unknown code: those between must not overtake."""
    return {
        "specversion": "1.0",
        "id": f"{order}-{n}",
        "source": "/systems/planning",
        "type": ORDER,
        "plantid": "brno",
        "time": "2026-03-31T10:00:00Z",
        "data": {
            "order": order,
            "item": "NEW-9" if blocked(order) and n % 2 == 0 else "PUMP-1",
            "quantity": {"value": str(n), "uom": "H87"},
            "planned_start": "2026-03-31T10:00:00Z",
            "planned_end": "2026-03-31T12:00:00Z",
        },
    }


class Erp:
    """Keeps what came, in which order, under which idempotency key."""

    def __init__(self) -> None:
        self.keys: dict[Fact, set[str]] = {}
        self.order: list[Fact] = []
        self.materials: Counter[str] = Counter()
        self.repeated = 0

    async def take(self, request: web.Request) -> web.Response:
        body = await request.json()
        fact = (str(body["order"]), int(body["n"]))
        if fact in self.keys:
            self.repeated += 1
        else:
            self.order.append(fact)
            self.materials[str(body["material"])] += 1
        self.keys.setdefault(fact, set()).add(request.headers["Idempotency-Key"])
        return web.json_response({"ok": True})

    def overtaken(self) -> set[str]:
        """Orders whose events did not come in their order."""
        seen: dict[str, list[int]] = {}
        for order, n in self.order:
            seen.setdefault(order, []).append(n)
        return {order for order, numbers in seen.items() if numbers != list(range(len(numbers)))}


@asynccontextmanager
async def erp(port: int) -> AsyncIterator[Erp]:
    """The system on a port of loopback."""
    system = Erp()
    app = web.Application()
    app.router.add_post("/orders", system.take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, LOOPBACK, port).start()
    try:
        yield system
    finally:
        await runner.cleanup()


async def publish(hub: HubProcess, key: str, facts: list[Fact]) -> None:
    """Until it is accepted; what was accepted before a kill is a duplicate."""
    body = [cloud_event(*fact) for fact in facts]

    async def accepted() -> bool:
        try:
            status, answer = await hub.ask("POST", "/v1/events", key=key, body=body, content_type=BATCH)
        except OSError:
            return False
        assert status in {202, 503}, answer
        return status == 202

    await eventually(accepted, 60)


@pytest.fixture
async def hub(tmp_path: Path, free_port: Callable[[], int]) -> AsyncIterator[tuple[HubProcess, int]]:
    """A hub that does not run yet, and the ERP's port."""
    port, target = free_port(), free_port()
    (tmp_path / "items.csv").write_text("domain,system,value,canonical\nitem,erp,1001,PUMP-1\n")
    settings = tmp_path / "deployment.yaml"
    settings.write_text(SETTINGS.format(host=LOOPBACK, port=port, target=target))
    made = HubProcess(tmp_path, settings, port)
    yield made, target
    await made.end()


async def test_one_approved_row_delivers_what_waited_whatever_is_killed(
    hub: tuple[HubProcess, int], tmp_path: Path
) -> None:
    process, target = hub
    facts = stretch()
    waiting = {fact for fact in facts if blocked(fact[0])}
    assert (len(facts), len(waiting)) == (10_000, 300)
    async with erp(target) as system:
        await process.start()
        key = await process.key()
        requests = [facts[at : at + PER_REQUEST] for at in range(0, len(facts), PER_REQUEST)]
        for number, some in enumerate(requests):
            publishing = asyncio.create_task(publish(process, key, some))
            if number == len(requests) // 2:  # while events are being parked
                await process.kill9()
                await process.start()
            await publishing

        async def only_those_wait() -> bool:
            if len(system.order) < len(facts) - len(waiting):
                return False
            lanes = (await process.get("/v1/lanes?limit=1000", key))["items"]
            return bool(sum(lane["size"] for lane in lanes) == len(waiting))

        await eventually(only_those_wait, 120)
        assert not any(blocked(order) for order, _ in system.order)  # the others flowed, none of these
        (task,) = await eventually(lambda: exceptions(process, key, "open"), 60)
        assert (task["kind"], task["refs"]["value"]) == ("business", "NEW-9")

        await process.kill9()
        await process.start("engine.after_send:100")  # it dies in the middle of what it lets go
        row = {"domain": "item", "system": "erp", "value": "1009", "canonical": "NEW-9", "status": "draft"}
        status, draft = await process.ask("POST", "/v1/crosswalks", key=key, body=row)
        assert status == 201, draft
        await approve(process, key, draft["id"])
        await eventually(lambda: process.dead, 60)
        assert process.code == -9
        assert 0 < len([fact for fact in system.order if fact in waiting]) < len(waiting)

        await process.start("engine.before_settle:2")  # and again; nobody approves anything any more
        await eventually(lambda: process.dead or system.keys.keys() >= waiting, 60)
        await process.end()
        await process.start()
        await eventually(lambda: system.keys.keys() == set(facts), 120)
        (task,) = await eventually(lambda: exceptions(process, key, "resolved"), 60)
        assert task["resolved_by"] == "hub"
        steps = (await process.get(f"/v1/crosswalks/{draft['id']}/history", key))["items"]
        assert [step["act"] for step in steps] == ["propose", "approve"]
        assert await process.stop() == 0, process.log()[-3000:]
        assert system.overtaken() == set()
        assert max(len(keys) for keys in system.keys.values()) == 1  # repeats under the same idempotency key
        assert system.materials["1009"] == sum(n % 2 == 0 for _, n in waiting)
        assert system.materials["1001"] == len(facts) - system.materials["1009"]
    with sqlite3.connect(f"file:{tmp_path}/data/journal.db?mode=ro", uri=True) as journal:
        assert journal.execute("SELECT count(*) FROM lanes").fetchone() == (0,)
    journal.close()
    print(f"repeated under their own key: {system.repeated}")  # noqa: T201


async def approve(process: HubProcess, key: str, row: int) -> None:
    """Approves the draft; whether the answer arrives before the process dies does not matter."""
    try:
        status, answer = await process.ask("POST", f"/v1/crosswalks/{row}/approve", key=key)
    except OSError:
        return
    assert status == 200, answer
    assert answer["released"] == BLOCKED


async def exceptions(process: HubProcess, key: str, state: str) -> list[dict[str, Any]]:
    """The tasks that are open, or resolved."""
    found = (await process.get("/v1/exceptions?status=all", key))["items"]
    return [task for task in found if (task["status"] == "resolved") == (state == "resolved")]
