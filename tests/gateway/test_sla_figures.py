"""Service levels of a hub that has a bad day, against the same figures recomputed from its journal."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from canonical.errors import Rejected, TransientError, Unresolved
from canonical.event import Event
from canonical.ports import Accepted, Delivery, Failed
from gateway.auth import Principal
from gateway.sla import report
from tests.gateway.brute import check, read
from tests.gateway.hubs import Gate, event, opened
from tests.router.rig import ScriptedSink, route
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(120)

ORDER = "com.crossplant.production.order.created.v1"
HOLD = "com.crossplant.quality.hold.placed.v1"
ON = {"orders": ORDER, "holds": HOLD}
LEVELS: dict[str, dict[str, Any]] = {
    "orders": {
        "domain": "production",
        "latency": "30s",
        "target": 0.8,
        "window": "1h",
        "backlog_age": "50s",
        "failed_rate": 0.05,
        "owner": "planning",
    },
    "holds": {
        "domain": "quality",
        "route": "holds",
        "latency": "5s",
        "target": 0.5,
        "window": "24h",
        "backlog_age": "10m",
        "failed_rate": 0.5,
    },
}
SECONDS: dict[str, dict[str, Any]] = {
    "orders": {**LEVELS["orders"], "latency": 30.0, "window": 3600.0, "backlog_age": 50.0},
    "holds": {**LEVELS["holds"], "latency": 5.0, "window": 86400.0, "backlog_age": 600.0},
}
EVERYTHING = Principal(name="test", key_id="test", roles=frozenset({"admin"}))


class World:
    """A target that is away, refuses, and lacks codes, as it is told."""

    def __init__(self) -> None:
        self.away = False
        self.refused: set[str] = set()
        self.unknown: set[str] = set()

    def __call__(self, delivery: Delivery) -> Accepted | Failed:
        identifier = delivery.event.id
        if self.away:
            return Failed(TransientError("connection refused", outage=True))
        if identifier in self.refused:
            return Failed(Rejected("no such order", code="http_422"))
        if identifier in self.unknown:
            return Failed(Unresolved(domain="item", system="erp", value="A-1"))
        return Accepted(f"doc-{identifier}")


class Day:
    """Events with all kinds of ages; some share a key, some come from the future."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._number = 0

    def some(self, count: int) -> list[Event]:
        return [self._one() for _ in range(count)]

    def _one(self) -> Event:
        self._number += 1
        chance = self._chance
        recorded = datetime.now(UTC) - timedelta(seconds=chance.choice([0, 0.2, 4, 12, 40, 90, 700]))
        happened = recorded - timedelta(seconds=chance.choice([0, 0.05, 3, 2000]))
        if chance.random() < 0.05:
            happened = recorded + timedelta(hours=2)
        held = chance.random() < 0.4
        return event(
            self._number,
            type=HOLD if held else ORDER,
            domain="quality" if held else "production",
            plantid=chance.choice(["aachen", "aachen", "brno", None]),
            time=happened,
            recordedtime=recorded,
            partitionkey=f"k{chance.randrange(25)}",
            subject=f"o{self._number}",
        )


async def start(gate: Gate, world: World) -> None:
    """The two routes, from where they stood."""
    cursors = await gate.hub.journal.cursors()
    for name, kind in ON.items():
        compiled = route(name=name, types=frozenset({kind}))
        sink, traits = ScriptedSink(world), _traits()
        gate.hub.routing.run(compiled, sink, traits, after=cursors.get(name, 0))


def _traits() -> Any:
    from canonical.spec import SinkTraits

    return SinkTraits(concurrency=8)


async def quiet(gate: Gate) -> bool:
    """Whether nothing moves: what waits is paused or in its lane, and all is written."""
    for engine in gate.hub.engines.values():
        status = engine.status
        if status.in_flight or status.lagging or (status.waiting and status.state != "paused"):
            return False
        if engine.keeper._flushing is not None or engine.keeper._opening:
            return False
    return True


async def compare(gate: Gate) -> dict[str, Any]:
    """The report of the moment, after it was found equal to the journal's."""

    async def equal() -> dict[str, Any]:
        assert await quiet(gate)
        shown = await report(gate.hub, EVERYTHING, window_s=3600.0)
        truth = await asyncio.to_thread(read, gate.hub.data_dir)
        plain = {**shown, "since": shown["since"].isoformat(), "at": shown["at"].isoformat()}
        check(plain, truth, SECONDS, ON)
        return shown

    return await eventually(equal)


async def retried(gate: Gate) -> None:
    """Asks for every dead letter once more."""
    for letter in await gate.hub.dead_letters.page({"status": "open", "kind": "delivery"}):
        await gate.hub.dead_letters.retry(letter.id, by="test")


@pytest.mark.parametrize("seed", [1, 2])
async def test_figures_equal_a_recomputation_from_the_journal_on_a_bad_day(tmp_path: Path, seed: int) -> None:
    folder, world, day = tmp_path / "data", World(), Day(seed)
    async with opened(folder, service_levels=LEVELS) as gate:
        await start(gate, world)
        calm = day.some(60)
        await gate.record(*calm)
        await compare(gate)

        bad = day.some(60)  # refused and unknown codes, with others behind them
        world.refused = {each.id for each in bad[::9]}
        world.unknown = {each.id for each in bad[4::11]}
        await gate.record(*bad)
        shown = await compare(gate)
        assert sum(row["failed"] for row in shown["routes"]) > 0
        assert sum(row["parked"] for row in shown["routes"]) > 0
        assert sum(row["held_back"] for row in shown["routes"]) > 0
        await gate.hub.levels.look()
        await compare(gate)

        world.away = True  # the target's absence
        await gate.record(*day.some(50))
        await eventually(lambda: {e.status.state for e in gate.hub.engines.values()} == {"paused"})
        shown = await compare(gate)
        assert sum(row["backlog"] for row in shown["routes"]) >= 20
        by_name = {(level["name"], level["plant"]): level for level in shown["levels"]}
        assert by_name["orders", "aachen"]["status"] == "breached"
        assert by_name["orders", "aachen"]["latency"]["overdue"] > 0

    async with opened(folder, service_levels=LEVELS) as gate:  # restarted while it is away
        await start(gate, world)
        await eventually(lambda: {e.status.state for e in gate.hub.engines.values()} == {"paused"})
        before = await compare(gate)
        assert sum(row["backlog"] for row in before["routes"]) >= 20
        world.away = False
        await gate.record(*day.some(20))
        for engine in gate.hub.engines.values():
            engine.breaker.alive()
            engine.wake()
        shown = await compare(gate)
        assert sum(row["backlog"] for row in shown["routes"]) == 0

        world.refused, world.unknown = set(), set()  # people mend it
        failed_before = sum(row["failed"] for row in shown["routes"])
        await retried(gate)
        for lane in {(each.head.route, each.head.key) for each in await _lanes(gate)}:
            await gate.hub.release(*lane)

        async def clear() -> bool:
            return not await _lanes(gate)

        await eventually(clear)
        shown = await compare(gate)
        assert failed_before > 0
        assert sum(row["failed"] for row in shown["routes"]) == 0
        assert sum(row["delivered"] for row in shown["routes"]) == 190
        await gate.hub.levels.look()
        assert (await compare(gate))["routes"] == shown["routes"]


async def _lanes(gate: Gate) -> list[Any]:
    from router import lanes

    return await gate.hub.journal.read(lambda t: lanes.page(t, limit=-1))
