"""Retention: in small steps, beside the appends, within the size limit, never what somebody still needs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import apsw
import pytest
from msgspec import structs

from canonical.ports import Transaction
from router import lanes
from router.journal import IngestBatch, Settlement, reading
from router.journal.identities import Identities
from router.journal.retention import Retention, Swept
from router.journal.schema import prepare
from router.journal.sqlite import SQLiteJournal
from tests.router.rig import SOURCE, message, order, until

LIMIT_BYTES = 4_000_000
BODY = "x" * 10_000


@asynccontextmanager
async def opened(folder: Path, retention: Retention) -> AsyncIterator[SQLiteJournal]:
    journal = SQLiteJournal(folder, tables=lanes.TABLES, retention=retention)
    await journal.open()
    try:
        yield journal
    finally:
        await journal.close()


def batch(first: int, count: int) -> IngestBatch:
    events = [structs.replace(order(n, f"o{n}"), data={"text": BODY}) for n in range(first, first + count)]
    return IngestBatch(adapter="mes", messages=[message(each) for each in events])


async def settled(journal: SQLiteJournal, route: str, position: int) -> None:
    journal.settle(Settlement(route=route, position=position, delivered=[(position, position)], at=1.0))
    await journal.write(lambda _: None)


async def test_the_file_stays_within_its_limit_with_a_route_that_lags_and_a_lane_that_is_parked(
    tmp_path: Path,
) -> None:
    """Ten times the limit goes through it; nobody calls for a sweep."""
    lag, read = 40, 0
    async with opened(tmp_path, Retention(size_bytes=LIMIT_BYTES)) as journal:
        await journal.write(lambda t: lanes.put(t, parked()))
        await settled(journal, "lagging", 0)
        largest = 0
        for first in range(1, 2001, 10):
            await journal.append(batch(first, 10))
            await settled(journal, "fast", journal.head)
            while journal.head - read > lag:
                found, read = await journal.events(read, limit=10)
                assert [item.position for item in found] == list(range(found[0].position, read + 1))
                await settled(journal, "lagging", read)
            largest = max(largest, (tmp_path / "journal.db").stat().st_size)
        step = Retention(size_bytes=LIMIT_BYTES).step_bytes  # a sweep comes after what asks for it
        assert largest <= LIMIT_BYTES + step
        assert not journal.full
        rest, _ = await journal.events(read, limit=1000)
        assert [item.position for item in rest] == list(range(read + 1, 2001))
        assert (await journal.read(lambda t: lanes.page(t, limit=-1)))[0].head.key == "parked"


def parked() -> lanes.Entry:
    return lanes.Entry(route="fast", key="parked", position=0, state="parked", plant="brno", event=b"{}")


@pytest.mark.timeout(60)
async def test_at_the_limit_a_route_that_stands_still_holds_ingest_back_and_loses_nothing(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path, Retention(size_bytes=LIMIT_BYTES)) as journal:
        await settled(journal, "lagging", 0)

        async def source() -> None:
            for first in range(1, 1001, 10):
                await journal.append(batch(first, 10))

        coming = asyncio.create_task(source())
        await until(lambda: journal.full)
        head = journal.head
        assert not coming.done()
        assert (tmp_path / "journal.db").stat().st_size < LIMIT_BYTES * 1.5
        read: list[int] = []
        while not coming.done() or len(read) < 1000:
            found, reached = await journal.events(len(read), limit=20)
            read += [item.position for item in found]
            await settled(journal, "lagging", reached)
        await coming
        assert read == list(range(1, 1001))
        assert head < 1000


async def test_a_sweep_removes_little_at_a_time_and_says_that_there_is_more(tmp_path: Path) -> None:
    retention = Retention()
    async with opened(tmp_path, retention) as journal:
        for first in range(1, 2000, 100):
            await journal.append(batch(first, 100))
        await settled(journal, "fast", journal.head)
        retention.retain_s = -1.0
        swept: list[Swept] = []
        lengths = [await bundles(journal)]
        while not swept or swept[-1].more:
            swept.append(await journal.write(retention.sweep))
            lengths.append(await bundles(journal))
        assert lengths[0] == 20
        assert all(0 < before - after <= 2 for before, after in pairwise(lengths))
        assert lengths[-1] == 0


async def bundles(journal: SQLiteJournal) -> int:
    rows = await journal.read(lambda t: t.execute("SELECT count(*) FROM bundles"))
    return int(rows[0][0])


async def test_appends_get_in_between_the_sweeps(tmp_path: Path) -> None:
    retention = Retention()
    async with opened(tmp_path, retention) as journal:
        for first in range(1, 3000, 100):
            await journal.append(batch(first, 100))
        await settled(journal, "fast", journal.head)
        retention.retain_s = -1.0
        sweeping = asyncio.create_task(journal.retain())
        meanwhile = 0
        while not sweeping.done():
            await journal.append(batch(10_000 + meanwhile, 1))
            meanwhile += 1
        await sweeping
        assert meanwhile > 5


async def test_after_a_long_reader_the_log_is_small_again(tmp_path: Path) -> None:
    async with opened(tmp_path, Retention()) as journal:
        log = tmp_path / "journal.db-wal"
        reader = reading.Snapshots(journal.path)
        started, done = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()

        def slowly(transaction: Transaction) -> None:
            transaction.execute("SELECT count(*) FROM bundles")
            loop.call_soon_threadsafe(started.set)
            asyncio.run_coroutine_threadsafe(done.wait(), loop).result()

        looking = asyncio.create_task(reader.read(slowly))
        await started.wait()
        number = 1
        while log.stat().st_size < 100_000_000:
            await journal.append(batch(number, 200))
            number += 200
        done.set()
        await looking
        await asyncio.to_thread(reader.close)

        async def small() -> bool:
            nonlocal number
            await journal.append(batch(number, 1))
            number += 1
            return log.stat().st_size <= 68_000_000

        await until(small)


def test_identities_of_windows_that_are_over_are_forgotten_in_steps(tmp_path: Path) -> None:
    connection = apsw.Connection(str(tmp_path / "journal.db"))
    prepare(connection, ())
    identities = Identities(connection, 100.0)
    identities.rotate(150.0)
    number = identities.number(SOURCE)
    identities.remember([(number, f"{each:06d}", each, each) for each in range(12_000)])
    identities.flush()
    identities.rotate(450.0)
    steps = 0
    while not identities.forget_old(450.0):
        steps += 1
    tables = connection.execute("SELECT name FROM sqlite_schema WHERE name GLOB 'identit*'").fetchall()
    assert sorted(str(name).rpartition("_")[2] for (name,) in tables) == ["3", "3", "4", "4"]
    assert steps > 3
    connection.close()


@pytest.mark.parametrize("limit_mb", [1, 20_000])
def test_the_size_asks_for_a_sweep_long_before_the_limit(limit_mb: int) -> None:
    retention = Retention(size_bytes=limit_mb * 1_000_000)
    assert retention.step_bytes <= retention.size_bytes // 10
    assert retention.step_bytes >= os.sysconf("SC_PAGE_SIZE")
