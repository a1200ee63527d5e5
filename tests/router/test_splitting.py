"""A route that splits: a delivery per element, in order, under keys of their own, settled when all are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec import json, structs

from canonical.errors import PermanentError, Rejected, TransientError
from canonical.event import Event
from canonical.expression import PART_VARIABLES, FieldMap
from canonical.ports import Accepted, Delivery, Failed, NotTried, SinkOutcome, Unknown
from canonical.spec import SinkTraits
from router.crosswalk import Crosswalk
from router.engine import Engine
from router.ratelimit import Limit
from router.splitting import MOST_PARTS, Parts, SplitSink, Splitting
from tests.router.rig import Rig, ScriptedSink, order, route, running, until

KEYED, ORDERED = SinkTraits(concurrency=4, lookup=True), SinkTraits(ordered=True, max_batch=7)
BOTH = pytest.mark.parametrize("traits", [KEYED, ORDERED])


def document(number: int, lines: int, key: str = "") -> Event:
    """An order event with lines."""
    made = order(number, key or f"o{number}")
    return structs.replace(made, data={**made.data, "lines": [{"n": n} for n in range(1, lines + 1)]})


def split_route(**options: Any) -> Any:
    fields = FieldMap({"doc": "data.number", "line": "item.n", "at": "number"}, PART_VARIABLES)
    return route(split=Splitting("data.lines"), fields=fields, **options)


class Lines(ScriptedSink):
    """Behind one that fails it tries none, as sinks do that keep an order."""

    async def send(self, deliveries: Sequence[Delivery]) -> Sequence[SinkOutcome]:
        outcomes: list[SinkOutcome] = []
        for delivery in deliveries:
            stopped = any(not isinstance(outcome, Accepted) for outcome in outcomes)
            outcomes.append(NotTried() if stopped else await self._one(delivery))
        return outcomes

    async def lookup(self, delivery: Delivery) -> Accepted | None:
        known = {one.idempotency_key for one in self.accepted}
        return Accepted("found") if delivery.idempotency_key in known else None


async def start(rig: Rig, sink: ScriptedSink, traits: SinkTraits, limit: Limit | None = None) -> Engine:
    """The route at work, as the gateway builds it."""
    over = SplitSink(sink, "orders", traits, rig.journal, limited=limit is not None)
    return await rig.start(split_route(), over, traits, limit.share() if limit else None)


def lines(sink: ScriptedSink) -> list[tuple[int, int]]:
    """(document, line) of what was accepted, in order."""
    return [(made["doc"], made["line"]) for made in (json.decode(one.payload) for one in sink.accepted)]


def in_order(got: list[tuple[int, int]]) -> bool:
    """Whether each document's lines came one after the other."""
    return all([n for d, n in got if d == one] == sorted(n for d, n in got if d == one) for one, _ in got)


def test_each_part_has_a_key_of_its_own_that_stays_the_same() -> None:
    first, again = (split_route().deliver(document(1, 3), Crosswalk(), attempt) for attempt in (1, 2))
    assert isinstance(first, Parts)
    assert isinstance(again, Parts)
    keys = [part.idempotency_key for part in first.parts]
    assert keys == [f"{first.idempotency_key}-{n}" for n in (1, 2, 3)]
    assert keys == [part.idempotency_key for part in again.parts]
    assert {part.key for part in first.parts} == {"o1"}
    assert [json.decode(part.payload) for part in first.parts] == [
        {"doc": 1, "line": n, "at": n} for n in (1, 2, 3)
    ]


def test_without_a_map_a_part_is_its_element() -> None:
    made = route(split=Splitting("data.lines.filter(l, l.n != 2)")).deliver(document(1, 3), Crosswalk())
    assert isinstance(made, Parts)
    assert [part.payload for part in made.parts] == [b'{"n":1}', b'{"n":3}']


def test_no_element_is_no_delivery() -> None:
    assert split_route().deliver(document(1, 0), Crosswalk()) is None


@pytest.mark.parametrize(("source", "words"), [("data.number", "gives no list"), ("data.gone", "gone")])
def test_what_is_no_list_is_a_fault_of_the_message(source: str, words: str) -> None:
    with pytest.raises(PermanentError, match=words):
        route(split=Splitting(source)).deliver(document(1, 1), Crosswalk())


def test_too_many_parts_are_refused() -> None:
    with pytest.raises(PermanentError, match=f"{MOST_PARTS + 1} parts are more than"):
        split_route().deliver(document(1, MOST_PARTS + 1), Crosswalk())


@BOTH
async def test_all_parts_arrive_in_order_and_then_the_document_is_settled(
    tmp_path: Path, traits: SinkTraits
) -> None:
    sink = Lines()
    async with running(tmp_path) as rig:
        engine = await start(rig, sink, traits)
        await rig.append(*(document(n, n % 5, f"o{n % 3}") for n in range(30)))
        await until(lambda: engine.status.cursor >= 30)
    assert sorted(lines(sink)) == [(n, line) for n in range(30) for line in range(1, n % 5 + 1)]
    assert in_order(lines(sink))
    for key in range(3):  # whole documents of one key one after the other
        mine = [doc for doc, _ in lines(sink) if doc % 3 == key]
        assert mine == sorted(mine)


@BOTH
async def test_what_failed_goes_on_with_the_part_that_failed(tmp_path: Path, traits: SinkTraits) -> None:
    sick = {1: 3}

    def behave(delivery: Delivery) -> SinkOutcome:
        made = json.decode(delivery.payload)
        if made["doc"] in sick and made["line"] == 3 and sick[made["doc"]]:
            sick[made["doc"]] -= 1
            return Failed(TransientError("a fault of ours"))
        return Accepted("ok")

    sink = Lines(behave)
    async with running(tmp_path) as rig:
        engine = await start(rig, sink, traits)
        await rig.append(*(document(n, 5) for n in range(4)))
        await until(lambda: engine.status.cursor >= 4)
        await until(rig.clear)
        kept = await rig.journal.read(lambda t: t.execute("SELECT * FROM split_progress"))
        assert kept == []
    assert Counter(lines(sink)) == Counter((n, line) for n in range(4) for line in range(1, 6))
    assert in_order(lines(sink))


@BOTH
async def test_the_rest_waits_in_the_lane_over_a_restart_and_nothing_is_sent_twice(
    tmp_path: Path, traits: SinkTraits
) -> None:
    sink = Lines(
        lambda d: Failed(Rejected("no such item")) if json.decode(d.payload)["line"] == 4 else Accepted("ok")
    )
    async with running(tmp_path) as rig:
        engine = await start(rig, sink, traits)
        await rig.append(document(7, 6), document(8, 2, "o7"))
        await until(lambda: engine.status.cursor >= 2)
        [lane] = await rig.lanes()
        assert (lane.head.state, lane.size) == ("dead", 2)
        assert lines(sink) == [(7, 1), (7, 2), (7, 3)]
    sink.behave = lambda _: Accepted("ok")
    async with running(tmp_path) as rig:
        engine = await start(rig, sink, traits)
        await until(lambda: engine.status.cursor >= 2)
        engine.keeper.release("o7")
        await until(rig.clear)
    assert lines(sink) == [*((7, n) for n in range(1, 7)), (8, 1), (8, 2)]


async def test_a_part_without_an_answer_is_asked_for(tmp_path: Path) -> None:
    mute = {2}
    sink = Lines()

    def behave(delivery: Delivery) -> SinkOutcome:
        line = json.decode(delivery.payload)["line"]
        if line in mute:
            mute.discard(line)
            sink.accepted.append(delivery)
            return Unknown(TransientError("no answer"))
        return Accepted("ok")

    sink.behave = behave
    async with running(tmp_path) as rig:
        engine = await start(rig, sink, KEYED)
        await rig.append(document(1, 4))
        await until(lambda: engine.status.cursor >= 1)
        await until(rig.clear)
    assert lines(sink) == [(1, n) for n in range(1, 5)]


@BOTH
async def test_the_rate_of_a_sink_counts_parts(tmp_path: Path, traits: SinkTraits) -> None:
    sink, now_s = Lines(), [0.0]
    limit = Limit(10.0, lambda: now_s[0])
    async with running(tmp_path) as rig:
        engine = await start(rig, sink, traits, limit)
        await rig.append(*(document(n, 6) for n in range(5)))

        def all_there() -> bool:
            assert len(sink.accepted) <= 10.0 * now_s[0] + 1
            now_s[0] += 0.05
            return len(sink.accepted) == 30

        await until(all_there)
        await until(lambda: engine.status.cursor >= 5)
    assert in_order(lines(sink))


async def test_a_document_that_is_sent_under_another_key_has_its_parts_under_it(tmp_path: Path) -> None:
    sink = Lines()
    async with running(tmp_path) as rig:
        made = split_route().deliver(document(1, 2), Crosswalk())
        over = SplitSink(sink, "orders", KEYED, rig.journal, limited=False)
        again = structs.replace(made, idempotency_key="orders:replay-7:abc")
        assert await over.send([again]) == [Accepted("ok, ok")]
    assert [one.idempotency_key for one in sink.accepted] == [
        "orders:replay-7:abc-1",
        "orders:replay-7:abc-2",
    ]
