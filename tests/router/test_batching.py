"""Several documents in one request: gathered, sent once, halved when refused, repeated as they were."""

from __future__ import annotations

import itertools
import random
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from msgspec import json, structs

from canonical.errors import CrossplantError, Invalid, Rejected, Stage, TransientError, Unauthorized
from canonical.ports import Accepted, Delivery, Failed, NotTried, SinkOutcome, Transaction, Unknown
from router.batches import TABLES
from router.batching import BatchSink
from router.engine import Engine
from router.journal import StorageError
from router.ratelimit import Limit
from router.routes import Route
from router.together import Batching, fed
from tests.router.rig import Rig, order, route, running, until

T = TypeVar("T")
Answer = Callable[[list[int]], SinkOutcome]
FOREVER_S = 3600.0


class Inbox:
    """A system that takes documents in requests; ``answer`` decides by their numbers."""

    def __init__(self, answer: Answer = lambda _: Accepted()) -> None:
        self.answer = answer
        self.requests: list[tuple[str, list[int]]] = []
        self.bodies: list[Delivery] = []
        self.numbers: list[int] = []
        self.found: Accepted | Failed | None = None
        self.looked_up: list[str] = []

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def send(self, deliveries: Sequence[Delivery]) -> Sequence[SinkOutcome]:
        [delivery] = deliveries
        numbers = [each["number"] for each in json.decode(delivery.payload)]
        self.requests.append((delivery.idempotency_key, numbers))
        self.bodies.append(delivery)
        outcome = self.answer(numbers)
        if isinstance(outcome, Accepted):
            self.numbers += numbers
        return [outcome]

    async def lookup(self, delivery: Delivery) -> Accepted | Failed | None:
        self.looked_up.append(delivery.idempotency_key)
        return self.found


class Disk:
    """A store of its own, for sinks without a hub; ``full`` takes nothing."""

    def __init__(self) -> None:
        self._rows = sqlite3.connect(":memory:", isolation_level=None)
        self._rows.execute(TABLES[0])
        self.full = False

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self._rows.execute(sql, parameters).fetchall()

    async def write(self, work: Callable[[Transaction], T]) -> T:
        if self.full:
            raise StorageError("the disk is full")
        return work(self)

    async def read(self, work: Callable[[Transaction], T]) -> T:
        return work(self)

    @property
    def rows(self) -> int:
        """Batches that are written down."""
        return int(self.execute("SELECT count(*) FROM batches")[0][0])


def batched(size: int = 8, within_s: float = 0.05, **options: Any) -> Route:
    return route(batch=Batching(size=size, within_s=within_s), **options)


def sink_of(
    inbox: Inbox, size: int = 8, *, looks_up: bool = False, disk: Disk | None = None, **options: Any
) -> BatchSink:
    batching = Batching(size=size, within_s=1.0, **options)
    return BatchSink(inbox, "orders", batching, disk or Disk(), looks_up=looks_up)


@asynccontextmanager
async def at_work(
    rig: Rig, inbox: Inbox, compiled: Route, *, looks_up: bool = False
) -> AsyncIterator[Engine]:
    batch = compiled.batch
    assert batch is not None
    sink = BatchSink(inbox, compiled.name, batch, rig.journal, looks_up=looks_up)
    yield await rig.start(compiled, sink, fed(batch))


def delivery(number: int, key: str = "", **options: Any) -> Delivery:
    event = order(number, key or f"o{number}")
    settings: dict[str, Any] = {
        "event": event,
        "payload": json.encode({"number": number}),
        "content_type": "application/json",
        "key": key or f"o{number}",
        "idempotency_key": f"orders:{number}",
    }
    return Delivery(**{**settings, **options})


def refuse(*bad: int, error: CrossplantError | None = None) -> Answer:
    """Refuses every request that holds one of these."""
    why = error or Rejected("HTTP 422", code="http_422")
    return lambda numbers: Failed(why) if set(numbers) & set(bad) else Accepted()


def at(engine: Engine, position: int) -> Callable[[], bool]:
    return lambda: engine.status.cursor >= position


# ── gathering ────────────────────────────────────────────────────────────────────────────────────


async def test_deliveries_wait_until_there_are_enough(tmp_path: Path) -> None:
    inbox = Inbox()
    async with running(tmp_path) as rig, at_work(rig, inbox, batched(3, FOREVER_S)) as engine:
        for number in range(7):
            await rig.append(order(number, f"o{number}"))
        await until(at(engine, 6))
        assert engine.status.waiting == 1
        assert [numbers for _, numbers in inbox.requests] == [[0, 1, 2], [3, 4, 5]]
    assert inbox.numbers == list(range(6))
    assert len({key for key, _ in inbox.requests}) == 2


async def test_what_waits_for_others_when_the_hub_stops_is_delivered_by_the_next_run(tmp_path: Path) -> None:
    inbox = Inbox()
    async with running(tmp_path) as rig, at_work(rig, inbox, batched(3, FOREVER_S)) as engine:
        await rig.append(*(order(n, f"o{n}") for n in range(4)))
        await until(at(engine, 3))
    assert inbox.numbers == [0, 1, 2]
    async with running(tmp_path) as rig, at_work(rig, inbox, batched(3, FOREVER_S)) as engine:
        await rig.append(*(order(n, f"o{n}") for n in (4, 5)))
        await until(at(engine, 6))
    assert inbox.numbers == list(range(6))


async def test_deliveries_wait_no_longer_than_they_may(tmp_path: Path) -> None:
    inbox = Inbox()
    async with running(tmp_path) as rig, at_work(rig, inbox, batched(500, 0.02)) as engine:
        for number in range(3):
            await rig.append(order(number, "o"))
            await until(at(engine, number + 1))
    assert [numbers for _, numbers in inbox.requests] == [[0], [1], [2]]


async def test_a_backlog_goes_out_in_full_batches_in_the_order_of_its_keys(tmp_path: Path) -> None:
    inbox = Inbox()
    async with running(tmp_path) as rig:
        await rig.append(*(order(n, f"o{n % 7}") for n in range(1000)))
        async with at_work(rig, inbox, batched(100, 0.02)) as engine:
            await until(at(engine, 1000))
    assert inbox.numbers == list(range(1000))
    assert [len(numbers) for _, numbers in inbox.requests] == [100] * 10


# ── what is wrong with one of them ───────────────────────────────────────────────────────────────


@pytest.mark.parametrize("bad", [0, 5, 15])
async def test_a_bad_document_is_found_by_halving_and_buried_alone(tmp_path: Path, bad: int) -> None:
    inbox = Inbox(refuse(bad))
    async with running(tmp_path) as rig, at_work(rig, inbox, batched(16, FOREVER_S)) as engine:
        await rig.append(*(order(n, f"o{n}") for n in range(16)))
        await until(at(engine, 16))
        [letter] = await rig.letters()
        assert letter.code == "http_422"
        [lane] = await rig.lanes()
        assert (lane.head.key, lane.size) == (f"o{bad}", 1)
    assert inbox.numbers == [n for n in range(16) if n != bad]
    assert len(inbox.requests) == 9  # the whole, and two halves at each of four steps


async def test_nothing_of_its_key_overtakes_a_bad_document(tmp_path: Path) -> None:
    inbox = Inbox(refuse(2))
    async with running(tmp_path) as rig, at_work(rig, inbox, batched(8, 0.02)) as engine:
        await rig.append(*(order(n, f"o{n % 2}") for n in range(16)))
        await until(at(engine, 16))
        assert len(await rig.letters()) == 1
        [lane] = await rig.lanes()
        assert (lane.head.key, lane.size) == ("o0", 7)
        assert inbox.numbers == [0, *range(1, 16, 2)]
        inbox.answer = lambda _: Accepted()
        assert engine.keeper.release("o0") == 7
        await until(rig.clear)
    assert inbox.numbers == [0, *range(1, 16, 2), *range(2, 16, 2)]


async def test_a_document_that_only_sometimes_fails_is_tried_again_alone(tmp_path: Path) -> None:
    tried = itertools.count()

    def answer(numbers: list[int]) -> SinkOutcome:
        if 3 in numbers and next(tried) < 6:
            return Failed(TransientError("HTTP 500", code="http_500"))
        return Accepted()

    inbox = Inbox(answer)
    async with running(tmp_path) as rig, at_work(rig, inbox, batched(8, 0.02)) as engine:
        await rig.append(*(order(n, f"o{n}") for n in range(8)))
        await until(at(engine, 8))
        await until(rig.clear)
        assert await rig.letters() == []
    assert sorted(inbox.numbers) == list(range(8))


@pytest.mark.parametrize(
    "error",
    [
        TransientError("HTTP 503", code="http_503", outage=True),
        Unauthorized("HTTP 401", code="http_401"),
        TransientError("HTTP 429", code="http_429", busy=True, retry_after_s=1.0),
    ],
    ids=["outage", "credentials", "throttled"],
)
async def test_where_the_sink_is_to_blame_nothing_is_halved(error: CrossplantError) -> None:
    inbox = Inbox(lambda _: Failed(error))
    outcomes = await sink_of(inbox).send([delivery(n) for n in range(5)])
    assert outcomes == [Failed(error), *[NotTried()] * 4]
    assert len(inbox.requests) == 1


async def test_a_sink_that_wants_fewer_requests_is_not_sent_more(tmp_path: Path) -> None:
    error = TransientError("HTTP 429", code="http_429", busy=True)
    inbox = Inbox(lambda _: Failed(error))
    assert await sink_of(inbox).send([delivery(n) for n in range(5)]) == [Failed(error)] * 5
    assert len(inbox.requests) == 1


async def test_a_sink_that_fails_at_everything_is_not_asked_for_every_document() -> None:
    error = TransientError("HTTP 500", code="http_500")
    inbox = Inbox(lambda _: Failed(error))
    outcomes = await sink_of(inbox, 64).send([delivery(n) for n in range(64)])
    assert outcomes == [Failed(error), *[NotTried()] * 63]
    assert [len(numbers) for _, numbers in inbox.requests] == [64, 32, 16, 8, 4, 2, 1]


async def test_a_request_that_cannot_be_made_is_halved_too() -> None:
    inbox = Inbox(refuse(1, error=Invalid("no path", code="path", stage=Stage.SENDING)))
    outcomes = await sink_of(inbox).send([delivery(n) for n in range(4)])
    assert [type(outcome) for outcome in outcomes] == [Accepted, Failed, Accepted, Accepted]


async def test_an_outage_pauses_and_the_backlog_comes_afterwards_in_order(tmp_path: Path) -> None:
    away = TransientError("refused", code="connection_refused", outage=True)
    inbox = Inbox(lambda _: Failed(away))
    async with running(tmp_path) as rig, at_work(rig, inbox, batched(8, 0.02)) as engine:
        await rig.append(*(order(n, f"o{n % 5}") for n in range(100)))
        await until(lambda: engine.breaker.pauses >= 3)
        assert await rig.lanes() == []
        inbox.answer = lambda _: Accepted()
        await until(at(engine, 100))
    assert inbox.numbers == list(range(100))


# ── what has no answer ───────────────────────────────────────────────────────────────────────────


def loses(answers: int) -> tuple[Answer, list[int]]:
    """Takes everything, but the first answers are lost; with the documents that arrived."""
    arrived: list[int] = []
    left = itertools.count()

    def answer(numbers: list[int]) -> SinkOutcome:
        arrived.extend(numbers)
        return Unknown(TransientError("no answer", code="timeout")) if next(left) < answers else Accepted()

    return answer, arrived


@pytest.mark.parametrize("lost", [1, 2, 5])
async def test_a_batch_without_an_answer_is_repeated_as_it_was(tmp_path: Path, lost: int) -> None:
    answer, arrived = loses(lost)
    inbox = Inbox(answer)
    async with running(tmp_path) as rig, at_work(rig, inbox, batched(8, 0.02)) as engine:
        await rig.append(*(order(n, f"o{n % 3}") for n in range(8)))
        await until(at(engine, 8))
        await rig.append(*(order(n, f"o{n % 3}") for n in range(8, 12)))
        await until(at(engine, 12))
        await until(rig.clear)
    under = {number: {key for key, numbers in inbox.requests if number in numbers} for number in range(12)}
    assert {len(keys) for keys in under.values()} == {1}
    assert [numbers for _, numbers in inbox.requests[: lost + 1]] == [list(range(8))] * (lost + 1)
    first = list(dict.fromkeys(arrived))
    assert sorted(first) == list(range(12))
    assert all([n for n in first if n % 3 == key] == list(range(key, 12, 3)) for key in range(3))


async def test_what_a_look_up_finds_is_not_sent_again(tmp_path: Path) -> None:
    answer, arrived = loses(1)
    inbox = Inbox(answer)
    inbox.found = Accepted("4711")
    async with (
        running(tmp_path) as rig,
        at_work(rig, inbox, batched(4, FOREVER_S), looks_up=True) as engine,
    ):
        await rig.append(*(order(n, f"o{n}") for n in range(4)))
        await until(at(engine, 4))
        await until(rig.clear)
    assert arrived == list(range(4))
    [(key, _)] = inbox.requests
    assert inbox.looked_up == [key]


async def test_a_look_up_without_an_answer_leaves_it_in_doubt() -> None:
    answer, arrived = loses(1)
    inbox = Inbox(answer)
    sink = sink_of(inbox, looks_up=True)
    two = [delivery(0), delivery(1)]
    assert [type(each) for each in await sink.send(two)] == [Unknown, NotTried]
    inbox.found = Failed(TransientError("away", code="connection_refused", outage=True))
    assert [type(each) for each in await sink.send(two)] == [Unknown, NotTried]
    assert arrived == [0, 1]
    inbox.found = None
    assert [type(each) for each in await sink.send(two)] == [Accepted, Accepted]
    assert arrived == [0, 1, 0, 1]


async def test_one_member_stands_for_its_batch_and_the_others_are_told() -> None:
    answer, _ = loses(1)
    inbox = Inbox(answer)
    sink = sink_of(inbox)
    three = [delivery(n) for n in range(3)]
    await sink.send(three)
    assert await sink.send([three[1]]) == [Accepted()]
    assert [numbers for _, numbers in inbox.requests] == [[0, 1, 2]] * 2
    assert await sink.send([three[2], three[0], delivery(3)]) == [Accepted()] * 3
    assert [numbers for _, numbers in inbox.requests[2:]] == [[3]]


async def test_what_was_edited_since_is_sent_as_it_is_now() -> None:
    answer, arrived = loses(1)
    sink = sink_of(Inbox(answer))
    two = [delivery(0), delivery(1)]
    await sink.send(two)
    edited = structs.replace(two[0], payload=b'{"number":9}')
    assert await sink.send([edited]) == [Accepted()]
    assert arrived == [0, 1, 9]
    assert await sink.send([two[1]]) == [Accepted()]
    assert await sink.send([edited]) == [Accepted()]
    assert arrived == [0, 1, 9, 0, 1, 9]


async def test_a_batch_in_doubt_that_is_refused_is_halved() -> None:
    inbox = Inbox(lambda _: Unknown(TransientError("no answer", code="timeout")))
    sink = sink_of(inbox)
    four = [delivery(n) for n in range(4)]
    await sink.send(four)
    inbox.answer = refuse(2)
    assert [type(each) for each in await sink.send(four)] == [Accepted, Accepted, Failed, Accepted]


async def test_a_batch_in_doubt_that_is_answered_busy_stays_together() -> None:
    """It may be the attempt before that is still at work there."""
    inbox = Inbox(lambda _: Unknown(TransientError("no answer", code="timeout")))
    sink = sink_of(inbox)
    two = [delivery(0), delivery(1)]
    await sink.send(two)
    busy = TransientError("HTTP 409", code="http_409", busy=True)
    inbox.answer = lambda _: Failed(busy)
    assert await sink.send(two) == [Failed(busy)] * 2
    inbox.answer = lambda _: Accepted()
    assert await sink.send(two) == [Accepted()] * 2
    assert len({key for key, _ in inbox.requests}) == 1


async def test_what_is_busy_for_good_is_found_in_a_batch_in_doubt_too() -> None:
    inbox = Inbox(lambda _: Unknown(TransientError("no answer", code="timeout")))
    sink = sink_of(inbox)
    two = [delivery(0), delivery(1)]
    await sink.send(two)
    inbox.answer = refuse(1, error=TransientError("HTTP 409", code="http_409", busy=True))
    tried = [[type(each) for each in await sink.send(two)] for _ in range(5)]
    assert tried == [[Failed, Failed]] * 4 + [[Accepted, Failed]]


async def test_behind_an_outage_a_batch_stays_what_it_is() -> None:
    """A gateway's 504 does not say whether the server behind it had it."""
    inbox = Inbox(lambda _: Failed(TransientError("HTTP 504", code="http_504", outage=True)))
    sink = sink_of(inbox)
    await sink.send([delivery(0), delivery(1)])
    inbox.answer = lambda _: Accepted()
    assert await sink.send([delivery(n) for n in range(3)]) == [Accepted()] * 3
    assert [numbers for _, numbers in inbox.requests] == [[0, 1], [0, 1], [2]]
    assert inbox.requests[0] == inbox.requests[1]


# ── over a kill ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("answers", [0, 1], ids=["answered, not settled", "no answer"])
async def test_after_a_kill_a_batch_is_the_same_whatever_comes_with_it(answers: int) -> None:
    answer, arrived = loses(answers)
    inbox, disk = Inbox(answer), Disk()
    await sink_of(inbox, disk=disk).send([delivery(n) for n in range(1, 4)])
    following = sink_of(inbox, disk=disk)
    assert await following.send([delivery(n) for n in (0, 3)]) == [Accepted()] * 2
    assert await following.send([delivery(n) for n in (1, 2, 4)]) == [Accepted()] * 3
    assert [numbers for _, numbers in inbox.requests] == [[1, 2, 3], [0], [1, 2, 3], [4]]
    assert inbox.requests[0] == inbox.requests[2]
    assert arrived == [1, 2, 3, 0, 1, 2, 3, 4]


async def test_after_a_kill_a_refused_batch_is_none_any_more() -> None:
    inbox, disk = Inbox(refuse(2)), Disk()
    four = [delivery(n) for n in range(4)]
    await sink_of(inbox, disk=disk).send(four)
    assert [numbers for _, numbers in inbox.requests] == [[0, 1, 2, 3], [0, 1], [2, 3], [2], [3]]
    inbox.answer = lambda _: Accepted()
    assert await sink_of(inbox, disk=disk).send(four) == [Accepted()] * 4
    assert [numbers for _, numbers in inbox.requests[5:]] == [[0, 1], [2], [3]]


async def test_a_batch_that_cannot_be_written_down_waits_for_the_disk() -> None:
    inbox, disk = Inbox(), Disk()
    sink = sink_of(inbox, disk=disk)
    two = [delivery(0), delivery(1)]
    for _ in range(2):  # before anything was read, and after
        disk.full = True
        failed, untried = await sink.send(two)
        assert isinstance(failed, Failed)
        assert isinstance(failed.error, TransientError)
        assert (failed.error.code, failed.error.outage, untried) == ("storage", True, NotTried())
        disk.full = False
        assert await sink.send([delivery(7)]) == [Accepted()]
    assert await sink.send(two) == [Accepted()] * 2
    assert [numbers for _, numbers in inbox.requests] == [[7], [7], [0, 1]]


async def test_what_is_kept_of_batches_does_not_grow() -> None:
    inbox, disk = Inbox(), Disk()
    for _ in range(2):
        sink = sink_of(inbox, 100, disk=disk)
        for first in range(0, 9000, 100):
            await sink.send([delivery(n) for n in range(first, first + 100)])
        assert 40 <= disk.rows <= 42


class Fickle:
    """A system with bad days, that knows keys: what it took under one it takes no second time."""

    def __init__(self, seed: int, bad: set[int]) -> None:
        self._random, self._bad = random.Random(seed), bad
        self.taken: dict[str, list[int]] = {}
        self.inbox = Inbox()
        self.inbox.send = self.send  # type: ignore[method-assign]

    async def send(self, deliveries: Sequence[Delivery]) -> Sequence[SinkOutcome]:
        [delivery] = deliveries
        numbers = [each["number"] for each in json.decode(delivery.payload)]
        if delivery.idempotency_key in self.taken:
            assert numbers == self.taken[delivery.idempotency_key]
            return [Accepted()]
        if self._bad & set(numbers):
            return [Failed(Rejected("HTTP 422", code="http_422"))]
        mood = self._random.choice(["well"] * 6 + ["lost", "late", "away", "sick"])
        if mood in {"well", "late"}:
            self.taken[delivery.idempotency_key] = numbers
        match mood:
            case "well":
                return [Accepted()]
            case "away":
                return [Failed(TransientError("HTTP 503", code="http_503", outage=True))]
            case "sick":
                return [Failed(TransientError("HTTP 500", code="http_500"))]
            case _:
                return [Unknown(TransientError("no answer", code="timeout"))]


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_the_target_does_each_document_takes_effect_once_and_in_order(
    tmp_path: Path, seed: int
) -> None:
    """Over orderly restarts, too, in the middle of what the target does."""
    number, bad = 240, {31, 77, 78, 150}
    target = Fickle(seed, bad)
    held = {n for n in range(number) if any(n % 9 == b % 9 and n >= b for b in bad)}
    wanted = set(range(number)) - held
    for round_ in range(3):
        async with running(tmp_path) as rig, at_work(rig, target.inbox, batched(8, 0.01)):
            await rig.append(*(order(n, f"o{n % 9}") for n in range(round_ * 80, round_ * 80 + 80)))
            reached = len(target.taken) + 5
            await until(lambda reached=reached: len(target.taken) >= reached)  # type: ignore[misc]
    async with running(tmp_path) as rig, at_work(rig, target.inbox, batched(8, 0.01)) as engine:

        async def settled() -> bool:
            heads = {lane.head.state for lane in await rig.lanes()}
            return engine.status.cursor >= number and heads <= {"dead"}

        await until(settled, 60)
        assert len(await rig.letters()) == len({b % 9 for b in bad})
    effects = [n for numbers in target.taken.values() for n in numbers]
    assert sorted(effects) == sorted(wanted)
    for key in range(9):
        mine = [n for n in effects if n % 9 == key]
        assert mine == sorted(mine)


# ── the request ──────────────────────────────────────────────────────────────────────────────────


async def test_documents_for_different_places_go_out_in_different_requests_in_order() -> None:
    inbox = Inbox()
    here, there = {"path": "here"}, {"path": "there"}
    sent = [delivery(n, target=target) for n, target in enumerate([here, here, there, here])]
    assert await sink_of(inbox).send(sent) == [Accepted()] * 4
    assert [numbers for _, numbers in inbox.requests] == [[0, 1], [2], [3]]
    assert [body.target for body in inbox.bodies] == [here, there, here]


class Raw(Inbox):
    """Keeps what it is sent, whatever it is."""

    async def send(self, deliveries: Sequence[Delivery]) -> Sequence[SinkOutcome]:
        self.bodies += deliveries
        return [Accepted("r1")] * len(deliveries)


async def test_the_body_is_an_array_or_lines_and_every_member_has_its_receipt() -> None:
    inbox = Raw()
    two = [delivery(0), delivery(1)]
    assert await sink_of(inbox).send(two) == [Accepted("r1")] * 2
    assert await sink_of(inbox, form="lines").send(two) == [Accepted("r1")] * 2
    events = [structs.replace(one, content_type="application/cloudevents+json; charset=utf-8") for one in two]
    await sink_of(inbox).send(events)
    assert [(one.payload, one.content_type) for one in inbox.bodies] == [
        (b'[{"number":0},{"number":1}]', "application/json"),
        (b'{"number":0}\n{"number":1}\n', "application/x-ndjson"),
        (b'[{"number":0},{"number":1}]', "application/cloudevents-batch+json; charset=utf-8"),
    ]


async def test_a_request_carries_a_trace_only_where_all_its_documents_share_it() -> None:
    inbox = Raw()
    one, other = (
        delivery(n, event=structs.replace(order(n, "o"), correlationid=f"c{n}", traceparent="00-aa"))
        for n in range(2)
    )
    await sink_of(inbox).send([one, other])
    assert (inbox.bodies[0].event.correlationid, inbox.bodies[0].event.traceparent) == (None, "00-aa")


async def test_a_limit_counts_requests() -> None:
    inbox = Inbox()
    share = Limit(10.0).share()
    batching = Batching(size=50, within_s=1.0)
    sink = BatchSink(inbox, "orders", batching, Disk(), looks_up=False, share=share)
    assert await sink.send([delivery(n) for n in range(50)]) == [Accepted()] * 50
    assert len(inbox.requests) == 1
    assert share.room() == 0
    share.leave()
