"""Who gets an event: by type and plant, then by what conditions select by; and what is kept in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from canonical.expression import Values, compile_expression
from canonical.ports import Accepted, Delivery, Recorded, SinkOutcome
from canonical.spec import SinkTraits
from router.audience import Audience
from router.crosswalk import Crosswalk
from router.making import Made
from router.routes import Route
from tests.router.rig import ITEMS, SOURCE, Rig, ScriptedSink, order, route, running, until

ORDERED = SinkTraits(ordered=True, max_batch=100)
CONDITIONS = (
    "data.item == 'A-1'",
    "'A-2' == data.item",
    "data.item == 'A-1' && data.number > 3",
    "data.missing == 'x' && data.item == 'A-1'",
    "data.item in ['A-1', 'A-3']",
    "event.plantid == 'aachen'",
    "event.plantid == 'brno' && data.item == 'A-1'",
    "data.item != 'A-1'",
    "data.item == 'A-1' || data.number > 3",
    "!(data.item == 'A-1')",
    "data.item.startsWith('A')",
    "true",
)
values = st.sampled_from(["A-1", "A-2", "B", "", "x\0", "ä", None, 7, True, 1.5, ["A-1"], {"a": "A-1"}])


def told(name: str, values: Values) -> Any:
    """True, false, or that CEL has an error."""
    try:
        return compile_expression(name).holds(values)
    except Exception as error:  # noqa: BLE001 - whatever it is, it must not be hidden
        return type(error).__name__


@given(data=st.fixed_dictionaries({}, optional={"item": values, "number": values}))
def test_nobody_misses_an_event_that_its_condition_would_take_or_fail_on(data: dict[str, Any]) -> None:
    event = structs.replace(order(1, "o"), data=data)
    members = [(name, route(when=name).selection) for name in CONDITIONS]
    wanted: dict[str, list[Recorded]] = {}
    Audience(members).hand_out([Recorded(1, event)], wanted)
    for name in CONDITIONS:
        if name not in wanted:
            assert told(name, {"event": event, "data": data}) is False


async def test_events_are_handed_to_those_who_select_them_without_asking_the_others(tmp_path: Path) -> None:
    sinks = [ScriptedSink() for _ in range(50)]
    asked: list[str] = []
    async with running(tmp_path) as rig:
        for at, sink in enumerate(sinks):
            compiled = route(name=f"r{at}", when=f"data.item == 'item-{at}'")
            await _start(rig, compiled, sink, asked)
        await until(lambda: not any(engine.feed.lagging for engine in rig.engines))
        await rig.append(*(order(n, f"o{n}", f"item-{n % 50}") for n in range(200)))
        await until(lambda: sum(len(sink.accepted) for sink in sinks) == 200)
        await until(lambda: all(engine.status.waiting == 0 for engine in rig.engines))
    assert [sink.numbers for sink in sinks] == [list(range(at, 200, 50)) for at in range(50)]
    assert len(asked) == 200  # one condition for each delivery, not 50


async def _start(rig: Rig, compiled: Any, sink: ScriptedSink, asked: list[str]) -> None:
    engine = await rig.start(compiled, sink, ORDERED)
    make = engine._maker.make

    def counted(recorded: Sequence[Recorded], crosswalk: Crosswalk) -> Made:
        asked.extend(compiled.name for _ in recorded)
        return make(recorded, crosswalk)

    engine._maker.make = counted  # type: ignore[method-assign]


async def test_a_route_that_nothing_is_for_has_passed_all_the_same(tmp_path: Path) -> None:
    sink = ScriptedSink()
    async with running(tmp_path) as rig:
        engines = [
            await rig.start(route(name=f"r{at}", when=f"data.item == '{at}'"), sink, ORDERED)
            for at in range(3)
        ]
        await until(lambda: not any(engine.feed.lagging for engine in engines))
        await rig.append(*(order(n, f"o{n}", "other") for n in range(10)))
        assert [engine.feed.passed for engine in engines] == [10, 10, 10]
        assert [engine.status.waiting for engine in engines] == [0, 0, 0]


def test_a_condition_on_a_code_that_is_translated_first_selects_nothing() -> None:
    assert route(when="data.item == 'ITEM-1'").selection is not None
    assert route(when="data.item == 'ITEM-1'", inbound={SOURCE: ITEMS}).selection is None
    assert route(when="data.order == 'o'", inbound={SOURCE: ITEMS}).selection is not None


async def test_types_and_plants_that_alternate_keep_their_order(tmp_path: Path) -> None:
    sink, other = ScriptedSink(), ScriptedSink()
    async with running(tmp_path) as rig:
        await rig.start(route(name="all"), sink, ORDERED)
        await rig.start(route(name="brno", plants=frozenset({"brno"})), other, ORDERED)
        await rig.append(
            *(structs.replace(order(n, "o"), plantid="brno" if n % 3 else "aachen") for n in range(60))
        )
        await until(lambda: len(sink.accepted) == 60 and len(other.accepted) == 40)
    assert sink.numbers == list(range(60))
    assert other.numbers == [n for n in range(60) if n % 3]


@pytest.mark.parametrize("offered", [True, False])
async def test_a_route_that_is_far_back_keeps_few_events_in_memory_and_misses_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offered: bool
) -> None:
    monkeypatch.setattr("router.dispatch.RECENT_EVENTS", 100)
    monkeypatch.setattr("router.dispatch.BUFFER_EVENTS", 20)
    async with running(tmp_path) as rig:
        feed = rig.dispatcher.feed(route(when="data.number >= 0"), 0)
        feed.take(0)
        await until(lambda: not feed.lagging)
        await rig.append(*(order(n, f"o{n}") for n in range(80)))
        later = [order(n, f"o{n}") for n in range(80, 250)]
        if not offered:  # nothing more is for it
            later = [structs.replace(event, type="com.crossplant.quality.hold.placed.v1") for event in later]
        await rig.append(*later)
        assert feed.lagging
        assert len(feed.waiting) == 20
        taken: list[int] = []

        def all_taken() -> bool:
            taken.extend(item.position for item in feed.take(7))
            return not feed.lagging and not feed.waiting

        await until(all_taken)
        assert taken == list(range(1, 251 if offered else 81))
        assert feed.passed == 250
        rig.dispatcher.drop(feed)


async def _fifty_more(rig: Rig, sink: ScriptedSink, first: int) -> None:
    await rig.append(*(order(n, f"o{n}") for n in range(first, first + 50)))
    await until(lambda: len(sink.accepted) == first + 50)


async def test_a_route_that_is_far_behind_makes_no_other_read_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router.dispatch.RECENT_EVENTS", 200)
    monkeypatch.setattr("router.dispatch.BUFFER_EVENTS", 40)
    gate, read = asyncio.Event(), list[str]()
    behind, current = ScriptedSink(), ScriptedSink()

    async def wait(_: Delivery) -> SinkOutcome:
        await gate.wait()
        return Accepted()

    behind.behave = wait
    async with running(tmp_path) as rig:
        slow = await rig.start(route(name="slow"), behind, SinkTraits(ordered=True, max_batch=20))
        fast = await rig.start(route(name="fast"), current, ORDERED)
        await until(lambda: not slow.feed.lagging and not fast.feed.lagging)
        events = rig.dispatcher.events

        async def counted(after: int, compiled: Route) -> tuple[list[Recorded], int]:
            read.append(compiled.name)
            return await events(after, compiled)

        monkeypatch.setattr(rig.dispatcher, "events", counted)
        for first in range(0, 1000, 50):
            await _fifty_more(rig, current, first)
        assert slow.feed.lagging
        assert not behind.accepted
        gate.set()  # it catches up while more comes in
        for first in range(1000, 1500, 50):
            await _fifty_more(rig, current, first)
        await until(lambda: len(behind.accepted) == 1500)
    assert "fast" not in read
    assert read.count("slow") > 1
    assert behind.numbers == current.numbers == list(range(1500))
