"""Identities: whatever the ids look like, a repeat is known, over restarts and into the next window."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from canonical.event import Event
from router.journal import IngestBatch, Message
from router.journal.identities import Identities
from router.journal.schema import prepare
from router.journal.sqlite import SQLiteJournal
from router.journal.taking import Taken, take
from tests.router.rig import SOURCE, message, order

WINDOW_S = 100.0


def event(identifier: str, value: int = 0, source: str = SOURCE) -> Event:
    return structs.replace(order(1, "o"), id=identifier, source=source, data={"value": value})


def run(first: int, count: int, *, value: int = 0) -> list[Event]:
    return [event(f"{n:06d}", value) for n in range(first, first + count)]


class Windows:
    """Identities on a file, without threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.head = 0
        self.open()

    def open(self) -> None:
        self.connection = apsw.Connection(str(self._path))
        prepare(self.connection, ())
        self.identities = Identities(self.connection, WINDOW_S)

    def reopen(self) -> None:
        self.connection.close()
        self.open()

    def take(self, events: list[Event], at: float = WINDOW_S, *, undo: bool = False) -> Taken:
        self.connection.execute("BEGIN IMMEDIATE")
        self.identities.rotate(at)
        taken = take(self.identities, [message(each) for each in events], self.head + 1)
        if undo:
            self.connection.execute("ROLLBACK")
            self.identities.forget()
            return taken
        self.identities.flush()
        self.connection.execute("COMMIT")
        self.head += len(taken.events)
        return taken

    def rows(self, kind: str) -> int:
        found = 0
        for (name,) in self.connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'"):
            if str(name).startswith(kind):
                found += int(str(self.connection.execute(f"SELECT count(*) FROM {name}").fetchall()[0][0]))
        return found


@contextmanager
def windows_in(folder: Path) -> Iterator[Windows]:
    made = Windows(folder / "journal.db")
    yield made
    made.connection.close()


@pytest.fixture
def windows(tmp_path: Path) -> Iterator[Windows]:
    with windows_in(tmp_path) as made:
        yield made


def statuses(taken: Taken) -> list[str]:
    return [outcome.status for outcome in taken.outcomes]


def test_a_run_of_growing_ids_is_one_row(windows: Windows) -> None:
    windows.take(run(0, 500))
    windows.take(run(500, 500))
    assert (windows.rows("identity_runs"), windows.rows("identities")) == (2, 0)


def test_an_id_of_a_run_that_comes_again_is_known_at_its_position(windows: Windows) -> None:
    windows.take(run(0, 500))
    windows.take(run(500, 500))
    windows.reopen()
    taken = windows.take([*run(3, 1), *run(777, 1), *run(999, 1, value=1), event("000004x")])
    assert statuses(taken) == ["duplicate", "duplicate", "conflict", "accepted"]
    assert [outcome.positions for outcome in taken.outcomes] == [(4,), (778,), (), (1001,)]
    assert windows.identities.position(SOURCE, "000004x") == 1001


def test_a_batch_that_repeats_part_of_a_run_adds_only_the_rest(windows: Windows) -> None:
    windows.take(run(0, 100))
    taken = windows.take(run(90, 20))
    assert statuses(taken) == ["duplicate"] * 10 + ["accepted"] * 10
    assert [each.id for each in taken.events] == [f"{n:06d}" for n in range(100, 110)]


def test_a_run_of_two_sources_in_one_batch_is_told_apart(windows: Windows) -> None:
    other = "/plants/brno/adapters/floor"
    windows.take([*run(0, 10), *(event(f"{n:06d}", source=other) for n in range(10))])
    assert statuses(windows.take([event("000003", source=other)])) == ["duplicate"]
    assert windows.identities.position(other, "000003") == 14


def test_an_identity_is_known_in_the_next_window_and_forgotten_after_it(windows: Windows) -> None:
    windows.take(run(0, 20), at=WINDOW_S)
    assert statuses(windows.take(run(5, 1), at=2 * WINDOW_S)) == ["duplicate"]
    assert statuses(windows.take(run(5, 1), at=4 * WINDOW_S)) == ["accepted"]


def test_what_a_failed_transaction_took_is_not_known(windows: Windows) -> None:
    windows.take(run(0, 20))
    windows.take(run(20, 20), undo=True)
    assert statuses(windows.take(run(20, 20))) == ["accepted"] * 20


async def test_a_message_with_several_events_has_their_positions(tmp_path: Path) -> None:
    journal = SQLiteJournal(tmp_path)
    await journal.open()
    events = run(0, 12)
    whole = Message(raw=message(events[0]).raw, events=events)
    outcomes = await journal.append(IngestBatch(adapter="mes", messages=[whole, message(event("000012"))]))
    assert [outcome.positions for outcome in outcomes] == [tuple(range(1, 13)), (13,)]
    again = await journal.append(IngestBatch(adapter="mes", messages=[whole]))
    assert again[0].status == "duplicate"
    await journal.close()


Step = tuple[str, list[tuple[str, str, int]]]
_ids = st.one_of(
    st.integers(0, 60).map(lambda n: f"{n:03d}"), st.text("ab0é\U0001f600", min_size=1, max_size=3)
)
_events = st.tuples(st.sampled_from(["/s", "/t"]), _ids, st.integers(0, 1))
_runs = st.tuples(st.integers(0, 60), st.integers(8, 20)).map(
    lambda found: [("/s", f"{n:03d}", 0) for n in range(found[0], found[0] + found[1])]
)
_steps = st.lists(
    st.tuples(
        st.sampled_from(["take", "take", "take", "undo", "reopen"]),
        st.one_of(_runs, st.lists(_events, max_size=12)),
    ),
    max_size=8,
)


@settings(max_examples=150, deadline=None)
@given(_steps)
def test_any_order_of_ids_is_deduplicated_as_a_dictionary_would(steps: list[Step]) -> None:
    with tempfile.TemporaryDirectory() as folder, windows_in(Path(folder)) as windows:
        model: dict[tuple[str, str], tuple[int, int]] = {}
        for what, wanted in steps:
            if what == "reopen":
                windows.reopen()
                continue
            tried = dict(model)
            expected, position = [], windows.head
            for source, each, value in wanted:
                seen = tried.get((source, each))
                if seen is None:
                    position += 1
                    tried[source, each] = (value, position)
                    expected.append(("accepted", position))
                else:
                    expected.append(("duplicate", seen[1]) if seen[0] == value else ("conflict", 0))
            taken = windows.take(
                [event(each, value, source) for source, each, value in wanted], undo=what == "undo"
            )
            found = [(each.status, each.positions[0] if each.positions else 0) for each in taken.outcomes]
            assert found == expected
            if what == "take":
                model = tried
