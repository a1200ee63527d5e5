"""No position is given twice, whatever became of the bundles that had it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import apsw
import pytest

from router.journal import IngestBatch, JournalCorrupt, quarantine
from router.journal.retention import Retention
from router.journal.sqlite import SQLiteJournal
from tests.router.rig import message, order


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[SQLiteJournal]:
    journal = SQLiteJournal(folder, retention=Retention(retain_s=0.0))
    await journal.open()
    try:
        yield journal
    finally:
        await journal.close()


async def appended(journal: SQLiteJournal, first: int, count: int) -> list[int]:
    messages = [message(order(number, "o")) for number in range(first, first + count)]
    outcomes = await journal.append(IngestBatch(adapter="mes", messages=messages))
    return [position for outcome in outcomes for position in outcome.positions]


async def test_positions_go_on_after_a_restart(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        await journal.write(lambda t: t.execute("INSERT INTO cursors VALUES ('slow', 0)"))
        assert await appended(journal, 1, 3) == [1, 2, 3]
    async with opened(tmp_path) as journal:
        assert journal.head == 3
        assert await appended(journal, 4, 2) == [4, 5]


async def test_positions_go_on_when_every_bundle_was_removed(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        await appended(journal, 1, 3)
        await appended(journal, 4, 2)
        await journal.retain()
        assert await journal.events(0) == ([], 0)
    async with opened(tmp_path) as journal:
        assert journal.head == 5
        assert await appended(journal, 6, 1) == [6]


async def test_positions_go_on_when_the_newest_bundle_is_given_up(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        await journal.write(lambda t: t.execute("INSERT INTO cursors VALUES ('slow', 0)"))
        await appended(journal, 1, 3)
        await appended(journal, 4, 2)
        await journal.write(lambda t: quarantine.put(t, JournalCorrupt(4, 5)))
        await journal.write(lambda t: quarantine.release(t, 4))
    async with opened(tmp_path) as journal:
        assert await appended(journal, 6, 1) == [6]


async def test_positions_go_on_when_a_commit_is_undone_after_all_bundles_went(tmp_path: Path) -> None:
    def fail(_: object) -> None:
        raise LookupError("on purpose")

    async with opened(tmp_path) as journal:
        await appended(journal, 1, 3)
        await journal.retain()
        with pytest.raises(LookupError):
            await journal.write(fail)
        assert await appended(journal, 4, 1) == [4]


async def test_a_last_position_that_the_disk_made_smaller_is_not_believed(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        await journal.write(lambda t: t.execute("INSERT INTO cursors VALUES ('slow', 0)"))
        await appended(journal, 1, 3)
    with closing(apsw.Connection(str(tmp_path / "journal.db"))) as connection:
        connection.execute("UPDATE bundles SET last = 1")
    async with opened(tmp_path) as journal:
        assert await appended(journal, 4, 1) == [4]
