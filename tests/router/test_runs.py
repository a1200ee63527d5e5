"""A sink that keeps an order gets events by the run; what goes wrong with one concerns only its key."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest

from canonical.errors import Rejected, TransientError
from canonical.ports import Accepted, Delivery, Failed, NotTried, SinkOutcome, Unknown
from canonical.spec import SinkTraits
from router.recoverability import Policy
from router.spans import positions, reach, receipt_of
from tests.router.rig import ITEMS, Rig, ScriptedSink, number_of, order, route, running, until

ORDERED = SinkTraits(ordered=True, max_batch=100)
AT_ONCE = Policy(first_s=0.01, max_s=0.02, give_up_after_s=0.0)


class OrderedSink(ScriptedSink):
    """Once a delivery has failed, later ones of its key in the same call are not tried."""

    def __init__(self, behave: Callable[[Delivery], SinkOutcome] = lambda _: Accepted()) -> None:
        super().__init__(behave)
        self.sizes: list[int] = []

    async def send(self, deliveries: Sequence[Delivery]) -> Sequence[SinkOutcome]:
        self.sizes.append(len(deliveries))
        failed: set[str] = set()
        outcomes: list[SinkOutcome] = []
        for delivery in deliveries:
            outcome = NotTried() if delivery.key in failed else await self._one(delivery)
            if not isinstance(outcome, Accepted):
                failed.add(delivery.key)
            outcomes.append(outcome)
        return outcomes


async def _all(rig: Rig, number: int, keys: int = 4) -> None:
    await rig.append(*(order(n, f"o{n % keys}") for n in range(number)))


async def test_events_of_one_key_go_out_together_and_in_order(tmp_path: Path) -> None:
    sink = OrderedSink()
    async with running(tmp_path) as rig:
        engine = await rig.start(route(), sink, ORDERED)
        await _all(rig, 60, keys=2)
        await until(lambda: engine.status.cursor >= 60)
    assert sink.numbers == list(range(60))
    assert max(sink.sizes) > 2


async def test_a_run_of_which_nothing_is_wanted_is_passed_over(tmp_path: Path) -> None:
    sink = OrderedSink()
    async with running(tmp_path) as rig:
        engine = await rig.start(route(when="data.number >= 100"), sink, ORDERED)
        await _all(rig, 50)
        await until(lambda: engine.status.cursor >= 50)
        assert engine.status.waiting == 0
    assert sink.calls == []


async def test_what_is_excluded_beside_a_failure_is_settled(tmp_path: Path) -> None:
    sink = OrderedSink(lambda d: Failed(Rejected("no")) if number_of(d) == 4 else Accepted())
    async with running(tmp_path) as rig:
        engine = await rig.start(route(when="data.number % 2 == 0"), sink, ORDERED)
        await _all(rig, 12, keys=12)
        await until(lambda: engine.status.cursor >= 12)
        [lane] = await rig.lanes()
    assert (lane.head.position, lane.size) == (5, 1)
    assert sink.numbers == [0, 2, 6, 8, 10]


async def test_a_rejected_event_in_a_run_holds_back_its_key_only(tmp_path: Path) -> None:
    sink = OrderedSink(lambda d: Failed(Rejected("no")) if number_of(d) == 3 else Accepted())
    async with running(tmp_path) as rig:
        engine = await rig.start(route(), sink, ORDERED)
        await _all(rig, 20)
        await until(lambda: engine.status.cursor >= 20)
        [lane] = await rig.lanes()
        assert (lane.head.key, lane.head.position, lane.size) == ("o3", 4, 5)
        await rig.append(order(20, "o3"), order(21, "o1"))  # the lane holds back what comes later, too
        await until(lambda: engine.status.cursor >= 23)  # the notice of the dead letter is at 21
        sink.behave = lambda _: Accepted()
        assert engine.keeper.release("o3") == 6
        await until(rig.clear)
    for key in range(4):
        mine = [n for n in sink.numbers if n % 4 == key and n < 20]
        assert mine == list(range(key, 20, 4))
    assert sink.numbers.index(20) > sink.numbers.index(19)


async def test_an_event_without_a_mapping_holds_back_what_follows_it_with_its_key(tmp_path: Path) -> None:
    sink = OrderedSink()
    async with running(tmp_path) as rig:
        codes = {order(0, "x").source: ITEMS}
        engine = await rig.start(route(inbound=codes, map={"item": "data.item"}), sink, ORDERED)
        await rig.approve(domain="item", system="mes", value="A-1", canonical="ITEM-1")
        await rig.append(*(order(n, f"o{n % 3}", "NEW" if n == 4 else "A-1") for n in range(12)))
        await until(lambda: engine.status.cursor >= 12)
        [lane] = await rig.lanes()
        assert (lane.head.state, lane.head.key, lane.head.position, lane.size) == ("parked", "o1", 5, 3)
        await rig.approve(domain="item", system="mes", value="NEW", canonical="ITEM-2")
        await until(rig.clear)
    for key in range(3):
        assert [n for n in sink.numbers if n % 3 == key] == list(range(key, 12, 3))


@pytest.mark.parametrize("outcome", [Failed, Unknown])
async def test_an_outage_in_the_middle_of_a_run_loses_nothing_and_keeps_the_order(
    tmp_path: Path, outcome: type[Failed] | type[Unknown]
) -> None:
    away: list[int] = []

    def behave(delivery: Delivery) -> SinkOutcome:
        if number_of(delivery) >= 10 and len(away) < 3:
            away.append(number_of(delivery))
            return outcome(TransientError("gone", outage=True))
        return Accepted()

    sink = OrderedSink(behave)
    async with running(tmp_path) as rig:
        engine = await rig.start(route(), sink, ORDERED)
        await _all(rig, 40)
        await until(lambda: engine.status.cursor >= 40)
        assert not await rig.lanes()
        assert not await rig.letters()
        assert engine.status.state == "flowing"
    assert sorted(set(sink.numbers)) == list(range(40))
    for key in range(4):
        first = {n: sink.numbers.index(n) for n in range(key, 40, 4)}
        assert sorted(first.values()) == list(first.values())


async def test_receipts_and_ranges_are_kept_with_the_settlement(tmp_path: Path) -> None:
    sink = OrderedSink(lambda d: Accepted("R-7") if number_of(d) == 7 else Accepted())
    async with running(tmp_path) as rig:
        engine = await rig.start(route(), sink, ORDERED)
        await _all(rig, 20)
        await until(lambda: engine.status.cursor >= 20)
        await until(lambda: engine.status.waiting == 0)
        await rig.journal.write(lambda _: None)  # what was settled is written with it
        rows = await rig.journal.read(lambda t: t.execute("SELECT first, last, detail FROM deliveries"))
    kept = [(first, last, msgspec.msgpack.decode(detail)[0]) for first, last, detail in rows]
    entries = [(first, last) for _, _, entries in kept for first, last in entries]
    assert sorted(positions(entries)) == list(range(1, 21))
    assert receipt_of(entries, 8) == "R-7"
    assert all((first, last) == reach(entries) for first, last, entries in kept)


async def test_nothing_is_taken_from_the_buffer_while_the_sink_is_away(tmp_path: Path) -> None:
    sink = OrderedSink(lambda _: Failed(TransientError("gone", outage=True)))
    async with running(tmp_path) as rig:
        policy = Policy(first_s=600.0, max_s=600.0)
        engine = await rig.start(route(policy=policy), sink, ORDERED)
        await _all(rig, 10)
        await until(lambda: engine.status.state == "paused")
        await rig.append(*(order(n, f"o{n}") for n in range(10, 400)))
        await until(lambda: engine.status.waiting == 400)
        assert len(sink.calls) <= 10


async def test_what_is_given_up_leaves_the_run_of_others_alone(tmp_path: Path) -> None:
    sink = OrderedSink(lambda d: Failed(TransientError("HTTP 500")) if number_of(d) == 6 else Accepted())
    async with running(tmp_path) as rig:
        engine = await rig.start(route(policy=AT_ONCE), sink, ORDERED)
        await _all(rig, 16, keys=16)
        await until(lambda: engine.status.cursor >= 16)
        [letter] = await rig.letters()
    assert letter.position == 7
    assert sorted(sink.numbers) == [n for n in range(16) if n != 6]


class SlowSink(OrderedSink):
    """Holds every call until ``gate`` is open, and counts those that are under way."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.under_way = self.most = 0

    async def send(self, deliveries: Sequence[Delivery]) -> Sequence[SinkOutcome]:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await self.gate.wait()
        self.under_way -= 1
        return await super().send(deliveries)


@pytest.mark.parametrize(("promise", "calls"), [("none", 3), ("key", 1)])
async def test_calls_go_ahead_of_each_other_only_where_no_order_is_promised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, promise: str, calls: int
) -> None:
    monkeypatch.setattr("router.engine._WORTHWHILE", 10)
    sink = SlowSink()
    async with running(tmp_path) as rig:
        traits = SinkTraits(ordered=True, max_batch=10, ahead=3)
        engine = await rig.start(route(order=promise), sink, traits)
        await _all(rig, 100)
        await until(lambda: sink.under_way == calls and engine.status.in_flight == 10 * calls)
        await rig.append(order(100, "o1"))
        sink.gate.set()
        await until(lambda: engine.status.cursor >= 101)
    assert sink.most == calls
    assert sorted(sink.numbers) == list(range(101))


async def test_what_is_not_worth_a_call_waits_for_the_one_under_way(tmp_path: Path) -> None:
    sink = SlowSink()
    async with running(tmp_path) as rig:
        traits = SinkTraits(ordered=True, max_batch=100, ahead=3)
        engine = await rig.start(route(order="none"), sink, traits)
        await rig.append(order(0, "o"))
        await until(lambda: sink.under_way == 1)
        for number in range(1, 40):
            await rig.append(order(number, "o"))
        sink.gate.set()
        await until(lambda: engine.status.cursor >= 40)
    assert sink.sizes == [1, 39]


async def test_a_failure_ahead_of_others_leaves_them_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router.engine._WORTHWHILE", 10)
    sink = SlowSink()
    sink.behave = lambda d: (
        Failed(TransientError("gone", outage=True))
        if number_of(d) in (3, 27) and d.attempt == 1 and sink.sizes.count(1) == 0
        else Accepted()
    )
    async with running(tmp_path) as rig:
        traits = SinkTraits(ordered=True, max_batch=10, ahead=3)
        engine = await rig.start(route(order="none"), sink, traits)
        await _all(rig, 60)
        await until(lambda: sink.under_way == 3)
        sink.gate.set()
        await until(lambda: engine.status.cursor >= 60)
        assert not await rig.lanes()
        assert engine.status.state == "flowing"
    assert sorted(set(sink.numbers)) == list(range(60))
