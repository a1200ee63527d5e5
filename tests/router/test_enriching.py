"""A route that enriches: waits for what is not known yet, in order per key, and reads anew each time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec import json, structs

from canonical.errors import Invalid, Rejected, TransientError, Unresolved
from canonical.expression import (
    ENRICHED_PART_VARIABLES,
    ENRICHED_VARIABLES,
    EVENT_VARIABLES,
    FieldMap,
    Template,
    compile_expression,
)
from canonical.ports import Accepted, Delivery, Failed, SinkOutcome
from canonical.spec import SinkTraits
from router import shadow
from router.crosswalk import Crosswalk
from router.engine import Engine
from router.enriching import EnrichSink
from router.enrichment import Bare, Enrichment, Known, NotKnown, Question, Reads, reads
from router.ratelimit import Limit
from router.recoverability import Policy
from router.routes import Route
from router.shadow import FAILURE, SHADOW_TRAITS, ShadowSink, shadowed
from router.splitting import Parts, SplitSink, Splitting
from tests.router.rig import TABLES, Behaviour, Rig, ScriptedSink, number_of, order, route, running, until
from tests.waiting import eventually

KEYED, ORDERED = SinkTraits(concurrency=4, lookup=True), SinkTraits(ordered=True, max_batch=7)
BOTH = pytest.mark.parametrize("traits", [KEYED, ORDERED])


class Target(ScriptedSink):
    """Can be asked for what it has; remembers what it was asked for."""

    def __init__(self, behave: Behaviour = lambda _: Accepted("ok")) -> None:
        super().__init__(behave)
        self.looked: list[Delivery] = []

    async def lookup(self, delivery: Delivery) -> Accepted | None:
        self.looked.append(delivery)
        known = {one.idempotency_key for one in self.accepted}
        return Accepted("found") if delivery.idempotency_key in known else None


class Models:
    """Knows what it is told, and counts how often it is asked."""

    def __init__(self, **known: Known) -> None:
        self.known: dict[str, Known] = dict(known)
        self.asked: list[set[Question]] = []
        self.away: TransientError | None = None

    async def find(self, questions: Iterable[Question]) -> Mapping[Question, Known | None]:
        self.asked.append(set(questions))
        if self.away is not None:
            raise self.away
        return {one: self.known.get(one.key) for one in questions}


def record(**fields: Any) -> Known:
    return Known(fields=fields)


def enrichment(missing: Any = "retry", key: str = "data.order", plant: str | None = None) -> Enrichment:
    return Enrichment(
        name="doc",
        service="production-orders",
        key=compile_expression(key),
        plant=compile_expression(plant) if plant else None,
        missing=missing,
        reads=Reads(fields=frozenset({"item", "note"}), needs=frozenset({"item"})),
    )


def enriching(missing: Any = "retry", **options: Any) -> Route:
    fields = {"n": "data.number", "item": "enrich.?doc.?item"}
    settings: dict[str, Any] = {
        "enrich": (enrichment(missing),),
        "fields": FieldMap(fields, ENRICHED_VARIABLES),
        **options,
    }
    return route(**settings)


async def start(
    rig: Rig, sink: Any, models: Models, traits: SinkTraits = KEYED, compiled: Route | None = None
) -> Engine:
    """The route at work, as the gateway builds it."""
    compiled = compiled or enriching()
    return await rig.start(compiled, EnrichSink(sink, compiled, models, lambda: rig.crosswalk), traits)


def items(sink: ScriptedSink) -> list[tuple[int, Any]]:
    return [(made["n"], made["item"]) for made in (json.decode(one.payload) for one in sink.accepted)]


def bare(compiled: Route, number: int = 1, key: str = "o1") -> Bare:
    made = compiled.deliver(order(number, key), Crosswalk())
    assert isinstance(made, Bare)
    return made


# ── what is asked, and what is made of the answer ────────────────────────────────────────────────


def test_the_event_s_own_plant_is_asked_unless_the_route_says_another() -> None:
    own = bare(enriching())
    assert own.questions == (Question("production-orders", "o1", "aachen"),)
    other = bare(enriching(enrich=(enrichment(plant="'brno'"),)))
    assert other.questions == (Question("production-orders", "o1", "brno"),)
    assert own.idempotency_key == route().deliver(order(1, "o1"), Crosswalk()).idempotency_key  # type: ignore[union-attr]


@pytest.mark.parametrize(("key", "asked"), [("data.number", "7"), ("'x' + data.order", "xo1")])
def test_a_key_is_text_or_a_whole_number(key: str, asked: str) -> None:
    made = enriching(enrich=(enrichment(key=key),)).deliver(order(7, "o1"), Crosswalk())
    assert isinstance(made, Bare)
    assert made.questions == (Question("production-orders", asked, "aachen"),)


@pytest.mark.parametrize("key", ["data.?gone", "''", "1.5", "true", "[data.order]"])
def test_without_a_key_there_is_nothing_to_wait_for(key: str) -> None:
    for missing in ("retry", "dead_letter"):
        with pytest.raises(Invalid, match=r"enrich\.doc: .* gives no key") as raised:
            enriching(enrich=(enrichment(missing, key),)).deliver(order(1, "o1"), Crosswalk())
        assert raised.value.code == "no_key"
    left = enriching(enrich=(enrichment("omit", key),)).deliver(order(1, "o1"), Crosswalk())
    assert isinstance(left, Bare)
    assert left.questions == (None,)


def test_the_condition_and_tests_come_before_any_question() -> None:
    assert enriching(when="data.number > 5").deliver(order(1, "o1"), Crosswalk()) is None
    test = structs.replace(order(1, "o1"), extensions={"testindicator": True})
    assert enriching().deliver(test, Crosswalk()) is None


def test_a_field_that_is_needed_and_not_known_yet_is_waited_for() -> None:
    compiled = enriching()
    made = bare(compiled)
    for known in (None, record(note="x")):
        with pytest.raises(NotKnown, match="production-orders"):
            compiled.complete(made, {made.questions[0]: known}, Crosswalk())  # type: ignore[dict-item]
    found = compiled.complete(made, {made.questions[0]: record(item="A")}, Crosswalk())  # type: ignore[dict-item]
    assert json.decode(found.payload) == {"n": 1, "item": "A"}


def test_only_a_code_that_the_route_reads_is_waited_for() -> None:
    compiled = enriching()
    made = bare(compiled)
    row = Unresolved(domain="item", system="erp", value="9", plant="aachen")
    for field, raises in (("note", True), ("customer", False)):
        known: Any = {made.questions[0]: Known(fields={"item": "A"}, unresolved=((field, row),))}
        if raises:
            with pytest.raises(Unresolved):
                compiled.complete(made, known, Crosswalk())
        else:
            assert compiled.complete(made, known, Crosswalk()).payload == b'{"n":1,"item":"A"}'


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["enrich.doc.item"], Reads(fields=frozenset({"item"}), needs=frozenset({"item"}))),
        (["enrich.doc.?item", "enrich.other.x"], Reads(fields=frozenset({"item"}))),
        (["has(enrich.doc.item) ? enrich.doc.item : ''"], Reads(fields=frozenset({"item"}))),
        (
            ["has(enrich.doc) ? enrich.doc.item : ''"],
            Reads(fields=frozenset({"item"}), needs=frozenset({"item"})),
        ),
        (
            ["enrich.doc.lines.map(l, l.item)"],
            Reads(fields=frozenset({"lines"}), needs=frozenset({"lines"})),
        ),
        (["enrich.doc"], Reads(every=True)),
        (["data.order"], Reads()),
    ],
)
def test_what_expressions_read_of_a_record(texts: list[str], expected: Reads) -> None:
    assert reads("doc", [compile_expression(text, ENRICHED_VARIABLES) for text in texts]) == expected


def test_templates_see_it_too() -> None:
    compiled = enriching(target={"path": Template("orders/{enrich.doc.item}", ENRICHED_VARIABLES)})
    made = bare(compiled)
    found = compiled.complete(made, {made.questions[0]: record(item="A")}, Crosswalk())  # type: ignore[dict-item]
    assert found.target == {"path": "orders/A"}


def split_route() -> Route:
    fields = FieldMap({"n": "item.n", "item": "enrich.doc.item"}, ENRICHED_PART_VARIABLES)
    return enriching(split=Splitting("data.lines"), fields=fields)


def test_a_route_that_splits_enriches_each_part() -> None:
    compiled = split_route()
    event = order(1, "o1")
    assert compiled.deliver(structs.replace(event, data={**event.data, "lines": []}), Crosswalk()) is None
    lines = structs.replace(event, data={**event.data, "lines": [{"n": 1}, {"n": 2}]})
    made = compiled.deliver(lines, Crosswalk())
    assert isinstance(made, Bare)
    parts = compiled.complete(made, {made.questions[0]: record(item="A")}, Crosswalk())  # type: ignore[dict-item]
    assert isinstance(parts, Parts)
    assert [json.decode(part.payload) for part in parts.parts] == [
        {"n": 1, "item": "A"},
        {"n": 2, "item": "A"},
    ]


# ── at work ──────────────────────────────────────────────────────────────────────────────────────


@BOTH
async def test_what_is_known_goes_out_with_it_and_is_read_once_for_all_of_a_call(
    tmp_path: Path, traits: SinkTraits
) -> None:
    sink, models = Target(), Models(o0=record(item="A"), o1=record(item="B"))
    async with running(tmp_path) as rig:
        await rig.append(*(order(n, f"o{n % 2}") for n in range(6)))
        engine = await start(rig, sink, models, traits)
        await until(lambda: engine.status.cursor >= 6)
    assert sorted(items(sink)) == [(n, "AB"[n % 2]) for n in range(6)]
    both = {Question("production-orders", key, "aachen") for key in ("o0", "o1")}
    if traits.ordered:
        assert models.asked == [both]  # each record once, however many events are about it
    else:
        assert set.union(*models.asked) == both


@BOTH
async def test_what_is_not_known_yet_waits_in_order_and_holds_no_other_key_back(
    tmp_path: Path, traits: SinkTraits
) -> None:
    sink, models = Target(), Models(o1=record(item="B"))
    async with running(tmp_path) as rig:
        engine = await start(rig, sink, models, traits)
        await rig.append(*(order(n, f"o{n % 2}") for n in range(8)))
        await until(lambda: engine.status.cursor >= 8)
        assert items(sink) == [(n, "B") for n in (1, 3, 5, 7)]
        [lane] = await rig.lanes()
        assert (lane.head.state, lane.head.code, lane.size) == ("retrying", "not_known", 4)
        assert engine.status.state == "flowing"
        models.known["o0"] = record(item="A")
        await until(rig.clear)
    assert items(sink)[4:] == [(n, "A") for n in (0, 2, 4, 6)]


async def test_what_waits_goes_on_waiting_over_a_restart(tmp_path: Path) -> None:
    sink, models = Target(), Models()
    async with running(tmp_path) as rig:
        engine = await start(rig, sink, models)
        await rig.append(*(order(n, "o0") for n in range(3)))
        await until(lambda: engine.status.cursor >= 3)
    assert items(sink) == []
    models.known["o0"] = record(item="A")
    async with running(tmp_path) as rig:
        await start(rig, sink, models)
        await until(rig.clear)
        assert await rig.letters() == []
    assert items(sink) == [(0, "A"), (1, "A"), (2, "A")]


async def test_after_the_give_up_age_it_is_a_dead_letter_that_a_retry_delivers(tmp_path: Path) -> None:
    sink, models = Target(), Models()
    policy = Policy(first_s=0.01, max_s=0.02, give_up_after_s=0.05)
    async with running(tmp_path) as rig:
        engine = await start(rig, sink, models, compiled=enriching(policy=policy))
        await rig.append(order(0, "o0"), order(1, "o0"))
        await eventually(rig.letters)
        [letter] = await rig.letters()
        assert (letter.code, letter.stage) == ("not_known", "processing")
        assert "gave up after" in letter.error
        assert "production-orders knows no 'o0' of plant aachen yet" in letter.error
        models.known["o0"] = record(item="A")
        engine.keeper.release("o0")
        await until(rig.clear)
    assert items(sink) == [(0, "A"), (1, "A")]


async def test_dead_letter_does_not_wait_and_omit_does_without(tmp_path: Path) -> None:
    sink, models = Target(), Models(o1=record(note="no item"))
    async with running(tmp_path) as rig:
        engine = await start(rig, sink, models, compiled=enriching("omit"))
        await rig.append(order(0, "o0"), order(1, "o1"))
        await until(lambda: engine.status.cursor >= 2)
        assert await rig.letters() == []
        other = await start(rig, sink, models, compiled=enriching("dead_letter", name="strict"))
        await until(lambda: other.status.cursor >= 2)
        await eventually(lambda: other.keeper.blocks("o0") and other.keeper.blocks("o1"))
        letters = await rig.letters()
    assert sorted(items(sink)) == [(0, None), (1, None)]
    assert {(letter.route, letter.code) for letter in letters} == {("strict", "not_known")}


@BOTH
async def test_an_unknown_code_in_a_record_parks_until_its_row_comes(
    tmp_path: Path, traits: SinkTraits
) -> None:
    row = Unresolved(domain="item", system="erp", value="9", plant="aachen")
    sink, models = Target(), Models(o0=Known(fields={}, unresolved=(("item", row),)))
    async with running(tmp_path) as rig:
        engine = await start(rig, sink, models, traits)
        await rig.append(order(0, "o0"), order(1, "o0"))
        await until(lambda: engine.status.cursor >= 2)
        [lane] = await rig.lanes()
        assert (lane.head.state, lane.head.code_domain, lane.head.code_value) == ("parked", "item", "9")
        models.known["o0"] = record(item="A")
        await rig.approve(domain="item", system="erp", plant="aachen", value="9", canonical="A")
        await until(rig.clear)
    assert items(sink) == [(0, "A"), (1, "A")]


@BOTH
async def test_while_the_read_models_cannot_be_asked_the_route_waits_at_its_place(
    tmp_path: Path, traits: SinkTraits
) -> None:
    sink, models = Target(), Models(o0=record(item="A"), o1=record(item="B"))
    models.away = TransientError("services is at position 1 of 9", retry_after_s=0.01)
    async with running(tmp_path) as rig:
        engine = await start(rig, sink, models, traits)
        await rig.append(*(order(n, f"o{n % 2}") for n in range(6)))
        await until(lambda: engine.status.state == "paused" and len(models.asked) > 3)
        assert "the read models could not be asked: services is at" in engine.status.reason
        assert (sink.calls, await rig.lanes(), await rig.letters()) == ([], [], [])
        models.away = None
        await until(lambda: engine.status.cursor >= 6)
    assert sorted(items(sink)) == [(n, "AB"[n % 2]) for n in range(6)]
    assert [n for n, item in items(sink) if item == "A"] == [0, 2, 4]


@BOTH
async def test_what_the_target_refuses_is_its_own_outcome(tmp_path: Path, traits: SinkTraits) -> None:
    def behave(delivery: Delivery) -> SinkOutcome:
        wrong = json.decode(delivery.payload)["n"] == 2
        return Failed(Rejected("no such item")) if wrong else Accepted("ok")

    sink, models = Target(behave), Models(o0=record(item="A"), o1=record(item="B"))
    async with running(tmp_path) as rig:
        engine = await start(rig, sink, models, traits)
        await rig.append(*(order(n, f"o{n % 2}") for n in range(4)))
        await until(lambda: engine.status.cursor >= 4)
        [letter] = await rig.letters()
    assert (letter.position, letter.stage) == (3, "sending")
    assert sorted(items(sink)) == [(0, "A"), (1, "B"), (3, "B")]


async def test_what_may_have_arrived_is_asked_for_as_it_would_be_sent() -> None:
    compiled, sink, models = enriching(), Target(), Models(o1=record(item="A"))
    over = EnrichSink(sink, compiled, models, Crosswalk)
    assert await over.lookup(bare(compiled)) is None
    await over.send([bare(compiled)])
    assert await over.lookup(bare(compiled)) == Accepted("found")
    assert sink.looked[0].payload == b'{"n":1,"item":"A"}'
    unknown = await over.lookup(bare(compiled, 2, "o2"))
    assert isinstance(unknown, Failed)
    assert isinstance(unknown.error, NotKnown)
    models.away = TransientError("behind")
    away = await over.lookup(bare(compiled))
    assert isinstance(away, Failed)
    assert isinstance(away.error, TransientError)
    assert away.error.outage


async def test_behind_one_that_fails_nothing_of_its_key_goes_out_in_the_same_call() -> None:
    compiled, sink, models = enriching(), Target(), Models(o2=record(item="B"))
    over = EnrichSink(sink, compiled, models, Crosswalk)
    given = [bare(compiled, 1, "o1"), bare(compiled, 2, "o2"), bare(compiled, 3, "o1")]
    first, second, third = await over.send(given)
    assert isinstance(first, Failed)
    assert second == Accepted("ok")
    assert type(third).__name__ == "NotTried"
    assert sink.numbers == [2]


async def test_what_only_waits_leaves_the_limit_to_what_can_be_sent() -> None:
    compiled, sink, models = enriching(), Target(), Models(o2=record(item="B"))
    share = Limit(1.0, clock=lambda: 0.0).share()
    over = EnrichSink(sink, compiled, models, Crosswalk, share)
    given = [bare(compiled, 1, "o1"), bare(compiled, 2, "o2"), bare(compiled, 3, "o3")]
    assert share.room() == 1
    outcomes = await over.send(given)
    assert [type(outcome).__name__ for outcome in outcomes] == ["Failed", "Accepted", "Failed"]
    assert share.room() == 0
    assert sink.numbers == [2]


async def test_at_a_limit_all_go_out_in_order_up_to_the_first_that_fails() -> None:
    def behave(delivery: Delivery) -> SinkOutcome:
        wrong = json.decode(delivery.payload)["n"] == 3
        return Failed(Rejected("no such item")) if wrong else Accepted("ok")

    compiled, sink, models = enriching(), Target(behave), Models(o1=record(item="A"))
    over = EnrichSink(sink, compiled, models, Crosswalk, Limit(10.0).share())  # one at once
    outcomes = await over.send([bare(compiled, n, "o1") for n in range(8)])
    told = [type(outcome).__name__ for outcome in outcomes]
    assert told == [*["Accepted"] * 3, "Failed", *["NotTried"] * 4]
    assert [number_of(one) for one in sink.calls] == [0, 1, 2, 3]


async def test_a_route_at_a_limit_delivers_everything(tmp_path: Path) -> None:
    compiled, sink, models = enriching(), Target(), Models(o0=record(item="A"), o1=record(item="B"))
    async with running(tmp_path) as rig:
        share = Limit(200.0).share()
        over = EnrichSink(sink, compiled, models, lambda: rig.crosswalk, share)
        engine = await rig.start(compiled, over, KEYED)
        await rig.append(*(order(n, f"o{n % 3}") for n in range(30)))
        await until(lambda: engine.status.cursor >= 30)
        assert sorted(items(sink)) == [(n, "AB"[n % 3]) for n in range(30) if n % 3 < 2]
        models.known["o2"] = record(item="C")
        await until(rig.clear)
    assert [n for n, item in items(sink) if item == "C"] == list(range(2, 30, 3))


async def test_a_split_route_goes_on_with_the_part_that_failed(tmp_path: Path) -> None:
    sick = [True]

    def behave(delivery: Delivery) -> SinkOutcome:
        if json.decode(delivery.payload)["n"] == 2 and sick:
            sick.pop()
            return Failed(TransientError("a fault of ours"))
        return Accepted("ok")

    compiled, sink, models = split_route(), Target(behave), Models(o1=record(item="A"))
    event = order(1, "o1")
    lines = structs.replace(event, data={**event.data, "lines": [{"n": n} for n in (1, 2, 3)]})
    async with running(tmp_path) as rig:
        over = SplitSink(sink, "orders", KEYED, rig.journal, limited=False)
        engine = await start(rig, over, models, KEYED, compiled)
        await rig.append(lines)
        await until(lambda: engine.status.cursor >= 1)
        await until(rig.clear)
    assert items(sink) == [(1, "A"), (2, "A"), (3, "A")]
    assert len({one.idempotency_key for one in sink.accepted}) == 3


async def test_a_shadow_records_what_a_live_route_would_wait_for(tmp_path: Path) -> None:
    compiled, models = shadowed(enriching()), Models(o1=record(item="A"))
    rig = Rig(tmp_path, tables=(*TABLES, *shadow.TABLES))
    await rig.open()
    try:
        over = ShadowSink("orders", rig.journal, lambda: datetime.now(UTC))
        engine = await start(rig, over, models, SHADOW_TRAITS, compiled)
        await rig.append(order(1, "o1"), order(2, "o2"))
        await until(lambda: engine.status.cursor >= 2)
        rows = await rig.journal.read(
            lambda t: t.execute("SELECT content_type, payload FROM shadows ORDER BY key")
        )
        assert await rig.clear()
    finally:
        await rig.stop()
    assert sorted(kind for kind, _ in rows) == ["application/json", FAILURE]
    told = {kind: json.decode(payload) for kind, payload in rows}
    assert told["application/json"] == {"n": 1, "item": "A"}
    assert told[FAILURE]["code"] == "not_known"


def test_a_route_that_does_not_enrich_knows_nothing_of_it() -> None:
    plain = route(map={"n": "data.number"}).deliver(order(1, "o1"), Crosswalk())
    assert plain is not None
    assert type(plain) is Delivery
    assert "enrich" not in EVENT_VARIABLES
