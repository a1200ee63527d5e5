"""The journal: identities, order, settling, what survives, what the disk may do to it."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import apsw
import pytest
from msgspec import structs

from canonical.errors import ConfigError
from canonical.event import Event
from canonical.ports import Outcome, Recorded, Transaction
from router.journal import IngestBatch, Settlement, StorageError
from router.journal.retention import Retention
from router.journal.schema import refuse_old_sqlite
from router.journal.sqlite import SQLiteJournal
from tests.router.rig import SOURCE, message, order, until


def batch(*events: Event) -> IngestBatch:
    return IngestBatch(adapter="mes", messages=[message(event) for event in events])


@pytest.fixture
async def journal(tmp_path: Path):  # type: ignore[no-untyped-def]
    opened = SQLiteJournal(tmp_path)
    await opened.open()
    yield opened
    await opened.close()


async def test_what_was_appended_is_there_after_a_restart(tmp_path: Path) -> None:
    first = SQLiteJournal(tmp_path)
    await first.open()
    outcomes = await first.append(batch(*(order(n, "o") for n in range(3))))
    await first.close()
    again = SQLiteJournal(tmp_path)
    await again.open()
    found, reached = await again.events(0)
    await again.close()
    assert [outcome.positions for outcome in outcomes] == [(1,), (2,), (3,)]
    assert [item.position for item in found] == [1, 2, 3]
    assert (reached, again.head) == (3, 3)
    assert found[1].event.data["number"] == 1


async def test_the_same_again_is_a_duplicate_and_other_data_a_conflict(journal: SQLiteJournal) -> None:
    one = order(1, "o")
    await journal.append(batch(one))
    later = structs.replace(one, time=None)
    other = structs.replace(one, data={**one.data, "item": "B"})
    outcomes = await journal.append(batch(later, other))
    assert [outcome.status for outcome in outcomes] == ["duplicate", "conflict"]
    assert outcomes[0].positions == (1,)
    assert "position 1 with other data" in outcomes[1].errors[0][1]
    assert journal.head == 1


async def test_a_duplicate_within_one_batch_is_seen(journal: SQLiteJournal) -> None:
    outcomes = await journal.append(batch(order(1, "o"), order(2, "o"), order(1, "o")))
    assert [outcome.status for outcome in outcomes] == ["accepted", "accepted", "duplicate"]
    assert outcomes[2].positions == (1,)


async def test_concurrent_appends_keep_the_order_of_the_calls(journal: SQLiteJournal) -> None:
    batches = [batch(*(order(n * 10 + k, "o") for k in range(10))) for n in range(50)]
    await asyncio.gather(*(journal.append(each) for each in batches))
    found, _ = await journal.events(0)
    assert [item.event.data["number"] for item in found] == list(range(500))


async def test_listeners_hear_every_commit_in_order_before_the_caller(journal: SQLiteJournal) -> None:
    heard: list[int] = []

    def listen(recorded: Sequence[Recorded]) -> None:
        heard.extend(item.position for item in recorded)

    journal.subscribe(listen)
    for n in range(5):
        await journal.append(batch(order(n, "o")))
        assert heard[-1] == journal.head
    assert heard == [1, 2, 3, 4, 5]


async def test_statements_commit_with_the_batch_or_not_at_all(journal: SQLiteJournal) -> None:
    def fail(transaction: Transaction, outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
        transaction.execute("INSERT INTO meta VALUES ('x', 'y')")
        raise ValueError("on purpose")

    failing = structs.replace(batch(order(1, "o")), within=fail)
    with pytest.raises(ValueError, match="on purpose"):
        await journal.append(failing)
    assert journal.head == 0
    assert not await journal.read(lambda t: t.execute("SELECT 1 FROM meta WHERE key = 'x'"))
    assert [outcome.status for outcome in await journal.append(batch(order(1, "o")))] == ["accepted"]


async def test_a_failing_job_does_not_undo_its_neighbours(journal: SQLiteJournal) -> None:
    def fail(_: Transaction) -> None:
        raise LookupError("nothing there")

    results = await asyncio.gather(
        journal.append(batch(order(1, "o"))),
        journal.write(fail),
        journal.append(batch(order(2, "o"))),
        return_exceptions=True,
    )
    assert isinstance(results[1], LookupError)
    assert journal.head == 2


async def test_what_commits_together_is_told_apart_by_its_identities(journal: SQLiteJournal) -> None:
    def fail(transaction: Transaction, outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
        raise LookupError("taken back")

    there = threading.Event()
    held = asyncio.create_task(journal.write(lambda _: there.wait(10)))
    await asyncio.sleep(0)
    batches = [
        batch(*(order(n, "o") for n in range(1, 11))),
        structs.replace(batch(order(11, "o"), order(12, "o")), within=fail),
        batch(order(3, "o"), order(12, "o")),
        batch(structs.replace(order(12, "o"), data={"number": 99}), order(11, "o"), order(13, "o")),
        batch(order(13, "o")),
    ]
    appends = [asyncio.create_task(journal.append(each)) for each in batches]
    await asyncio.sleep(0)
    there.set()
    await held
    first, failed, *others = await asyncio.gather(*appends, return_exceptions=True)
    assert isinstance(failed, LookupError)
    found = [[(each.status, each.positions) for each in outcomes] for outcomes in (first, *others)]  # type: ignore[union-attr]
    assert found == [
        [("accepted", (n,)) for n in range(1, 11)],
        [("duplicate", (3,)), ("accepted", (11,))],
        [("conflict", ()), ("accepted", (12,)), ("accepted", (13,))],
        [("duplicate", (13,))],
    ]
    assert [await journal.position_of(SOURCE, f"{n:06d}") for n in (10, 11, 12, 13)] == [10, 12, 11, 13]


async def test_a_job_that_fails_alone_leaves_what_was_settled_to_be_written(journal: SQLiteJournal) -> None:
    def fail(transaction: Transaction) -> None:
        transaction.execute("INSERT INTO meta VALUES ('x', 'y')")
        raise LookupError("on purpose")

    await journal.append(batch(order(1, "o")))
    journal.settle(Settlement(route="r", position=1, at=1.0))
    with pytest.raises(LookupError):
        await journal.write(fail)
    assert await journal.cursors() == {"r": 1}
    assert not await journal.read(lambda t: t.execute("SELECT 1 FROM meta WHERE key = 'x'"))
    assert [each.status for each in await journal.append(batch(order(1, "o"), order(2, "o")))] == [
        "duplicate",
        "accepted",
    ]


async def test_readers_cannot_write(journal: SQLiteJournal) -> None:
    with pytest.raises(apsw.ReadOnlyError):
        await journal.read(lambda t: t.execute("DELETE FROM bundles"))


async def test_settling_needs_no_append_of_its_own(journal: SQLiteJournal) -> None:
    await journal.append(batch(order(1, "o")))
    journal.settle(Settlement(route="r", position=1, delivered=[(1, "receipt")], at=1.0))

    async def settled() -> bool:
        return await journal.cursors() == {"r": 1}

    await until(settled)


async def test_a_second_hub_is_refused(journal: SQLiteJournal, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"process {os.getpid()}"):
        await SQLiteJournal(tmp_path).open()


async def test_a_newer_data_folder_is_refused_and_left_alone(tmp_path: Path) -> None:
    first = SQLiteJournal(tmp_path)
    await first.open()
    await first.write(lambda t: t.execute("UPDATE meta SET value = '99' WHERE key = 'schema'"))
    await first.close()
    with pytest.raises(ConfigError, match="schema version 99"):
        await SQLiteJournal(tmp_path).open()


@pytest.mark.parametrize("version", ["3.40.1", "3.51.2"])
def test_a_sqlite_that_may_damage_the_log_is_refused(version: str) -> None:
    with pytest.raises(ConfigError, match=rf"SQLite {version} may damage"):
        refuse_old_sqlite(version)
    refuse_old_sqlite("3.51.3")
    refuse_old_sqlite("3.54.1")


async def test_a_full_disk_stops_acknowledging_and_recovers(journal: SQLiteJournal) -> None:
    await journal.append(batch(order(0, "o")))
    [(pages,)] = await journal.write(lambda t: t.execute("PRAGMA page_count"))
    await journal.write(lambda t: t.execute(f"PRAGMA max_page_count = {pages + 1}"))
    big = [structs.replace(order(n, "o"), data={"text": "x" * 20_000}) for n in range(1, 11)]
    with pytest.raises(StorageError, match="full"):
        await journal.append(batch(*big))
    assert journal.head == 1
    await journal.write(lambda t: t.execute("PRAGMA max_page_count = 1000000"))
    outcomes = await journal.append(batch(*big))
    assert {outcome.status for outcome in outcomes} == {"accepted"}
    assert journal.head == 11


async def test_a_commit_that_cannot_begin_settles_nothing_twice(
    journal: SQLiteJournal, tmp_path: Path
) -> None:
    await journal.append(batch(order(1, "o")))
    journal.settle(Settlement(route="r", position=1, delivered=[(1, "receipt")], at=1.0))
    await journal.write(lambda _: None)
    journal._connection.set_busy_timeout(0)
    with closing(apsw.Connection(str(tmp_path / "journal.db"))) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError, match="could not be written"):
            await journal.append(batch(order(2, "o")))
        assert "could not be written" in journal.failure
    await journal.append(batch(order(2, "o")))
    assert journal.failure == ""
    counted = await journal.read(lambda t: t.execute("SELECT count(*), max(last) FROM deliveries"))
    assert counted == [(1, 1)]
    assert await journal.cursors() == {"r": 1}


async def test_raw_messages_are_kept_with_their_events(journal: SQLiteJournal) -> None:
    await journal.append(batch(*(order(n, "o") for n in range(5))))
    raw = await journal.raw(3)
    assert raw is not None
    assert (raw.id, raw.adapter) == ("m2", "mes")
    assert [message.id for message in await journal.history("mes", 2)] == ["m3", "m4"]
    assert await journal.raw(6) is None


async def test_bundles_are_skipped_by_their_header(journal: SQLiteJournal) -> None:
    await journal.append(batch(order(1, "o")))
    await journal.append(batch(structs.replace(order(2, "o"), plantid="brno")))
    found, reached = await journal.events(0, wanted=lambda header: "brno" in header.counts)
    assert ([item.position for item in found], reached) == ([2], 2)


async def test_state_commits_with_its_batch(journal: SQLiteJournal) -> None:
    await journal.append(structs.replace(batch(order(1, "o")), state={"source": b"s1", "decoder": b"d1"}))
    await journal.append(structs.replace(batch(order(2, "o")), state={"source": b"s2"}))
    assert await journal.states("mes") == {"source": b"s2", "decoder": b"d1"}


async def test_identities_are_known_for_their_window(journal: SQLiteJournal) -> None:
    await journal.append(batch(order(1, "o")))
    assert await journal.position_of(SOURCE, "000001") == 1
    assert await journal.position_of(SOURCE, "unknown") is None


async def test_retention_removes_only_what_every_route_has_passed(tmp_path: Path) -> None:
    kept = SQLiteJournal(tmp_path, retention=Retention(retain_s=0.0))
    await kept.open()
    await kept.write(lambda t: t.execute("INSERT INTO cursors VALUES ('slow', 0)"))
    for n in range(5):
        await kept.append(batch(order(n, "o")))
    await kept.retain()
    assert len((await kept.events(0))[0]) == 5
    kept.settle(Settlement(route="slow", position=3))
    await kept.write(lambda _: None)
    await kept.retain()
    assert [item.position for item in (await kept.events(0))[0]] == [4, 5]
    await kept.close()


async def test_at_its_size_limit_the_journal_holds_ingest_back_until_there_is_room(tmp_path: Path) -> None:
    small = SQLiteJournal(tmp_path, retention=Retention(size_bytes=400_000))
    await small.open()
    await small.write(lambda t: t.execute("INSERT INTO cursors VALUES ('slow', 0)"))
    n = 0
    while not small.full:
        n += 1
        await small.append(batch(structs.replace(order(n, "o"), data={"text": "x" * 20_000})))
        await small.retain()
    waiting = asyncio.create_task(small.append(batch(order(n + 1, "o"))))
    await small.retain()
    assert not waiting.done()
    small.settle(Settlement(route="slow", position=small.head))
    await small.write(lambda _: None)
    await small.retain()
    assert [outcome.status for outcome in await waiting] == ["accepted"]
    assert (await small.events(0))[0][-1].event.id == f"{n + 1:06d}"
    await small.close()


async def test_the_log_stays_bounded_while_it_is_written_to_all_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router.journal.checkpoints.PAGES", 20)
    journal = SQLiteJournal(tmp_path)
    await journal.open()
    most = 0
    for n in range(100):
        await journal.append(batch(structs.replace(order(n, "o"), data={"text": "x" * 100_000})))
        most = max(most, (tmp_path / "journal.db-wal").stat().st_size)
    assert 20 * 16384 < most < 80 * 16384
    assert len((await journal.events(0))[0]) == 100
    await journal.close()
    assert not (tmp_path / "journal.db-wal").exists()
