"""A configuration that fails on its way in changes nothing: what ran goes on, and everybody is told why."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from config.findings import ConfigErrors
from config.load import load
from gateway import audit, versions
from gateway.runtime import Hub
from router.crosswalk import Row
from router.journal import StorageError
from tests.gateway.listener import install
from tests.servers.ports import LOOPBACK
from tests.waiting import eventually

SETTINGS = """
company: acme
plants:
  aachen: {{name: Aachen, timezone: Europe/Berlin}}
crosswalks: [rows.csv]
adapters:
  door:
    kind: listener
    plant: aachen
    port: {door}
    format:
      kind: json
      events:
        - type: inventory.adjusted
          id: payload.id
          data:
            location: {{plant: "'aachen'", storage: "'A1'"}}
            item: payload.id
            delta: {{value: "'1'", uom: "'H87'"}}
            reason: {{code: "'count'"}}
            posted_at: message.received_at
  erp:
    kind: rest
    url: http://{host}:{erp}
    token: ${{file:token}}
{adapters}
routes:
  stock:
    on: [inventory.adjusted]
    map: {{ {field}: data.item }}
    to: {{adapter: erp, path: stock}}
"""
SIDE = """\
  side: {{kind: listener, plant: aachen, port: {port}, format: {{kind: json, events: [{{ignore: true}}]}}}}
"""
HEAD = "domain,system,value,canonical\n"


class Site:
    """A hub that reads its file anew, a system that keeps what it gets, and a door for messages."""

    def __init__(self, folder: Path, door: int, erp: int) -> None:
        self.folder, self.door, self.erp = folder, door, erp
        self.path = folder / "deployment.yaml"
        self.taken: list[dict[str, Any]] = []
        self.hub: Hub

    def write(self, *, door: int = 0, field: str = "item", adapters: str = "", rows: str = "") -> None:
        (self.folder / "rows.csv").write_text(HEAD + rows)
        text = SETTINGS.format(
            host=LOOPBACK, door=door or self.door, erp=self.erp, field=field, adapters=adapters
        )
        self.path.write_text(text)

    async def take(self, request: web.Request) -> web.Response:
        self.taken.append(await request.json())
        return web.Response()

    async def say(self, item: str) -> None:
        """Returns when it is safe and has arrived."""
        connected = await eventually(self._connected)
        assert connected is not None
        reader, writer = connected
        writer.write(f'{{"id": "{item}"}}\n'.encode())
        async with asyncio.timeout(10):
            assert await reader.readline() == b"ok\n"
        writer.close()
        await writer.wait_closed()
        await eventually(lambda: any(item in body.values() for body in self.taken))

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        try:
            return await asyncio.open_connection(LOOPBACK, self.door)
        except ConnectionRefusedError:
            return None

    async def refused(self) -> list[str]:
        """The findings of a load that must be refused; what stands in the audit is the same."""
        before = self.hub.configuration.version
        with pytest.raises(ConfigErrors) as caught:
            await self.hub.configuration.reload(by="ada")
        found = [str(finding) for finding in caught.value.findings]
        entries = await audit.page(self.hub.journal, act="configuration.refused")
        assert entries[0].actor == "ada"
        assert before is not None
        assert entries[0].details == {"findings": found, "running": before.number}
        assert self.hub.configuration.version == before
        return [line.replace(f"{self.folder}/", "") for line in found]

    def line(self, text: str) -> int:
        return 1 + next(n for n, line in enumerate(self.path.read_text().splitlines()) if text in line)


@pytest.fixture
async def site(
    tmp_path: Path, free_port: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Site]:
    install(monkeypatch)
    (tmp_path / "token").write_text("a-token-that-nobody-may-see")
    made = Site(tmp_path, free_port(), free_port())
    app = web.Application()
    app.router.add_post("/stock", made.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, LOOPBACK, made.erp).start()
    made.write()
    made.hub = Hub(load(made.path), tmp_path / "data", path=made.path)
    await made.hub.open()
    made.hub.start_sources()
    try:
        yield made
    finally:
        await made.hub.close()
        await runner.cleanup()


def taken_port(port: int) -> socket.socket:
    """Somebody else listens there."""
    other = socket.socket()
    other.bind((LOOPBACK, port))
    other.listen()
    return other


async def test_a_new_adapter_that_cannot_open_leaves_everything_untouched(
    site: Site, free_port: Callable[[], int]
) -> None:
    hub = site.hub
    door, erp, engine = hub.adapters["door"].source, hub.adapters["erp"].sink, hub.engines["stock"]
    with closing(taken_port(port := free_port())):
        site.write(field="sku", adapters=SIDE.format(port=port))
        [found] = await site.refused()
    assert found.startswith(f"deployment.yaml:{site.line('side:')}:3: adapters.side: it cannot be opened: ")
    assert "in use" in found
    assert (hub.adapters["door"].source, hub.adapters["erp"].sink) == (door, erp)
    assert hub.engines["stock"] is engine
    assert sorted(hub.adapters) == ["door", "erp"]
    await site.say("A")
    assert site.taken == [{"item": "A"}]


async def test_an_adapter_whose_new_port_is_taken_goes_on_at_its_old_one(
    site: Site, free_port: Callable[[], int]
) -> None:
    await site.say("A")
    with closing(taken_port(port := free_port())):
        site.write(field="sku", door=port)
        [found] = await site.refused()
    assert found.startswith(f"deployment.yaml:{site.line('door:')}:3: adapters.door: it cannot be opened: ")
    await site.say("B")
    assert site.taken == [{"item": "A"}, {"item": "B"}]
    site.write(field="sku")
    loaded = await site.hub.configuration.reload(by="ada")
    assert (loaded.adapters, loaded.routes) == ([], ["stock"])
    await site.say("C")
    assert site.taken[-1] == {"sku": "C"}


async def test_what_cannot_come_back_at_once_comes_back_later(
    site: Site, free_port: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, tried = site.hub, 0
    connect = hub.connect

    async def failing(name: str, deployment: Any) -> Any:
        nonlocal tried
        tried += 1
        if tried <= 2:
            raise OSError("not now")
        return await connect(name, deployment)

    monkeypatch.setattr(hub, "connect", failing)
    monkeypatch.setattr("gateway.reloading._AGAIN_S", 0.01)
    site.write(door=free_port())
    [found] = await site.refused()
    assert "not now" in found
    await eventually(lambda: tried == 3 and "door" in hub.adapters)
    await site.say("A")


async def test_code_tables_that_contradict_are_refused_as_a_whole(site: Site) -> None:
    await site.hub.crosswalks.add(
        Row(domain="item", system="erp", value="1", canonical="PUMP"), by="ada", why=""
    )
    site.write(field="sku", rows="item,erp,1,VALVE\nitem,erp,2,HOSE\n")
    [found] = await site.refused()
    assert found.startswith(f"deployment.yaml:{site.line('crosswalks:')}:1: crosswalks: item '1' of 'erp'")
    assert [row.canonical for row in await site.hub.crosswalks.list()] == ["PUMP"]
    await site.say("A")
    assert site.taken == [{"item": "A"}]


async def test_a_disk_that_does_not_take_the_version_leaves_the_old_one_running(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise StorageError("the disk is full")

    before = site.hub.configuration.version
    monkeypatch.setattr(versions, "keep", full)
    site.write(field="sku")
    with pytest.raises(StorageError):
        await site.hub.configuration.reload(by="ada")
    assert site.hub.configuration.version == before
    await site.say("A")
    assert site.taken == [{"item": "A"}]


async def test_what_is_not_sound_is_refused_with_every_place(site: Site) -> None:
    site.write(field="sku")
    site.path.write_text(site.path.read_text().replace("[inventory.adjusted]", "[inventory.adjust]", 1))
    site.path.write_text(site.path.read_text().replace("company: acme", "company: acme\nwhat: 1"))
    found = await site.refused()
    assert [line.split(": ")[0] for line in found] == [
        "deployment.yaml:3:1",
        f"deployment.yaml:{site.line('inventory.adjust]')}:10",
    ]
    await site.say("A")
    assert site.taken == [{"item": "A"}]


async def test_what_needs_a_restart_is_named_by_its_key(site: Site) -> None:
    site.path.write_text(site.path.read_text() + "journal: {retain: 7d}\n")
    found = await site.refused()
    line = site.line("journal:")
    assert found == [f"deployment.yaml:{line}:11: journal.retain: a change of it needs a restart"]
