"""Service levels of a hub as users run it, killed with -9 in the middle, against its journal."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.test_delivery import SETTINGS, Erp, Rig, Site
from tests.gateway.brute import check, read
from tests.hub import HubProcess
from tests.servers.ports import LOOPBACK
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(240)

LEVELS: dict[str, dict[str, Any]] = {
    "orders": {
        "domain": "production",
        "latency": 1.0,
        "target": 0.9,
        "window": 3600.0,
        "backlog_age": 2.0,
        "failed_rate": 0.1,
    }
}
WRITTEN = """
service_levels:
  orders: {domain: production, latency: 1s, target: 0.9, window: 1h, backlog_age: 2s, failed_rate: 0.1}
"""
ON = {"orders": "com.crossplant.production.order.created.v1"}


@pytest.fixture
async def rig(tmp_path: Path, free_port: Callable[[], int]) -> AsyncIterator[Rig]:
    port, target = free_port(), free_port()
    (tmp_path / "token").write_text("hook-secret\n")
    (tmp_path / "codes.csv").write_text(
        "domain,system,plant,value,canonical,valid_from,valid_to\nitem,mes,,A-1,ITEM-1,,\n"
    )
    settings = tmp_path / "deployment.yaml"
    settings.write_text(SETTINGS.format(host=LOOPBACK, port=port, target=target) + WRITTEN)
    built = Rig(HubProcess(tmp_path, settings, port), Site(Erp(), target))
    try:
        yield built
    finally:
        await built.hub.end()
        await built.site.shut()


async def equal(rig: Rig) -> dict[str, Any]:
    """The report, once it equals what its journal says."""

    async def compared() -> dict[str, Any]:
        shown: dict[str, Any] = await rig.hub.get("/v1/sla?window=1h", rig.key)
        truth = await asyncio.to_thread(read, rig.hub.folder / "data")
        check(shown, truth, LEVELS, ON)
        return shown

    return await eventually(compared, 60)


async def row_of(rig: Rig, **wanted: int) -> dict[str, Any]:
    """The report, once it equals what its journal says and the route's row has these figures."""

    async def found() -> dict[str, Any]:
        shown = await equal(rig)
        [row] = [row for row in shown["routes"] if row["plant"] == "aachen"]
        assert {name: row[name] for name in wanted} == wanted
        return shown

    return await eventually(found, 90)


async def breaches(rig: Rig) -> list[str]:
    """The metrics whose breach was told, by the events: a kill may come between a commit and its log line."""
    events = await rig.items("/v1/events?type=integration.sla.breached&limit=100")
    return [event["data"]["metric"] for event in events if event["data"]["status"] == "breached"]


async def test_figures_survive_kill_9_and_an_absence_of_the_target(rig: Rig) -> None:
    hub, site = rig.hub, rig.site
    await site.open()
    await hub.start()
    rig.key = await hub.key()
    await rig.send(*((f"o{n % 7}", n, "A-1") for n in range(30)))
    await row_of(rig, delivered=30, backlog=0)
    await rig.send(("p", 1, "NEW-9"), ("p", 2, "A-1"))
    rig.erp.sick = {"bad"}
    await rig.send(("bad", 1, "A-1"))
    await row_of(rig, delivered=30, backlog=0, parked=1, held_back=1, failed=1)
    await site.shut()
    await rig.send(*((f"o{n % 7}", n, "A-1") for n in range(30, 60)))
    await hub.kill9()

    await hub.start()
    await row_of(rig, delivered=30, backlog=30, parked=1, held_back=1, failed=1)
    await rig.send(*((f"o{n % 7}", n, "A-1") for n in range(60, 70)))

    async def breached() -> bool:
        return {"latency", "backlog_age"} <= set(await breaches(rig))

    await eventually(breached, 60)
    await hub.kill9()
    await site.open()
    for failpoint in ("engine.after_send:6", "engine.before_settle:3", "journal.after_commit:5"):
        await hub.start(failpoint)  # it dies while it drains
        await eventually(lambda: hub.dead or len(rig.erp.taken) >= 70, 60)
        await hub.end()

    await hub.start()
    rig.erp.sick = set()
    row_of_item = {"domain": "item", "system": "mes", "value": "NEW-9", "canonical": "ITEM-9"}
    assert (await hub.ask("POST", "/v1/crosswalks", key=rig.key, body=row_of_item))[0] == 201
    [letter] = await rig.items("/v1/dead-letters")
    status, _ = await hub.ask("POST", f"/v1/dead-letters/{letter['id']}/retry", key=rig.key)
    assert status in {200, 202}

    shown = await row_of(rig, delivered=73, failed=0, backlog=0, parked=0)
    [level] = [level for level in shown["levels"] if level["plant"] == "aachen"]
    assert level["status"] == "breached"
    assert level["latency"]["late"] >= 30
    told = await breaches(rig)
    assert await hub.stop() == 0, hub.log()[-3000:]
    logged = re.findall(r"service_level_breached.*?metric\W+(\w+)", hub.log())
    assert len(told) == len(set(told)), told
    assert len(logged) == len(set(logged)), logged
    assert set(logged) <= set(told)
