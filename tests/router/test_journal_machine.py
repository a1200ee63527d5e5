"""A state machine over the journal: any course of appends, dispatches, settlements, crashes and compactions.

A crash is the data folder as it lies on the disk at a moment inside a commit, copied in the writer's own
thread; the hub that goes on afterwards opens the copy. The model is a list of events and what each route did.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import threading
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar
from unittest.mock import patch

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from canonical.event import Event, encode
from canonical.ports import Outcome, Recorded, Transaction
from router import lanes
from router.journal import IngestBatch, Settlement, writer
from router.journal.retention import Retention
from router.journal.sqlite import SQLiteJournal
from router.spans import positions, spans
from tests.router.rig import message, order

T = TypeVar("T")
Identity = tuple[str, str]
Moment = Literal["journal.before_commit", "journal.after_commit"]
SOURCES = ("/mes", "/erp")
ROUTES = ("out", "archive")
AT = datetime(2026, 3, 1, tzinfo=UTC)

said = st.tuples(st.sampled_from(SOURCES), st.integers(0, 60), st.sampled_from([0, 0, 0, 1]))
"""(source, number, what): the same number with another ``what`` is a conflict."""


def event(what: tuple[str, int, int]) -> Event:
    source, number, value = what
    made = order(number, f"key-{number % 5}")
    return msgspec.structs.replace(
        made, source=source, time=AT, recordedtime=AT, data={"number": number, "value": value}
    )


def batch_of(events: Sequence[Event]) -> IngestBatch:
    return IngestBatch(adapter="mes", messages=[message(each) for each in events])


@dataclass(slots=True)
class Place:
    """What a route did: ``cursor`` as handed in, ``durable`` as known to be on the disk."""

    cursor: int = 0
    durable: int = 0
    handed_in: list[int] = field(default_factory=list)


class JournalMachine(RuleBasedStateMachine):
    """One journal, two routes."""

    def __init__(self) -> None:
        super().__init__()
        self._runner = asyncio.Runner()
        self._home = tempfile.TemporaryDirectory()
        self._lives = 0
        self._folder = Path(self._home.name) / "0"
        self._moment: Moment | None = None
        self._awaited = 0
        self._patched = patch.object(writer, "failpoint", self._at)
        self._patched.start()

    @initialize()
    def begin(self) -> None:
        self.events: list[Event] = []  # by position, from 1 on
        self.known: dict[Identity, tuple[int, int]] = {}
        self.gone = 0  # positions up to here were compacted away
        self.places = {name: Place() for name in ROUTES}
        self._retention = Retention()
        self._run(self._open())
        for name in ROUTES:
            self._settle(name, 0, [])
        self._flush()

    def teardown(self) -> None:
        self._patched.stop()
        if hasattr(self, "journal"):
            self._run(self.journal.close())
        self._runner.close()
        self._home.cleanup()

    # ── the machinery ────────────────────────────────────────────────────────────────────────────

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    async def _open(self) -> None:
        self.journal = SQLiteJournal(self._folder, tables=lanes.TABLES, retention=self._retention)
        await self.journal.open()

    def _at(self, name: str) -> None:
        """In the writer's thread: the disk as it is at this moment of the commit that was waited for."""
        if name == self._moment and len(self.journal._new) == self._awaited:
            self._moment = None
            shutil.copytree(self._folder, self._next_life)

    @property
    def _next_life(self) -> Path:
        return Path(self._home.name) / f"{self._lives + 1}"

    def _settle(self, route: str, position: int, delivered: Sequence[int]) -> None:
        place = self.places[route]
        place.cursor = position
        place.handed_in.append(position)
        settlement = Settlement(route=route, position=position, delivered=spans(delivered, {}), at=1.0)

        async def hand_in() -> None:
            self.journal.settle(settlement)

        self._run(hand_in())

    def _flush(self) -> None:
        self._run(self.journal.write(lambda _: None))
        for place in self.places.values():
            place.durable, place.handed_in = place.cursor, []

    def _expected(self, events: Sequence[Event]) -> tuple[list[str], list[tuple[int, ...]], list[Event]]:
        """(statuses, positions, new events) of a batch with one event a message."""
        statuses, where, new = list[str](), list[tuple[int, ...]](), list[Event]()
        seen = dict(self.known)
        for each in events:
            identity, value = (each.source, each.id), each.data["value"]
            known = seen.get(identity)
            if known is None:
                position = len(self.events) + len(new) + 1
                seen[identity] = (position, value)
                new.append(each)
                statuses.append("accepted")
                where.append((position,))
            elif known[1] == value:
                statuses.append("duplicate")
                where.append((known[0],))
            else:
                statuses.append("conflict")
                where.append(())
        return statuses, where, new

    def _recorded(self, new: Sequence[Event]) -> None:
        for each in new:
            self.events.append(each)
            self.known[each.source, each.id] = (len(self.events), each.data["value"])

    def _checked(self, events: Sequence[Event], outcomes: Sequence[Outcome]) -> None:
        statuses, where, new = self._expected(events)
        assert [outcome.status for outcome in outcomes] == statuses
        assert [outcome.positions for outcome in outcomes] == where
        self._recorded(new)

    # ── what happens ─────────────────────────────────────────────────────────────────────────────

    @rule(what=st.lists(said, min_size=1, max_size=6))
    def append(self, what: list[tuple[str, int, int]]) -> None:
        events = [event(each) for each in what]
        self._checked(events, self._run(self.journal.append(batch_of(events))))

    @rule(first=st.integers(0, 50), count=st.integers(1, 12), source=st.sampled_from(SOURCES))
    def append_what_grows(self, first: int, count: int, source: str) -> None:
        self.append([(source, number, 0) for number in range(first, first + count)])

    @rule(several=st.lists(st.lists(said, min_size=1, max_size=3), min_size=2, max_size=4))
    def append_at_once(self, several: list[list[tuple[str, int, int]]]) -> None:
        batches = [[event(each) for each in what] for what in several]

        async def together() -> list[Sequence[Outcome]]:
            return await asyncio.gather(*(self.journal.append(batch_of(each)) for each in batches))

        for events, outcomes in zip(batches, self._run(together()), strict=True):
            self._checked(events, outcomes)

    @rule(what=st.lists(said, min_size=1, max_size=4))
    def append_what_its_owner_takes_back(self, what: list[tuple[str, int, int]]) -> None:
        batch = msgspec.structs.replace(batch_of([event(each) for each in what]), within=_taken_back)
        try:
            self._run(self.journal.append(batch))
        except LookupError:
            return
        raise AssertionError("it was taken")

    @rule(
        several=st.lists(st.lists(said, min_size=1, max_size=3), min_size=2, max_size=4),
        which=st.integers(0, 3),
    )
    def append_at_once_and_take_one_back(self, several: list[list[tuple[str, int, int]]], which: int) -> None:
        """In one transaction, whose other appends stay: the writer is held until all are there."""
        batches = [[event(each) for each in what] for what in several]
        fails = which % len(batches)

        async def together() -> list[Sequence[Outcome] | BaseException]:
            there = threading.Event()
            held = asyncio.create_task(self.journal.write(lambda _: there.wait(10)))
            appends = [
                asyncio.create_task(
                    self.journal.append(
                        msgspec.structs.replace(
                            batch_of(each), within=_taken_back if index == fails else None
                        )
                    )
                )
                for index, each in enumerate(batches)
            ]
            await asyncio.sleep(0)  # they are handed in
            there.set()
            await held
            return await asyncio.gather(*appends, return_exceptions=True)

        for index, (events, outcomes) in enumerate(zip(batches, self._run(together()), strict=True)):
            if index == fails:
                assert isinstance(outcomes, LookupError)
            else:
                assert not isinstance(outcomes, BaseException)
                self._checked(events, outcomes)
        for place in self.places.values():
            place.durable, place.handed_in = place.cursor, []

    @rule(name=st.sampled_from(ROUTES), limit=st.integers(1, 8), parks=st.lists(st.booleans(), max_size=8))
    def dispatch(self, name: str, limit: int, parks: list[bool]) -> None:
        """The route takes what comes next; some is parked first, then all of it is settled."""
        cursor = self.places[name].cursor
        found, reached = self._run(self.journal.events(cursor, limit=limit))
        wanted = self.events[cursor : cursor + max(limit, len(found))]
        assert [item.event.id for item in found] == [each.id for each in wanted[: len(found)]]
        assert len(found) >= min(limit, len(wanted))
        assert [item.position for item in found] == list(range(cursor + 1, cursor + 1 + len(found)))
        if not found:
            return
        aside = [item for item, parked in zip(found, parks, strict=False) if parked]
        if aside:
            self._run(self.journal.write(lambda t: _park(t, name, aside)))
            for place in self.places.values():
                place.durable, place.handed_in = place.cursor, []
        delivered = [item.position for item in found if item not in aside]
        self._settle(name, reached, delivered)

    @rule()
    def settle_by_time(self) -> None:
        self._flush()

    @rule(moment=st.sampled_from(["journal.before_commit", "journal.after_commit"]), what=st.lists(said))
    def crash(self, moment: Moment, what: list[tuple[str, int, int]]) -> None:
        """While an append commits: afterwards the source does not know, and sends it again."""
        events = [event(each) for each in what]
        _, _, new = self._expected(events)
        self._moment, self._awaited = moment, len(new)
        self._run(self.journal.append(batch_of(events)))
        self._run(self.journal.close())
        self._lives += 1
        self._folder = Path(self._home.name) / f"{self._lives}"
        self._run(self._open())
        if moment == "journal.after_commit":
            self._recorded(new)
        assert self.journal.head == len(self.events)
        self._look_at_cursors()
        self._checked(events, self._run(self.journal.append(batch_of(events))))

    def _look_at_cursors(self) -> None:
        """A cursor is one that was handed in, and no older than what is known to be on the disk."""
        found = self._run(self.journal.cursors())
        for name, place in self.places.items():
            assert found[name] in {place.durable, *place.handed_in}
            place.cursor = place.durable = found[name]
            place.handed_in = []

    @rule()
    def close_and_open(self) -> None:
        self._run(self.journal.close())
        for place in self.places.values():
            place.durable, place.handed_in = place.cursor, []
        self._run(self._open())

    @rule()
    @precondition(lambda self: self.events)
    def compact(self) -> None:
        """Nothing that a route has not passed goes, and what goes, goes from the front."""
        self._flush()
        self._retention.retain_s = -1.0
        self._run(self.journal.retain())
        self._retention.retain_s = 1e9
        found, _ = self._run(self.journal.events(0, limit=10_000))
        first = found[0].position if found else len(self.events) + 1
        passed = min(place.cursor for place in self.places.values())
        assert self.gone < first <= passed + 1
        self.gone = first - 1

    # ── what always holds ────────────────────────────────────────────────────────────────────────

    @invariant()
    def what_was_acknowledged_is_there_once_and_in_order(self) -> None:
        if not hasattr(self, "journal"):
            return
        found, reached = self._run(self.journal.events(0, limit=10_000))
        assert self.journal.head == len(self.events)
        assert [item.position for item in found] == list(range(self.gone + 1, len(self.events) + 1))
        assert [(i.event.source, i.event.id, i.event.data) for i in found] == [
            (each.source, each.id, each.data) for each in self.events[self.gone :]
        ]
        assert reached == (len(self.events) if found else 0)

    @invariant()
    def no_cursor_on_the_disk_has_passed_what_is_neither_delivered_nor_in_a_lane(self) -> None:
        if not hasattr(self, "journal"):
            return
        cursors, covered = self._run(self.journal.read(_covered))
        for name, cursor in cursors.items():
            missing = set(range(self.gone + 1, cursor + 1)) - covered.get(name, set())
            assert not missing, (name, missing)


def _taken_back(_: Transaction, __: Sequence[Outcome]) -> Sequence[Outcome]:
    raise LookupError("taken back")


def _park(transaction: Transaction, route: str, aside: Sequence[Recorded]) -> None:
    for item in aside:
        lanes.put(
            transaction,
            lanes.Entry(
                route=route,
                key=item.event.partitionkey or "",
                position=item.position,
                state="parked",
                plant="",
                event=encode(item.event),
            ),
        )


def _covered(transaction: Transaction) -> tuple[dict[str, int], dict[str, set[int]]]:
    """(cursors, positions that were delivered or are in a lane, by route), in one snapshot."""
    covered: dict[str, set[int]] = {}
    for route, detail in transaction.execute("SELECT route, detail FROM deliveries"):
        entries = msgspec.msgpack.decode(detail)[0]
        covered.setdefault(route, set()).update(positions([(each[0], each[1]) for each in entries]))
    for route, position in transaction.execute("SELECT route, position FROM lanes"):
        covered.setdefault(route, set()).add(position)
    return dict(transaction.execute("SELECT route, position FROM cursors")), covered


TestJournal = JournalMachine.TestCase
TestJournal.settings = settings(max_examples=25, stateful_step_count=25)
