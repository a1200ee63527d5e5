"""kill -9 in the middle of bursts: nothing lost, nothing overtaken, repeats only under their own key."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from router.failpoint import NAMES
from tests.hub import HubProcess
from tests.kill.rig import POISON, TOTAL, Burst, Erp, deployment, erp
from tests.servers import StartMosquitto
from tests.waiting import eventually

pytestmark = [pytest.mark.requires_server("mosquitto"), pytest.mark.timeout(400)]

INFLIGHT = ["max_inflight_messages 1000"]
KILLS_PER_BURST = 5
HITS = {
    "engine.before_map": 300,
    "engine.before_send": 300,
    "engine.after_send": 300,
    "engine.before_settle": 10,
}
"""The how-maniest passage dies: in the middle of the work, not at its first message. Others: the second."""
LANE = {"engine.before_lane": range(POISON // 2), "engine.after_lane": range(POISON // 2, POISON)}


async def drained(hub: HubProcess, system: Erp, burst: Burst) -> None:
    """Until everything that was sent has arrived, but what waits behind the refused document."""
    expected = {fact for fact in burst.sent if fact[0] != "poison"}
    await eventually(lambda: hub.dead or system.keys.keys() >= expected, 120)
    assert not hub.dead, hub.log()[-3000:]


async def finish(hub: HubProcess, system: Erp, burst: Burst, folder: Path) -> None:
    """Brings the refused document back, and settles the account."""
    await drained(hub, system, burst)
    system.refuse = False
    key = await hub.key()

    async def letters() -> list[dict[str, object]]:
        return list((await hub.get("/v1/dead-letters?status=open", key))["items"])

    found = await eventually(letters, 20)
    assert [letter["route"] for letter in found] == ["counts"]
    status, answer = await hub.ask("POST", f"/v1/dead-letters/{found[0]['id']}/retry", key=key)
    assert status in {200, 202}, answer
    await eventually(lambda: system.keys.keys() >= burst.sent, 30)
    assert await hub.stop() == 0, hub.log()[-3000:]
    account = system.account(burst.sent)
    assert account == {"lost": 0, "unexpected": 0, "other_key": 0, "overtaken": 0}, account
    with sqlite3.connect(f"file:{folder}/data/journal.db?mode=ro", uri=True) as journal:
        assert journal.execute("SELECT count(*) FROM lanes").fetchone() == (0,)
        [(cursor,)] = journal.execute("SELECT position FROM cursors WHERE route = 'counts'").fetchall()
        assert journal.execute("SELECT max(last) FROM bundles").fetchone() == (cursor,)
    journal.close()


async def started(hub: HubProcess) -> None:
    """For the first time: returns when its session at the broker is there, so that nothing passes it by."""
    await hub.start()
    await eventually(lambda: "mqtt_connected" in hub.log(), 20)


@pytest.fixture
async def rig(
    tmp_path: Path, start_mosquitto: StartMosquitto, free_port: Callable[[], int]
) -> AsyncIterator[tuple[HubProcess, int, int]]:
    """The hub, the broker's port and the ERP's."""
    broker = start_mosquitto(extra=INFLIGHT)
    port, target = free_port(), free_port()
    settings = deployment(tmp_path, port=port, broker=broker.port, target=target)
    hub = HubProcess(tmp_path, settings, port)
    yield hub, broker.port, target
    await hub.end()


async def test_every_failpoint_is_survived(rig: tuple[HubProcess, int, int], tmp_path: Path) -> None:
    hub, broker, target = rig
    burst = Burst(broker)
    async with erp(target) as system:
        await started(hub)
        publishing = asyncio.create_task(burst.publish())
        await hub.kill9()
        for name in NAMES:
            count = 1 if name in LANE else HITS.get(name, 2)
            await hub.start(f"{name}:{count}")
            if name in LANE:
                await burst.poison(LANE[name])
            try:
                await eventually(lambda: hub.dead, 150)
            except AssertionError as error:
                raise AssertionError(f"{name} was not reached:\n{hub.log()[-3000:]}") from error
            assert hub.code == -9, (name, hub.log()[-3000:])
        await publishing
        await hub.start()
        await finish(hub, system, burst, tmp_path)
    hits = hub.hits.read_text().splitlines()
    assert hits == [f"failpoint {name}" for name in NAMES]
    print(f"failpoints hit: {len(hits)}; repeated under their own key: {system.repeated}")  # noqa: T201


async def in_the_middle(system: Erp, chance: random.Random, kills_left: int) -> None:
    """Until a moment at which part of what is left has arrived; now and then one right after the start."""
    left = TOTAL - len(system.keys)
    some = 0 if chance.random() < 0.25 else chance.randrange(left // kills_left)
    wanted = len(system.keys) + some
    await eventually(lambda: len(system.keys) >= wanted, 120)
    await asyncio.sleep(chance.uniform(0.0, 0.05))


@pytest.mark.parametrize("seed", range(4))
async def test_random_kills_are_survived(rig: tuple[HubProcess, int, int], tmp_path: Path, seed: int) -> None:
    hub, broker, target = rig
    burst, chance = Burst(broker), random.Random(seed)
    arrived = []
    async with erp(target) as system:
        await started(hub)
        publishing = asyncio.gather(burst.publish(), burst.poison())
        for kill in range(KILLS_PER_BURST):
            await in_the_middle(system, chance, KILLS_PER_BURST - kill + 1)
            await hub.kill9()
            arrived.append(len(system.keys))
            await hub.start()
        await publishing
        await finish(hub, system, burst, tmp_path)
    assert max(arrived) < TOTAL, "a kill came when all was done already"
    print(f"killed after {arrived}; repeated under their own key: {system.repeated}")  # noqa: T201
