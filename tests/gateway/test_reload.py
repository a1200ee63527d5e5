"""A changed configuration takes effect while the hub runs; what did not change is not touched."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from canonical.errors import ConfigError
from canonical.event import new_id
from canonical.ports import RawMessage
from config.load import load
from gateway.runtime import Hub, running
from tests.servers.ports import LOOPBACK
from tests.waiting import eventually

SETTINGS = """
company: acme
plants:
  aachen: {{name: Aachen, timezone: Europe/Berlin}}
adapters:
  mes:
    kind: rest
    plant: aachen
    webhook: {{verify: {{kind: bearer, secret: "${{file:token}}"}}}}
    format:
      kind: json
      events:
        - type: inventory.adjusted
          id: payload.id
          data:
            location: {{plant: "event_plant", storage: "'A1'"}}
            item: payload.item
            delta: {{value: payload.delta, uom: "'H87'"}}
            reason: {{code: "'count'"}}
            posted_at: payload.at
  erp:
    kind: rest
    url: http://{host}:{port}
routes:
  stock:
    on: [inventory.adjusted]
    map: {{ {field}: data.item }}
    to: {{adapter: erp, path: stock}}
{more}
"""
MORE = """
  copies:
    on: [inventory.adjusted]
    map: {copy: data.item}
    to: {adapter: erp, path: stock}
"""


class Deployments:
    """Writes one deployment after the other into a folder, and keeps what its ERP gets."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        self.taken: list[dict[str, Any]] = []

    def load(self, *, field: str = "item", more: str = "", plant: str = "'aachen'", rate: str = "") -> Any:
        (self.folder / "token").write_text("secret")
        text = SETTINGS.format(host=LOOPBACK, port=self.port, field=field, more=more)
        path = self.folder / "deployment.yaml"
        if rate:
            text = text.replace("    kind: rest\n    url:", f"    kind: rest\n    rate: {rate}\n    url:")
        path.write_text(text.replace("event_plant", plant))
        return load(path)

    async def take(self, request: web.Request) -> web.Response:
        self.taken.append(await request.json())
        return web.Response()


@pytest.fixture
async def deployments(tmp_path: Path, free_port: Callable[[], int]) -> AsyncIterator[Deployments]:
    built = Deployments(tmp_path, free_port())
    app = web.Application()
    app.router.add_post("/stock", built.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, LOOPBACK, built.port).start()
    yield built
    await runner.cleanup()


async def say(hub: Hub, item: str) -> None:
    at = datetime.now(UTC).isoformat()
    body = f'{{"id": "{new_id()}", "item": "{item}", "delta": "1", "at": "{at}"}}'.encode()
    raw = RawMessage(adapter="mes", id=new_id(), body=body, received_at=datetime.now(UTC))
    [outcome] = await hub.ingest.submit("mes", [raw])
    assert outcome.status == "accepted", outcome


async def test_a_changed_route_goes_on_where_it_stood_and_the_adapters_stay(
    deployments: Deployments, tmp_path: Path
) -> None:
    async with running(deployments.load(), tmp_path / "data") as hub:
        source, sink = hub.adapters["mes"].source, hub.adapters["erp"].sink
        await say(hub, "A")
        await eventually(lambda: deployments.taken == [{"item": "A"}])
        changes = await hub.reload(deployments.load(field="sku"), by="test")
        assert (changes.adapters, changes.routes) == ([], ["stock"])
        await say(hub, "B")
        await eventually(lambda: deployments.taken == [{"item": "A"}, {"sku": "B"}])
        assert hub.adapters["mes"].source is source
        assert hub.adapters["erp"].sink is sink


async def test_a_changed_rate_concerns_the_routes_and_not_the_connection(
    deployments: Deployments, tmp_path: Path
) -> None:
    async with running(deployments.load(rate="1/h"), tmp_path / "data") as hub:
        sink = hub.adapters["erp"].sink
        for item in ("A", "B"):
            await say(hub, item)
        await eventually(lambda: deployments.taken == [{"item": "A"}])
        await eventually(lambda: hub.engines["stock"].status.waiting == 1)
        changes = await hub.reload(deployments.load(rate="50/s"), by="test")
        assert (changes.adapters, changes.routes) == ([], ["stock"])
        await eventually(lambda: deployments.taken == [{"item": "A"}, {"item": "B"}])
        assert hub.adapters["erp"].sink is sink


async def test_routes_come_and_go(deployments: Deployments, tmp_path: Path) -> None:
    async with running(deployments.load(), tmp_path / "data") as hub:
        await say(hub, "A")
        await eventually(lambda: len(deployments.taken) == 1)
        await hub.reload(deployments.load(more=MORE), by="test")
        await say(hub, "B")
        await eventually(lambda: len(deployments.taken) == 3)
        assert {"copy": "B"} in deployments.taken
        assert {"copy": "A"} not in deployments.taken  # a new route begins with what comes in from now on
        await hub.reload(deployments.load(), by="test")
        assert sorted(hub.engines) == ["stock"]
        with pytest.raises(LookupError, match="is configured"):
            await hub.forget_route("stock", by="test")
        await hub.forget_route("copies", by="test")
        assert sorted(await hub.journal.cursors()) == ["stock"]


async def test_a_changed_format_takes_effect_without_touching_the_connection(
    deployments: Deployments, tmp_path: Path
) -> None:
    async with running(deployments.load(), tmp_path / "data") as hub:
        source = hub.adapters["mes"].source
        changes = await hub.reload(deployments.load(plant="'brno'"), by="test")
        assert changes.adapters == []
        await say(hub, "A")
        await eventually(lambda: len(deployments.taken) == 1)
        [recorded], _ = await hub.journal.events(0)
        assert recorded.event.data["location"]["plant"] == "brno"
        assert hub.adapters["mes"].source is source


async def test_a_changed_adapter_is_connected_anew_and_its_routes_with_it(
    deployments: Deployments, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    async with running(deployments.load(), tmp_path / "data") as hub:
        sink = hub.adapters["erp"].sink
        there, deployments.port = deployments.port, free_port()
        await hub.reload(deployments.load(), by="test")
        assert hub.adapters["erp"].sink is not sink
        await say(hub, "A")
        await eventually(lambda: hub.engines["stock"].status.state == "paused")
        deployments.port = there
        changes = await hub.reload(deployments.load(), by="test")
        assert (changes.adapters, changes.routes) == (["erp"], ["stock"])
        await eventually(lambda: deployments.taken == [{"item": "A"}])


async def test_reloads_under_load_lose_and_repeat_nothing(deployments: Deployments, tmp_path: Path) -> None:
    async with running(deployments.load(), tmp_path / "data") as hub:

        async def talk() -> None:
            for n in range(300):
                await say(hub, f"I{n:03}")

        talking = asyncio.create_task(talk())
        for n in range(10):
            await hub.reload(deployments.load(field=f"f{n}"), by="test")
        await talking
        await eventually(lambda: len(deployments.taken) >= 300)
        items = [next(iter(body.values())) for body in deployments.taken]
        assert sorted(items) == [f"I{n:03}" for n in range(300)]


async def test_what_needs_a_restart_is_refused_and_changes_nothing(
    deployments: Deployments, tmp_path: Path
) -> None:
    async with running(deployments.load(), tmp_path / "data") as hub:
        other = deployments.load(field="sku").model_copy(update={"company": "other"})
        with pytest.raises(ConfigError, match="needs a restart"):
            await hub.reload(other, by="test")
        await say(hub, "A")
        await eventually(lambda: deployments.taken == [{"item": "A"}])
