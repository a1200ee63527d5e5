"""5,000 dead letters are retried while others arrive: the frozen selection, at its rate, each once."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from canonical.errors import Rejected
from canonical.ports import Accepted, Delivery, Failed, SinkOutcome
from tests.gateway.hubs import Gate, event
from tests.gateway.test_retries import begin, progress
from tests.router.rig import ScriptedSink, route
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(400)

SELECTED, STUBBORN = 5_000, 100
RATE = 400.0
ON_TOP = RATE / 10 + 3 * 32
"""What one second may see beyond the rate: a tenth of a second that is made up for, the batch that was held
up, and one at either edge."""


class Door:
    """Refuses everything until it is opened, and after that the stubborn and what came later."""

    def __init__(self) -> None:
        self.open = False
        self.tries: Counter[int] = Counter()
        self.taken: list[int] = []

    def answer(self, delivery: Delivery) -> SinkOutcome:
        number = int(delivery.event.data["order"].removeprefix("O-"))
        self.tries[number] += 1
        if not self.open or number < STUBBORN or number >= SELECTED:
            return Failed(Rejected("the order is not wanted"))
        self.taken.append(number)
        return Accepted()

    def retried(self) -> int:
        """How many of the selection were tried a second time."""
        return sum(self.tries[number] > 1 for number in range(SELECTED))


class Newcomers:
    """Further orders, which fail alike, in parts until it is enough."""

    def __init__(self, gate: Gate, door: Door) -> None:
        self._gate, self._door = gate, door
        self.last = SELECTED

    async def come(self, number: int) -> None:
        """Returns when so many more were refused."""
        first, self.last = self.last, self.last + number
        await self._gate.record(*(event(order) for order in range(first, self.last)))
        await eventually(lambda: all(self._door.tries[order] for order in range(first, self.last)))

    async def keep_coming(self) -> None:
        while True:
            await self.come(10)
            await asyncio.sleep(0.2)


def whole(told: dict[str, Any]) -> bool:
    """Whether every one of the selection is accounted for, once."""
    states = ("waiting", "under_way", "recovered", "failed", "passed_over")
    return bool(told["total"] == SELECTED == sum(told[state] for state in states))


async def claims(gate: Gate) -> list[float]:
    """When each retry of a single dead letter was claimed."""
    rows = await gate.hub.journal.read(
        lambda t: t.execute("SELECT at FROM audit WHERE act = 'dead_letter.retry' ORDER BY at")
    )
    return [at for (at,) in rows]


def busiest_second(moments: list[float]) -> int:
    """The most of them within any one second."""
    first, most = 0, 0
    for last, moment in enumerate(moments):
        while moments[first] < moment - 1.0:
            first += 1
        most = max(most, last - first + 1)
    return most


async def test_5000_are_retried_at_a_rate_while_new_failures_arrive(gate: Gate) -> None:
    door = Door()
    await gate.route(route(), ScriptedSink(door.answer))
    for start in range(0, SELECTED, 500):
        await gate.record(*(event(number) for number in range(start, start + 500)))
    operator = await gate.client("operator")

    async def all_refused() -> Any:
        groups = (await operator.get("/v1/dead-letters/groups")).json()["items"]
        return groups if groups and groups[0]["open"] == SELECTED else None

    (group,) = await eventually(all_refused, 120)
    door.open = True
    newcomers = Newcomers(gate, door)
    begun = await begin(operator, group=group["fingerprint"], rate=RATE)
    assert (begun["total"], begun["arrived"]) == (SELECTED, 0)
    coming = asyncio.create_task(newcomers.keep_coming())
    seen = []

    async def recovered(number: int) -> bool:
        seen.append(await progress(operator))
        return bool(seen[-1]["recovered"] >= number)

    await eventually(lambda: recovered(SELECTED // 3), 120)
    stopped = (await operator.post("/v1/dead-letters/retries/1/stop")).json()
    assert stopped["state"] == "stopped"
    assert stopped["waiting"] > SELECTED // 2

    async def at_rest() -> Any:
        told = await progress(operator)
        return told if not told["under_way"] else None

    rest = await eventually(at_rest, 60)
    tried = door.retried()
    assert rest["recovered"] + rest["failed"] == tried == SELECTED - rest["waiting"]
    await newcomers.come(50)
    assert (door.retried(), (await progress(operator))["waiting"]) == (tried, rest["waiting"])

    await operator.post("/v1/dead-letters/retries/1/resume")

    async def ended() -> Any:
        seen.append(await progress(operator))
        return seen[-1] if seen[-1]["state"] == "done" and not seen[-1]["under_way"] else None

    told = await eventually(ended, 120)
    coming.cancel()
    await asyncio.gather(coming, return_exceptions=True)
    # the frozen selection, each once, and nothing else
    assert (told["recovered"], told["failed"], told["passed_over"]) == (SELECTED - STUBBORN, STUBBORN, 0)
    assert {door.tries[number] for number in range(SELECTED)} == {2}
    assert {door.tries[number] for number in range(SELECTED, newcomers.last)} == {1}
    assert sorted(door.taken) == list(range(STUBBORN, SELECTED))
    # progress and new failures
    assert all(whole(one) for one in (*seen, rest))
    for name in ("recovered", "arrived"):
        counts = [one[name] for one in seen]
        assert counts == sorted(counts)

    async def all_told() -> bool:
        return bool((await progress(operator))["arrived"] == newcomers.last - SELECTED)

    await eventually(all_told)
    # not faster than asked
    moments = await claims(gate)
    assert len(moments) == SELECTED
    assert busiest_second(moments) <= RATE + ON_TOP
    seconds = sorted(Counter(int(moment) for moment in moments).values())
    print(f"median second {seconds[len(seconds) // 2]}, busiest {busiest_second(moments)}")  # noqa: T201
