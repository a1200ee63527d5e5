"""Every failpoint again and again, and kill -9 at moments of chance; then the account."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections import Counter
from typing import Any

from router.failpoint import NAMES
from tests.chaos.site import Plant
from tests.chaos.weather import Weather
from tests.faults.rig import Ledger, at_rest
from tests.waiting import eventually

__all__ = ["Campaign"]

LATEST = {
    "engine.before_map": 150,
    "engine.before_send": 100,
    "engine.after_send": 100,
    "engine.before_lane": 3,
    "engine.after_lane": 3,
}
"""Up to which passage of a failpoint the process may live. Others: 10."""
REACH_S = 90.0
SETTLE_S = 400.0
BREATH_S = 0.7


class Campaign:
    """``hits``: how often each failpoint is to end the hub. ``kills``: at how many moments of chance."""

    def __init__(self, plant: Plant, chance: random.Random, *, hits: int, kills: int, limit_s: float) -> None:
        self._plant, self._chance = plant, chance
        self._began_at = time.monotonic()
        self._ends_at = self._began_at + limit_s
        self._rounds: list[str | None] = [name for name in NAMES for _ in range(hits)]
        self._rounds += [None] * kills
        chance.shuffle(self._rounds)
        self._weather = Weather(plant, chance)
        self._last_round = False
        self.kills = 0
        self.missed: Counter[str] = Counter()
        """Failpoints that were not reached in time."""

    async def run(self) -> dict[str, Any]:
        """The counts. Raises AssertionError when something is left over that should not be."""
        talking = asyncio.create_task(self._talk())
        blowing = asyncio.create_task(self._weather.run())
        await self._plant.hub.kill9()
        for number, point in enumerate(self._rounds, start=1):
            if time.monotonic() > self._ends_at:
                break
            if talking.done():
                await talking  # raises what ended it
            await self._round(point)
            if number % 10 == 0:
                self._tell(number)
        self._last_round = True
        blowing.cancel()
        await asyncio.gather(blowing, return_exceptions=True)
        await self._weather.over()
        await self._plant.hub.start()
        await talking
        return await self._settled()

    async def _talk(self) -> None:
        """One burst at a time: a line's documents have an order."""
        while not self._last_round:
            await self._plant.talk(self._chance)
            await asyncio.sleep(BREATH_S)

    async def _round(self, point: str | None) -> None:
        """The hub starts, and is killed."""
        hub = self._plant.hub
        if point is not None:
            await hub.start(f"{point}:{self._chance.randint(1, LATEST.get(point, 10))}")
            try:
                await eventually(lambda: hub.dead, REACH_S)
            except AssertionError:
                self.missed[point] += 1
                await hub.kill9()
            return
        if self._chance.random() < 0.25:
            await hub.spawn()  # killed while it starts, perhaps
        else:
            await hub.start()
        await asyncio.sleep(self._chance.uniform(0.0, 1.5))
        assert not hub.dead, f"it ended by itself:\n{hub.log()[-3000:]}"
        await hub.kill9()
        self.kills += 1

    # ── the account ──────────────────────────────────────────────────────────────────────────────

    @property
    def hits(self) -> dict[str, int]:
        """How often each failpoint ended the hub."""
        log = self._plant.hub.hits
        found = Counter(log.read_text().split()) if log.exists() else Counter[str]()
        return {name: found[name] for name in NAMES}

    def _tell(self, number: int) -> None:
        plant = self._plant
        print(  # noqa: T201 - progress
            f"{time.monotonic() - self._began_at:6.0f} s: {number} of {len(self._rounds)} ends of the hub "
            f"({self.kills} by chance); {len(plant.sent)} documents sent, "
            f"{len(plant.erp.ledger.order)} at the ERP; {dict(self._weather.seen)}",
            file=sys.stderr,
            flush=True,
        )

    async def _settled(self) -> dict[str, Any]:
        """Lets all arrive, and counts."""
        plant = self._plant
        await self._bring_the_poison_back()

        async def arrived() -> bool:
            await plant.read_lake()
            return plant.erp.ledger.has(plant.sent) and plant.lake.has(plant.sent)

        left = ""
        try:
            await eventually(arrived, SETTLE_S)
            await eventually(self._clear, 60)
        except AssertionError as error:
            left = str(error)
        assert await plant.hub.stop() == 0, plant.hub.log()[-3000:]
        await plant.read_lake()
        try:
            at_rest(plant.folder, "to-erp", "to-lake")
            assert await plant.left_in_queues() == 0, "messages are left in the broker's queues"
        except AssertionError as error:
            left = left or str(error)
        return self._counts() | {"left_over": left[:500]}

    async def _bring_the_poison_back(self) -> None:
        """The refused document is accepted now, and what waits behind it."""
        plant = self._plant
        plant.erp.refuses_poison = False
        key = await plant.hub.key()

        async def retried() -> bool:
            letters = (await plant.hub.get("/v1/dead-letters?status=open&limit=500", key))["items"]
            for letter in letters:
                await plant.hub.ask("POST", f"/v1/dead-letters/{letter['id']}/retry", key=key)
            return bool(letters)

        await eventually(retried, 60)
        self._key = key

    async def _clear(self) -> bool:
        return not (await self._plant.hub.get("/v1/lanes", self._key))["items"]

    def _counts(self) -> dict[str, Any]:
        """``duplicated``: arrived again under the same key, as is allowed. ``other_key`` is not."""
        plant = self._plant
        ledgers: list[Ledger] = [plant.erp.ledger, plant.lake]
        accounts = [ledger.account(plant.sent) for ledger in ledgers]
        added = {name: sum(account[name] for account in accounts) for name in accounts[0]}
        return {
            "lost": added["lost"],
            "duplicated": sum(ledger.repeated for ledger in ledgers),
            "recovered": plant.recovered,
            "unexpected": added["unexpected"],
            "other_key": added["other_key"],
            "overtaken": added["overtaken"],
            "overtaken_at": plant.erp.ledger.overtakings("erp") + plant.lake.overtakings("lake"),
            "sent": len(plant.sent),
            "delivered": sum(len(ledger.order) for ledger in ledgers),
            "kills": self.kills,
            "failpoints": self.hits,
            "missed": dict(self.missed),
            "weather": dict(self._weather.seen),
            "seconds": round(time.monotonic() - self._began_at),
        }
