"""A hub that is killed in the middle of a replay goes on with it: nothing lost, each under its own key."""

from __future__ import annotations

import asyncio
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

pytestmark = pytest.mark.timeout(300)

KEYS, PER_KEY = 20, 30
KILLED_AT = (150, 400)
"""After so many of the replay's requests the system stops answering, and the hub is killed."""
SETTINGS = """
company: acme
gateway: {{bind: {host}, port: {port}}}
plants:
  brno: {{name: Brno, timezone: Europe/Prague}}
adapters:
  erp: {{kind: rest, url: "http://{host}:{target}", timeout: 60s}}
routes:
  orders:
    on: [production.order.created]
    order: key
    from: beginning
    map: {{order: data.order, n: int(data.quantity.value)}}
    to: {{adapter: erp, path: orders}}
"""
Fact = tuple[str, int]
FACTS: list[Fact] = [(f"order{key}", n) for n in range(PER_KEY) for key in range(KEYS)]


class Erp:
    """Keeps what came under which idempotency key; once ``left`` have come it answers no more."""

    def __init__(self) -> None:
        self.got: list[tuple[Fact, str]] = []
        self.left: int | None = None
        self.unanswered: list[tuple[Fact, str]] = []
        self.answering = asyncio.Event()

    def answer_only(self, number: int) -> None:
        """Answers so many more, and then none until ``answering`` is set."""
        self.left = number
        self.answering.clear()

    async def take(self, request: web.Request) -> web.Response:
        body = await request.json()
        one = (str(body["order"]), int(body["n"])), request.headers["Idempotency-Key"]
        self.got.append(one)
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                self.unanswered.append(one)
                await self.answering.wait()
        return web.json_response({"ok": True})

    def go_on(self) -> None:
        """Answers everything from now on."""
        self.left = None
        self.answering.set()


@asynccontextmanager
async def erp(port: int) -> AsyncIterator[Erp]:
    """The system on a port of loopback."""
    system = Erp()
    app = web.Application()
    app.router.add_post("/orders", system.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, LOOPBACK, port).start()
    try:
        yield system
    finally:
        system.go_on()
        await runner.cleanup()


def cloud_event(order: str, n: int) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": f"{order}-{n}",
        "source": "/systems/planning",
        "type": ORDER,
        "plantid": "brno",
        "time": "2026-03-31T10:00:00Z",
        "data": {
            "order": order,
            "item": "PUMP-1",
            "quantity": {"value": str(n), "uom": "H87"},
            "planned_start": "2026-03-31T10:00:00Z",
            "planned_end": "2026-03-31T12:00:00Z",
        },
    }


@pytest.fixture
async def hub(tmp_path: Path, free_port: Callable[[], int]) -> AsyncIterator[tuple[HubProcess, int]]:
    """A hub that does not run yet, and the ERP's port."""
    port, target = free_port(), free_port()
    settings = tmp_path / "deployment.yaml"
    settings.write_text(SETTINGS.format(host=LOOPBACK, port=port, target=target))
    made = HubProcess(tmp_path, settings, port)
    yield made, target
    await made.end()


@pytest.mark.parametrize("as_new", [False, True], ids=["same keys", "new keys"])
async def test_a_replay_that_is_killed_goes_on_and_loses_nothing(
    hub: tuple[HubProcess, int], *, as_new: bool
) -> None:
    process, target = hub
    async with erp(target) as system:
        await process.start()
        key = await process.key()
        body = [cloud_event(*fact) for fact in FACTS]
        status, answer = await process.ask("POST", "/v1/events", key=key, body=body, content_type=BATCH)
        assert status == 202, answer
        await eventually(lambda: len(system.got) == len(FACTS), 60)
        first = dict(system.got)

        system.answer_only(KILLED_AT[0])
        where = await begin(process, key, as_new=as_new)
        await kill_unanswered(process, system)
        system.answer_only(KILLED_AT[1] - KILLED_AT[0])
        await process.start()
        await kill_unanswered(process, system)
        system.go_on()
        await process.start()

        async def ended() -> dict[str, Any] | None:
            found: dict[str, Any] = await process.get(where, key)
            return found if found["state"] != "running" else None

        found: dict[str, Any] | None = await eventually(ended, 60)
        assert found is not None
        assert (found["state"], found["problem"]) == ("done", "")
        delivered = {kind: n for kind, n in found["result"]["counts"].items() if n}
        assert delivered == {"delivered": len(FACTS)}  # each counted once, whatever came twice
        assert await process.stop() == 0, process.log()[-3000:]

        again = system.got[len(FACTS) :]
        assert {fact for fact, _ in again} == set(FACTS)
        keys = {fact: {its for other, its in again if other == fact} for fact in FACTS}
        assert max(len(its) for its in keys.values()) == 1  # repeats come under the key they had
        assert all((keys[fact] == {first[fact]}) != as_new for fact in FACTS)
        assert in_order([fact for fact, _ in again])
        assert in_order([fact for fact, _ in reversed(again)], falling=True)
        assert len(system.unanswered) >= len(KILLED_AT)  # what was under way came again
        assert all(again.count(one) > 1 for one in system.unanswered)
        print(f"repeated under their own key: {len(again) - len(FACTS)}")  # noqa: T201


async def begin(process: HubProcess, key: str, *, as_new: bool) -> str:
    """Where its progress is."""
    asked = {"route": "orders", "since": "2020-01-01T00:00:00Z", "rate": 1000, "as_new": as_new}
    status, answer = await process.ask("POST", "/v1/replays", key=key, body=asked)
    assert status == 202, answer
    return f"/v1/replays/{answer['id']}"


async def kill_unanswered(process: HubProcess, system: Erp) -> None:
    """Kills the hub while requests of its replay are under way."""
    before = len(system.unanswered)
    await eventually(lambda: len(system.unanswered) > before, 60)
    await process.kill9()


def in_order(facts: list[Fact], *, falling: bool = False) -> bool:
    """Whether the facts of each order, each where it is met first, come in their order."""
    orders: dict[str, list[int]] = {}
    for order, n in dict.fromkeys(facts):
        orders.setdefault(order, []).append(n)
    return all(numbers == sorted(numbers, reverse=falling) for numbers in orders.values())
