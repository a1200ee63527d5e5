"""What a route does with what it is given: order, failures, lanes, pauses."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any, ClassVar

import pytest
import uvloop

from canonical.errors import Rejected, TransientError
from canonical.ports import Accepted, Delivery, Failed, Recorded, SinkOutcome, Unknown
from canonical.spec import SinkTraits
from config.mapping import find_function
from router.recoverability import Policy
from tests.router.rig import ITEMS, ScriptedSink, number_of, order, route, running, until


async def test_events_arrive_once_and_in_order_per_key(tmp_path: Path) -> None:
    sink = ScriptedSink()

    async def slowly(delivery: Delivery) -> SinkOutcome:
        await asyncio.sleep(0.001 * (number_of(delivery) % 3))
        return Accepted()

    sink.behave = slowly
    async with running(tmp_path) as rig:
        await rig.start(route(), sink)
        for first in range(0, 300, 50):
            await rig.append(*(order(n, f"o{n % 7}") for n in range(first, first + 50)))
        await until(lambda: len(sink.accepted) == 300)
    for key in range(7):
        mine = [n for n in sink.numbers if n % 7 == key]
        assert mine == sorted(mine)
    assert len(set(sink.numbers)) == 300


async def test_what_the_condition_excludes_is_passed_over(tmp_path: Path) -> None:
    sink = ScriptedSink()
    async with running(tmp_path) as rig:
        engine = await rig.start(route(when="data.number % 2 == 0", map={"n": "data.number"}), sink)
        await rig.append(*(order(n, f"o{n}") for n in range(10)))
        await until(lambda: engine.status.cursor >= 10)
    assert sink.numbers == [0, 2, 4, 6, 8]
    assert sink.accepted[1].payload == b'{"n":2}'


async def test_a_rejected_document_is_a_dead_letter_and_holds_back_only_its_key(tmp_path: Path) -> None:
    sink = ScriptedSink(lambda d: Failed(Rejected("no such item")) if number_of(d) == 3 else Accepted())
    async with running(tmp_path) as rig:
        engine = await rig.start(route(), sink)
        await rig.append(*(order(n, f"o{n % 3}") for n in range(12)))
        await until(lambda: engine.status.cursor >= 12)
        [lane] = await rig.lanes()
        [letter] = await rig.letters()
        assert (lane.head.state, lane.size, lane.head.key) == ("dead", 3, "o0")
        assert (letter.error, letter.route, letter.body) == ("no such item", "orders", letter.body)
        assert b'"number":3' in letter.body
        assert [n for n in sink.numbers if n % 3 == 0] == [0]
        assert [n for n in sink.numbers if n % 3 == 1] == [1, 4, 7, 10]
        assert [n for n in sink.numbers if n % 3 == 2] == [2, 5, 8, 11]
        sink.behave = lambda _: Accepted()
        assert engine.keeper.release("o0") == 3
        await until(lambda: len(sink.accepted) == 12)
        await until(rig.clear)
        assert sink.numbers[-3:] == [3, 6, 9]
        assert [entry.status for entry in await rig.letters()] == ["recovered"]


def by_tens(data: dict[str, Any]) -> dict[str, Any]:
    """A mapping that fails for number 3."""
    return {"part": 30 // (data["number"] - 3)}


async def test_a_function_that_fails_makes_a_dead_letter_that_names_its_line(tmp_path: Path) -> None:
    sink = ScriptedSink()
    async with running(tmp_path) as rig:
        mapped = route(function=find_function(f"{__name__}.by_tens"))
        engine = await rig.start(mapped, sink)
        await rig.append(*(order(n, f"o{n}") for n in range(5)))
        await until(lambda: engine.status.cursor >= 5)
        [letter] = await rig.letters()
        assert letter.code == "mapping"
        assert re.search(r"by_tens \(test_engine\.py:\d+\): ZeroDivisionError", letter.error), letter.error
        assert sorted(sink.numbers) == [0, 1, 2, 4]
        assert {delivery.payload for delivery in sink.accepted} == {
            b'{"part":-10}',
            b'{"part":-15}',
            b'{"part":-30}',
            b'{"part":30}',
        }


async def test_an_outage_pauses_the_route_and_nothing_is_dead_lettered(tmp_path: Path) -> None:
    away = True

    def behave(_: Delivery) -> SinkOutcome:
        return Failed(TransientError("connection refused", outage=True)) if away else Accepted()

    sink = ScriptedSink(behave)
    async with running(tmp_path) as rig:
        engine = await rig.start(route(), sink)
        await rig.append(*(order(n, f"o{n % 5}") for n in range(100)))
        await until(lambda: engine.status.state == "paused")
        await until(lambda: engine.breaker.pauses >= 4)
        assert len(sink.calls) < 60  # it probes, it does not hammer
        away = False
        await until(lambda: len(sink.accepted) == 100)
        assert not await rig.letters()
        assert not await rig.lanes()
        assert engine.status.state == "flowing"
    for key in range(5):
        mine = [n for n in sink.numbers if n % 5 == key]
        assert mine == sorted(mine)


async def test_one_document_answered_500_ends_apart_and_the_rest_flows(tmp_path: Path) -> None:
    sink = ScriptedSink(
        lambda d: Failed(TransientError("HTTP 500", code="http_500")) if number_of(d) == 5 else Accepted()
    )
    async with running(tmp_path) as rig:
        engine = await rig.start(route(policy=Policy(first_s=0.02, max_s=0.1, give_up_after_s=0.5)), sink)
        await rig.append(*(order(n, f"o{n}") for n in range(20)))
        await until(lambda: len(sink.accepted) == 19)
        await until(lambda: engine.status.cursor >= 20)
        await until(lambda: rig.letters())
        [letter] = await rig.letters()
        assert letter.position == 6
        assert letter.attempts > 1
        assert "gave up" in letter.error


async def test_several_documents_answered_500_do_not_stop_the_others(tmp_path: Path) -> None:
    sink = ScriptedSink(lambda d: Failed(TransientError("HTTP 500")) if number_of(d) < 4 else Accepted())
    async with running(tmp_path) as rig:
        policy = Policy(first_s=0.02, max_s=0.1, give_up_after_s=0.5)
        await rig.start(route(policy=policy), sink, SinkTraits(concurrency=1))
        await rig.append(*(order(n, f"o{n}") for n in range(30)))
        await until(lambda: len(sink.accepted) == 26)
        number = 30

        async def given_up() -> bool:
            nonlocal number
            number += 1
            await rig.append(order(number, f"o{number}"))  # the others go on flowing
            return len(await rig.letters()) == 4

        await until(given_up, 20)
        assert sorted(letter.position or 0 for letter in await rig.letters()) == [1, 2, 3, 4]


async def test_500_for_everything_pauses(tmp_path: Path) -> None:
    sink = ScriptedSink(lambda _: Failed(TransientError("HTTP 500")))
    async with running(tmp_path) as rig:
        engine = await rig.start(route(), sink)
        await rig.append(*(order(n, f"o{n}") for n in range(50)))
        await until(lambda: engine.status.state == "paused")
        sink.behave = lambda _: Accepted()
        await until(lambda: len(sink.accepted) == 50)
        assert not await rig.letters()


async def test_an_unknown_code_parks_and_its_row_delivers_in_order(tmp_path: Path) -> None:
    sink = ScriptedSink()
    async with running(tmp_path) as rig:
        engine = await rig.start(
            route(inbound={order(0, "x").source: ITEMS}, map={"item": "data.item"}), sink
        )
        await rig.approve(domain="item", system="mes", value="A-1", canonical="ITEM-1")
        await rig.append(
            *(order(n, f"o{n % 4}", "NEW" if n % 4 == 1 and n >= 5 else "A-1") for n in range(40))
        )
        await until(lambda: engine.status.cursor >= 40)
        [lane] = await rig.lanes()
        assert (lane.head.state, lane.head.code_value, lane.size) == ("parked", "NEW", 9)
        assert [n for n in sink.numbers if n % 4 == 1] == [1]
        await rig.append(order(41, "o1"))  # a good one waits behind
        await until(lambda: engine.status.cursor >= 41)
        await rig.approve(domain="item", system="mes", value="NEW", canonical="ITEM-2")
        await until(lambda: len(sink.accepted) == 41)
        await until(rig.clear)
        assert [n for n in sink.numbers if n % 4 == 1] == [1, *range(5, 40, 4), 41]
        notices, _ = await rig.journal.events(40)
        assert [item.event.type for item in notices if item.event.source.startswith("/hub")] == [
            "com.crossplant.masterdata.mapping.unresolved.v1"
        ]


async def test_an_unknown_outcome_is_looked_up_before_it_is_sent_again(tmp_path: Path) -> None:
    class Asked(ScriptedSink):
        looked: ClassVar[list[int]] = []

        async def lookup(self, delivery: Delivery) -> Accepted | None:
            self.looked.append(number_of(delivery))
            return Accepted("found") if number_of(delivery) == 1 else None

    sink = Asked()
    sink.behave = lambda d: (
        Unknown(TransientError("no answer")) if d.attempt == 1 and number_of(d) < 3 else Accepted()
    )
    async with running(tmp_path) as rig:
        engine = await rig.start(route(), sink, SinkTraits(concurrency=1, lookup=True))
        await rig.append(*(order(n, f"o{n}") for n in range(1, 6)))
        await until(lambda: engine.status.cursor >= 5)
        await until(rig.clear)
    assert sorted(sink.looked) == [1, 2]
    assert sorted(sink.numbers) == [2, 3, 4, 5]


async def test_lanes_and_cursor_survive_a_restart(tmp_path: Path) -> None:
    sink = ScriptedSink(lambda d: Failed(Rejected("no")) if number_of(d) == 2 else Accepted())
    async with running(tmp_path) as rig:
        engine = await rig.start(route(), sink)
        await rig.append(*(order(n, f"o{n % 2}") for n in range(6)))
        await until(lambda: engine.status.cursor >= 6)
        await until(lambda: rig.letters())
    again = ScriptedSink()
    async with running(tmp_path) as rig:
        engine = await rig.start(route(), again)
        await rig.append(order(6, "o0"), order(7, "o1"))
        await until(lambda: engine.status.cursor >= 8)
        assert again.numbers == [7]
        engine.keeper.release("o0")
        await until(lambda: len(again.accepted) == 4)
        assert again.numbers == [7, 2, 4, 6]


async def test_a_lane_that_is_released_while_its_route_starts_is_let_go(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        await rig.start(route(), ScriptedSink(lambda _: Failed(Rejected("no"))))
        await rig.append(order(0, "o0"), order(1, "o0"))
        await until(lambda: rig.letters())
    again = ScriptedSink()
    async with running(tmp_path) as rig:
        engine = await rig.start(route(), again)
        assert engine.keeper.release("o0") == 0  # it has not read its lanes yet
        await until(rig.clear)
        assert again.numbers == [0, 1]


async def test_a_lagging_route_catches_up_from_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router.dispatch.RECENT_EVENTS", 1500)
    gate = asyncio.Event()

    async def wait(_: Delivery) -> SinkOutcome:
        await gate.wait()
        return Accepted()

    sink = ScriptedSink(wait)
    async with running(tmp_path) as rig:
        engine = await rig.start(route(), sink)
        for first in range(0, 6000, 500):
            await rig.append(*(order(n, f"o{n % 50}") for n in range(first, first + 500)))
        assert engine.feed.lagging
        gate.set()
        await until(lambda: len(sink.accepted) == 6000, 30)
        await until(lambda: not engine.feed.lagging)
    assert len(set(sink.numbers)) == 6000


async def test_an_ordered_sink_gets_its_next_call_as_soon_as_the_last_one_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router.engine._IDLE_S", 3600.0)  # nothing but the end of a call wakes the engine
    sink = ScriptedSink()
    async with running(tmp_path) as rig:
        await rig.start(route(), sink, SinkTraits(ordered=True, max_batch=1))
        await rig.append(*(order(n, f"o{n}") for n in range(20)))
        await until(lambda: len(sink.accepted) == 20, 30)
    assert sink.numbers == list(range(20))


async def test_a_commit_that_is_read_before_it_is_announced_is_taken_once(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        feed = rig.dispatcher.feed(route(), 0)
        await rig.append(*(order(n, f"o{n}") for n in range(3)))
        announced, reached = await rig.journal.events(0)
        feed.take(0)
        await until(lambda: not feed.lagging)
        feed.offer(announced, 0)  # the announcement comes late
        later = [*announced[-1:], Recorded(reached + 1, order(9, "o9"))]
        feed.offer(later, reached - 1)
        assert [item.position for item in feed.take(10)] == [1, 2, 3, 4]
        rig.dispatcher.drop(feed)


class Asked(ScriptedSink):
    """A sink that can be asked what it has."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[int] = []

    async def lookup(self, delivery: Delivery) -> Accepted | None:
        self.asked.append(number_of(delivery))
        known = {one.idempotency_key for one in self.accepted}
        return Accepted("known") if delivery.idempotency_key in known else None


@pytest.mark.parametrize(
    "traits", [SinkTraits(concurrency=4, lookup=True), SinkTraits(ordered=True, max_batch=8, lookup=True)]
)
async def test_what_may_have_been_under_way_is_asked_for_after_a_crash(
    tmp_path: Path, traits: SinkTraits
) -> None:
    sink = Asked()
    async with running(tmp_path) as rig:
        await rig.append(*(order(n, f"o{n % 3}") for n in range(20)))
        sink.accepted = [d for n in range(5) if (d := route().deliver(order(n, f"o{n % 3}"), rig.crosswalk))]
        engine = await rig.start(route(), sink, traits)  # whose last run sent five and settled none
        await until(lambda: engine.status.cursor >= 20)
        assert sorted(sink.numbers) == list(range(20))
        assert sorted(sink.asked) == list(range(20))
        await rig.append(*(order(n, f"o{n % 3}") for n in range(20, 30)))
        await until(lambda: engine.status.cursor >= 30)
    assert sorted(sink.numbers) == list(range(30))
    assert sorted(sink.asked) == list(range(20)), "what comes later was never under way"


def test_a_lane_that_is_due_is_tried_although_alarms_ring_early(tmp_path: Path) -> None:
    """uvloop counts in milliseconds: an alarm may ring before its own time, and must not count as set."""
    left = [80]

    def behave(delivery: Delivery) -> SinkOutcome:
        left[0] -= 1
        return Failed(TransientError("a fault of this document")) if left[0] > 0 else Accepted("ok")

    async def work() -> None:
        sink = ScriptedSink(behave)
        async with running(tmp_path) as rig:
            policy = Policy(first_s=0.02, max_s=0.04, give_up_after_s=600.0)
            await rig.start(route(policy=policy), sink)
            await rig.append(order(0, "o0"))
            await until(lambda: len(sink.accepted) == 1)
            await until(rig.clear)

    uvloop.run(work())


async def test_a_look_up_that_raises_is_one_that_was_not_answered(tmp_path: Path) -> None:
    class Broken(Asked):
        async def lookup(self, delivery: Delivery) -> Accepted | None:
            if len(self.asked) < 3:
                self.asked.append(number_of(delivery))
                raise KeyError("a fault of its own")
            return await super().lookup(delivery)

    sink = Broken()
    async with running(tmp_path) as rig:
        await rig.append(*(order(n, "o") for n in range(4)))
        engine = await rig.start(route(), sink, SinkTraits(concurrency=4, lookup=True))
        await until(lambda: engine.status.cursor >= 4)
        await until(rig.clear)
    assert sink.numbers == [0, 1, 2, 3]
