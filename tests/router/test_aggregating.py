"""A route that aggregates: groups end by number, condition or time, exist once, and are delivered as one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from msgspec import json, structs

from canonical import catalogue
from canonical.errors import Rejected, TransientError
from canonical.event import Event
from canonical.expression import FieldMap
from canonical.ports import Accepted, Delivery, Failed, SinkOutcome
from canonical.spec import SinkTraits
from router.aggregating import TRAITS, AggregateSink
from router.crosswalk import Crosswalk
from router.engine import Engine
from router.grouping import COMPLETED, MOST_MEMBERS, Aggregation, Group, Member, completed
from router.ratelimit import Limit, Share
from router.routes import AGGREGATED
from tests.router.rig import Rig, ScriptedSink, order, route, running, until

FIELDS = FieldMap({"group": "data.group", "ns": "data.items.map(i, i.number)", "why": "data.why"})


def aggregating(aggregation: Aggregation, **options: Any) -> Any:
    """The route of production orders, with its own groups."""
    types = frozenset({catalogue.full_name("production.order.created"), AGGREGATED})
    return route(aggregate=aggregation, types=types, fields=FIELDS, **options)


@asynccontextmanager
async def at_work(
    rig: Rig,
    sink: ScriptedSink,
    aggregation: Aggregation,
    clock: Any = lambda: datetime.now(UTC),
    share: Share | None = None,
    **options: Any,
) -> AsyncIterator[Engine]:
    """The route as the gateway builds it."""
    over = AggregateSink(
        sink, "orders", SinkTraits(), aggregation, rig.journal, rig.journal, clock, rig.log, share
    )
    over.start()
    try:
        yield await rig.start(aggregating(aggregation, **options), over, TRAITS)
    finally:
        over.stop()


def bodies(sink: ScriptedSink) -> list[tuple[str, list[int], str]]:
    """(group, numbers, why) of what was accepted."""
    made = [json.decode(one.payload) for one in sink.accepted]
    return [(each["group"], each["ns"], each["why"]) for each in made]


def arrived(sink: ScriptedSink, number: int) -> bool:
    return len(sink.accepted) == number


def reached(engine: Engine, position: int) -> bool:
    return engine.status.cursor >= position


async def kept(rig: Rig) -> int:
    rows = await rig.journal.read(
        lambda t: t.execute("SELECT count(*) FROM aggregates WHERE data IS NOT NULL")
    )
    return int(rows[0][0])


def member(number: int, at: float = 0.0, plant: str | None = "aachen") -> Member:
    return Member(key=f"orders:{number}", group="g", data={"number": number}, at=at, plant=plant)


def test_a_completed_group_is_a_sound_event_with_the_identity_of_its_first_member() -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    group = Group(name="g", members=[member(1, 10.0), member(2, 20.0)])
    made = completed("orders", group, "count", now)
    assert catalogue.validate(COMPLETED, made.data) == []
    assert made == completed("orders", group, "count", now)
    other = Group(name="g", members=[member(3, 10.0)])
    assert completed("orders", other, "count", now).id != made.id
    assert (made.subject, made.plantid, made.partitionkey) == ("orders/g", "aachen", "X:group:orders/g")
    mixed = Group(name="g", members=[member(1), member(2, plant="brno")])
    assert completed("orders", mixed, "count", now).plantid is None


def test_a_group_has_an_end_in_any_case() -> None:
    endless = Aggregation(when="false")
    group = Group(name="g", members=[member(n) for n in range(MOST_MEMBERS)])
    assert endless.complete(group) == "count"


async def test_groups_end_by_number_and_arrive_in_order(tmp_path: Path) -> None:
    sink = ScriptedSink()
    async with running(tmp_path) as rig, at_work(rig, sink, Aggregation("data.order", count=3)) as engine:
        await rig.append(*(order(n, f"o{n % 2}") for n in range(14)))
        await until(lambda: len(sink.accepted) == 4)
        await until(lambda: engine.status.waiting == 0)
        assert await kept(rig) == 2
    assert sorted(bodies(sink)) == [
        ("o0", [0, 2, 4], "count"),
        ("o0", [6, 8, 10], "count"),
        ("o1", [1, 3, 5], "count"),
        ("o1", [7, 9, 11], "count"),
    ]
    for name in ("o0", "o1"):
        mine = [numbers for group, numbers, _ in bodies(sink) if group == name]
        assert mine == sorted(mine)
    assert len({one.idempotency_key for one in sink.accepted}) == 4


async def test_a_group_ends_by_a_condition_over_what_it_has(tmp_path: Path) -> None:
    sink = ScriptedSink()
    aggregation = Aggregation("'all'", when="sum(items.map(i, i.number)) >= 10")
    async with running(tmp_path) as rig, at_work(rig, sink, aggregation):
        await rig.append(*(order(n, "o") for n in range(8)))
        await until(lambda: len(sink.accepted) == 2)
    assert bodies(sink) == [("all", [0, 1, 2, 3, 4], "condition"), ("all", [5, 6], "condition")]


async def test_a_condition_that_fails_is_a_dead_letter_of_that_event_only(tmp_path: Path) -> None:
    sink = ScriptedSink()
    aggregation = Aggregation("'all'", count=3, when="10 / data.number == 1")
    async with running(tmp_path) as rig, at_work(rig, sink, aggregation):
        await rig.append(*(order(n, f"o{n}") for n in (3, 0, 4, 5)))
        await until(lambda: len(sink.accepted) == 1)
        await until(rig.letters)
        [letter] = await rig.letters()
        assert letter.code == "expression"
    assert bodies(sink) == [("all", [3, 4, 5], "count")]


async def test_a_group_ends_by_time_over_a_restart_too(tmp_path: Path) -> None:
    sink, now = ScriptedSink(), [datetime(2026, 3, 1, tzinfo=UTC)]
    aggregation = Aggregation("data.order", within_s=60.0)
    async with running(tmp_path) as rig, at_work(rig, sink, aggregation, lambda: now[0]) as engine:
        await rig.append(*(order(n, "o") for n in range(3)))
        await until(lambda: engine.status.cursor >= 3)
        assert await kept(rig) == 3
    assert sink.accepted == []
    now[0] += timedelta(seconds=61)
    async with running(tmp_path) as rig, at_work(rig, sink, aggregation, lambda: now[0]):
        await until(lambda: len(sink.accepted) == 1)
        assert await kept(rig) == 0
    assert bodies(sink) == [("o", [0, 1, 2], "time")]


async def test_a_group_goes_on_where_it_was_after_a_restart(tmp_path: Path) -> None:
    sink, aggregation = ScriptedSink(), Aggregation("data.order", count=4)
    for first in range(0, 8, 2):
        async with running(tmp_path) as rig, at_work(rig, sink, aggregation) as engine:
            await rig.append(order(first, "o"), order(first + 1, "o"))
            head = rig.journal.head
            await until(partial(reached, engine, head))
            await until(partial(arrived, sink, (first + 2) // 4))
    assert bodies(sink) == [("o", [0, 1, 2, 3], "count"), ("o", [4, 5, 6, 7], "count")]


async def test_what_comes_again_after_a_crash_is_not_kept_twice(tmp_path: Path) -> None:
    sink, aggregation = ScriptedSink(), Aggregation("data.order", count=3)
    async with running(tmp_path) as rig, at_work(rig, sink, aggregation):
        await rig.append(*(order(n, "o") for n in range(5)))
        await until(lambda: len(sink.accepted) == 1)
        await until(lambda: rig.journal.head == 6)
    async with running(tmp_path) as rig:
        # As if nothing had been settled: a kill right after the commit that kept them.
        await rig.journal.write(lambda t: t.execute("DELETE FROM cursors"))
        await rig.journal.write(lambda t: t.execute("DELETE FROM deliveries"))
        async with at_work(rig, sink, aggregation) as engine:
            await until(lambda: engine.status.cursor >= 6)
            assert await kept(rig) == 2
            await rig.append(order(5, "o"))
            await until(lambda: len({one.idempotency_key for one in sink.accepted}) == 2)
    assert {(group, tuple(ns)) for group, ns, _ in bodies(sink)} == {("o", (0, 1, 2)), ("o", (3, 4, 5))}


async def test_a_group_that_is_refused_is_a_dead_letter_and_the_others_flow(tmp_path: Path) -> None:
    def behave(delivery: Delivery) -> SinkOutcome:
        refused = json.decode(delivery.payload)["group"] == "o0"
        return Failed(Rejected("no")) if refused else Accepted("ok")

    sink = ScriptedSink(behave)
    async with running(tmp_path) as rig, at_work(rig, sink, Aggregation("data.order", count=2)):
        await rig.append(*(order(n, f"o{n % 3}") for n in range(6)))
        await until(lambda: len(sink.accepted) == 2)
        await until(rig.letters)
        [letter] = await rig.letters()
        assert letter.type == AGGREGATED


async def test_collecting_does_not_end_the_pause_of_a_sink_that_is_away(tmp_path: Path) -> None:
    away = [True]
    sink = ScriptedSink(
        lambda _: Failed(TransientError("refused", outage=True)) if away[0] else Accepted("ok")
    )
    async with running(tmp_path) as rig, at_work(rig, sink, Aggregation("data.order", count=2)) as engine:
        await rig.append(*(order(n, "o") for n in range(2)))
        await until(lambda: engine.breaker.pauses >= 3)
        await rig.append(*(order(n, "o") for n in range(2, 6)))
        pauses = engine.breaker.pauses
        await until(lambda: engine.breaker.pauses >= pauses + 2)
        away[0] = False
        await until(lambda: len(sink.accepted) == 3)
    assert [numbers for _, numbers, _ in bodies(sink)] == [[0, 1], [2, 3], [4, 5]]


async def test_the_rate_of_a_sink_counts_groups_not_events(tmp_path: Path) -> None:
    now_s = [0.0]
    sink, limit = ScriptedSink(), Limit(1.0, lambda: now_s[0])
    async with (
        running(tmp_path) as rig,
        at_work(rig, sink, Aggregation("data.order", count=10), share=limit.share()) as engine,
    ):
        await rig.append(*(order(n, "o") for n in range(30)))
        await until(lambda: len(sink.accepted) == 1)
        await until(lambda: rig.journal.head == 33)
        assert len(sink.accepted) == 1
        assert await kept(rig) == 0
        for more in (2, 3):
            now_s[0] += 1.0
            await until(partial(arrived, sink, more))
        await until(lambda: engine.status.waiting == 0)


def test_another_routes_groups_are_passed_over() -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    made: Event = completed("others", Group(name="g", members=[member(1)]), "count", now)
    assert aggregating(Aggregation(count=2)).deliver(made, Crosswalk()) is None
    own = structs.replace(made, data={**made.data, "route": "orders"})
    assert aggregating(Aggregation(count=2)).deliver(own, Crosswalk()).payload == (
        b'{"group":"g","ns":[1],"why":"count"}'
    )
