"""Fault 12 at length: a sink that is away for ten minutes of a test clock, at 2,000 events a second, and
that wants no more than 5,000 a second when it is back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from msgspec import structs

from canonical.errors import TransientError
from canonical.ports import Accepted, Delivery, Failed, SinkOutcome
from canonical.spec import SinkTraits
from router.breaker import Breaker
from router.dispatch import RECENT_EVENTS
from router.engine import WINDOW_EVENTS, Engine
from router.journal import IngestBatch, Message
from router.ratelimit import BURST_S, Limit
from router.recoverability import Policy
from tests.router.rig import Rig, message, order, route, running, until

RATE, AWAY_S, STEP_S = 2_000, 600, 1.0
LIMIT = 5_000
"""What the sink wants per second at most."""
KEYS = 500
BATCH = 500


class Clock:
    """The breaker's seconds."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Counting:
    """An ordered sink that is away at first. It keeps the last number per key, and the sizes of its calls."""

    def __init__(self) -> None:
        self.away = True
        self.last: dict[str, int] = {}
        self.arrived = 0
        self.probes = 0
        self.sizes: list[int] = []

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def send(self, deliveries: Sequence[Delivery]) -> Sequence[SinkOutcome]:
        if self.away:
            self.probes += 1
            return [Failed(TransientError("refused", outage=True))] * len(deliveries)
        self.sizes.append(len(deliveries))
        for delivery in deliveries:
            number = int(delivery.event.id)
            assert self.last.get(delivery.key, -1) < number, "overtaken"
            self.last[delivery.key] = number
        self.arrived += len(deliveries)
        return [Accepted()] * len(deliveries)


def bounded(engine: Engine) -> None:
    """What waits in memory does not grow with the outage; the rest is in the journal."""
    assert len(engine.feed.waiting) <= RECENT_EVENTS
    assert engine.status.waiting <= RECENT_EVENTS + WINDOW_EVENTS


TEMPLATE = message(order(0, "o0"))
AT_ONCE = 1_000


def said(number: int) -> Message:
    """The next thing that the source says; made fast, since there are more than a million."""
    key = f"o{number % KEYS}"
    data = {"order": key, "item": "A-1", "number": number}
    changes = {"id": f"{number:07}", "subject": key, "partitionkey": key, "data": data}
    return Message(raw=TEMPLATE.raw, events=[structs.replace(TEMPLATE.events[0], **changes)])


async def second(rig: Rig, number: int) -> None:
    """What comes in a second, as a source that reads in bulk hands it over."""
    for first in range(number, number + RATE, AT_ONCE):
        messages = [said(each) for each in range(first, first + AT_ONCE)]
        await rig.journal.append(IngestBatch(adapter="mes", messages=messages))


@pytest.mark.timeout(600)
async def test_an_outage_of_ten_minutes_is_waited_for_in_bounded_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, sink = Clock(), Counting()
    share = Limit(LIMIT, clock).share()
    monkeypatch.setattr("router.engine.Breaker", lambda full, **_: Breaker(full, clock, share))
    async with running(tmp_path) as rig:
        policy = Policy(first_s=0.5, max_s=60.0, give_up_after_s=60.0)
        engine = await rig.start(route(policy=policy), sink, SinkTraits(ordered=True, max_batch=BATCH))
        share.wake = engine.wake
        number = 0
        while clock.now_s < AWAY_S:
            await second(rig, number)
            number += RATE
            clock.now_s += STEP_S
            engine.wake()
            bounded(engine)
        assert number == RATE * AWAY_S
        assert engine.status.state == "paused"
        assert engine.feed.lagging
        assert 5 <= sink.probes <= 40, sink.probes  # it asks now and then, and does not hammer
        assert not await rig.letters()
        assert not await rig.lanes()
        sink.away = False
        clock.now_s += policy.max_s
        back_at_s = clock.now_s
        while sink.arrived < number:
            for _ in range(20):
                await asyncio.sleep(0)
            bounded(engine)
            assert sink.arrived <= LIMIT * (clock.now_s - back_at_s + BURST_S)
            clock.now_s += BURST_S / 2
            engine.wake()
        assert clock.now_s - back_at_s >= number / LIMIT - BURST_S
        await until(lambda: engine.status.cursor >= number)
        assert sink.arrived == number
        assert len(sink.last) == KEYS
        assert not await rig.letters()
        assert not await rig.lanes()
    gently = sink.sizes[:8]
    assert gently[0] == 1
    assert all(after <= 2 * before for before, after in pairwise(gently)), gently
