"""Bad days of the hub's peers, one after the other, while it is being killed."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

from tests.chaos.site import Plant

__all__ = ["Weather"]

CALM_S = (4.0, 12.0)
BAD_S = (0.5, 4.0)


class Weather:
    """``seen`` counts what has happened."""

    def __init__(self, plant: Plant, chance: random.Random) -> None:
        self._plant, self._chance = plant, chance
        self.seen: Counter[str] = Counter()
        self._day: asyncio.Task[None] | None = None

    async def over(self) -> None:
        """Returns when the bad day that had begun is over."""
        if self._day is not None:
            await self._day

    async def run(self) -> None:
        """Goes on until it is cancelled; a bad day that has begun comes to its end all the same."""
        days = {
            "rabbitmq killed": self._rabbitmq_killed,
            "mosquitto restarted": self._mosquitto_restarted,
            "erp away": self._erp_away,
            "erp sick": self._erp_sick,
            "erp silent": self._erp_silent,
            "erp throttles": self._erp_throttles,
        }
        deck: list[str] = []
        while True:
            await asyncio.sleep(self._chance.uniform(*CALM_S))
            deck = deck or self._chance.sample(list(days), len(days))
            name = deck.pop()
            self.seen[name] += 1
            self._day = asyncio.create_task(days[name]())
            await asyncio.shield(self._day)

    async def _while_bad(self) -> None:
        await asyncio.sleep(self._chance.uniform(*BAD_S))

    async def _rabbitmq_killed(self) -> None:
        await asyncio.to_thread(self._plant.rabbitmq.kill9)
        await self._while_bad()
        await asyncio.to_thread(self._plant.rabbitmq.start)

    async def _mosquitto_restarted(self) -> None:
        """In an orderly way: killed, it would lose what it has not saved yet, which is not ours to keep."""
        async with self._plant.brokers:
            await asyncio.to_thread(self._plant.mosquitto.stop)
            await self._while_bad()
            await asyncio.to_thread(self._plant.mosquitto.start)

    async def _erp_away(self) -> None:
        await self._plant.erp_site.shut()
        await self._while_bad()
        await self._plant.erp_site.open()

    async def _erp_sick(self) -> None:
        self._plant.erp.mood = "sick"
        await self._while_bad()
        self._plant.erp.mood = "well"

    async def _erp_silent(self) -> None:
        self._plant.erp.mood = "silent"
        await self._while_bad()
        self._plant.erp.mood = "well"

    async def _erp_throttles(self) -> None:
        self._plant.erp.mood = "throttles"
        await self._while_bad()
        self._plant.erp.mood = "well"
