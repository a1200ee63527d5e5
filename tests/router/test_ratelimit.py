"""The rate of a sink: what a bucket gives, whose turn it is, and routes that share one."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.ports import Accepted
from canonical.spec import SinkTraits
from router.ratelimit import BURST_S, Bucket, Limit, Share
from tests.router.rig import PARALLEL, ScriptedSink, order, route, running, until


class Clock:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@given(
    per_s=st.floats(0.01, 5_000),
    steps=st.lists(st.tuples(st.floats(0, 3), st.integers(0, 2_000)), max_size=60),
)
def test_no_span_of_time_gives_more_than_the_rate_and_one_burst(
    per_s: float, steps: list[tuple[float, int]]
) -> None:
    clock = Clock()
    bucket = Bucket(per_s, clock)
    given_out: list[tuple[float, int]] = []
    for wait_s, wanted in steps:
        clock.now_s += wait_s
        number = min(bucket.whole, wanted)
        bucket.take(number)
        given_out.append((clock.now_s, number))
    for first, (began_s, _) in enumerate(given_out):
        total = 0
        for at_s, number in given_out[first:]:
            total += number
            assert total <= per_s * (at_s - began_s) + max(per_s * BURST_S, 1.0) + 1e-6


def test_a_clock_that_goes_back_gives_nothing() -> None:
    clock = Clock()
    bucket = Bucket(10.0, clock)
    bucket.take(bucket.whole)
    clock.now_s -= 3600.0
    assert bucket.whole == 0
    clock.now_s += 0.1
    assert bucket.whole == 1


class Waiting:
    """Shares of one limit that note when they are woken."""

    def __init__(self, per_s: float, clock: Clock) -> None:
        self.limit = Limit(per_s, clock)
        self.woken: list[str] = []

    def last_is(self, name: str) -> bool:
        return self.woken[-1:] == [name]

    def share(self, name: str, priority: int = 1) -> Share:
        share = self.limit.share(priority)
        share.wake = lambda: self.woken.append(name)
        return share


async def test_those_that_ask_in_vain_have_their_turns_by_priority_then_in_order() -> None:
    clock = Clock()
    waiting = Waiting(1.0, clock)
    first, second = waiting.share("first"), waiting.share("second")
    urgent, idle = waiting.share("urgent", 0), waiting.share("idle", 2)
    assert first.room() == 1
    first.took(1)
    for share in (idle, first, second, urgent, first):
        assert share.room() == 0
    taken = []
    for name, share in (("urgent", urgent), ("first", first), ("second", second), ("idle", idle)):
        clock.now_s += 1.0
        await until(partial(waiting.last_is, name))
        assert all(other.room() == 0 for other in (first, second, idle) if other is not share)
        assert share.room() == 1
        share.took(1)
        taken.append(name)
    assert taken == ["urgent", "first", "second", "idle"]


async def test_a_turn_that_nobody_uses_passes_on() -> None:
    clock = Clock()
    waiting = Waiting(1.0, clock)
    gone, patient = waiting.share("gone"), waiting.share("patient")
    gone.took(gone.room())
    assert (gone.room(), patient.room()) == (0, 0)
    clock.now_s += 1.0
    await until(lambda: waiting.woken == ["gone", "patient"])
    assert patient.room() == 1


async def test_a_share_that_leaves_is_not_waited_for() -> None:
    clock = Clock()
    waiting = Waiting(1.0, clock)
    gone, patient = waiting.share("gone"), waiting.share("patient")
    gone.took(gone.room())
    assert (gone.room(), patient.room()) == (0, 0)
    gone.leave()
    clock.now_s += 1.0
    await until(lambda: waiting.woken == ["patient"])


@pytest.mark.parametrize("traits", [PARALLEL, SinkTraits(ordered=True, max_batch=100)])
async def test_routes_to_one_sink_keep_to_its_rate_together(tmp_path: Path, traits: SinkTraits) -> None:
    per_s, sink, clock = 200.0, ScriptedSink(), Clock()
    limit = Limit(per_s, clock)
    async with running(tmp_path) as rig:
        for name in ("one", "two"):
            await rig.start(route(name=name), sink, traits, limit.share())
        await rig.append(*(order(n, f"k{n % 7}") for n in range(100)))

        def all_there() -> bool:
            assert len(sink.accepted) <= per_s * (clock.now_s + BURST_S)
            clock.now_s += BURST_S / 2
            return len(sink.accepted) == 200

        await until(all_there)
        await until(lambda: all(engine.status.cursor >= 100 for engine in rig.engines))
    assert clock.now_s >= 200 / per_s - BURST_S
    names = [delivery.idempotency_key.partition(":")[0] for delivery in sink.accepted]
    assert 20 <= names[:100].count("one") <= 80, "neither has to wait for the other's end"
    for name in ("one", "two"):
        mine = [d for d in sink.accepted if d.idempotency_key.startswith(f"{name}:")]
        for key in {delivery.key for delivery in mine}:
            numbers = [d.event.data["number"] for d in mine if d.key == key]
            assert numbers == sorted(numbers)


async def test_the_urgent_route_goes_first_where_a_sink_is_limited(tmp_path: Path) -> None:
    sink, limit = ScriptedSink(lambda _: Accepted("ok")), Limit(300.0)
    async with running(tmp_path) as rig:
        await rig.append(*(order(n, f"k{n}") for n in range(60)))
        for name, priority in (("patient", 2), ("urgent", 0)):
            await rig.start(route(name=name), sink, PARALLEL, limit.share(priority))
        await until(lambda: len(sink.accepted) == 120)
    names = [delivery.idempotency_key.partition(":")[0] for delivery in sink.accepted]
    last_urgent = max(at for at, name in enumerate(names) if name == "urgent")
    assert names[:last_urgent].count("patient") <= 300 * BURST_S + 1, names
