"""Journals of earlier versions are taken over whole, or not at all."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import apsw
import pytest
from msgspec import structs

from canonical.errors import ConfigError
from canonical.ledger import FileEntry
from gateway.runtime import TABLES
from router.journal import Claim, IngestBatch
from router.journal.migrations import STEPS, Step, columns_of
from router.journal.schema import VERSION, prepare
from router.journal.sqlite import SQLiteJournal
from tests.router.journals import RECORDED, WINDOW_S, dump, load
from tests.router.rig import ITEMS, SOURCE, Rig, ScriptedSink, message, order, route, until

pytestmark = pytest.mark.parametrize("version", RECORDED)


@asynccontextmanager
async def taken_over(version: int, folder: Path) -> AsyncIterator[Rig]:
    load(version, folder)
    rig = Rig(folder, TABLES, WINDOW_S)
    await rig.open()
    try:
        yield rig
    finally:
        await rig.stop()


async def test_its_events_and_raw_messages_are_as_they_were(version: int, tmp_path: Path) -> None:
    async with taken_over(version, tmp_path) as rig:
        found, reached = await rig.journal.events(0)
        assert rig.journal.versions == (version, VERSION)
        assert [item.position for item in found] == list(range(1, 9))
        assert [i.event.data["number"] for i in found if i.event.source == SOURCE] == [1, 2, 3, 4, 5, 6]
        assert (reached, rig.journal.head) == (8, 8)
        raw = await rig.journal.raw(5)
        assert raw is not None
        assert raw.id == "m5"


async def test_what_it_knows_is_still_known(version: int, tmp_path: Path) -> None:
    async with taken_over(version, tmp_path) as rig:
        known = order(1, "key-1")
        other = structs.replace(known, id="000002")
        outcomes = await rig.append(known, other, order(7, "key-7"))
        assert [outcome.status for outcome in outcomes] == ["duplicate", "conflict", "accepted"]
        assert [outcome.positions for outcome in outcomes] == [(1,), (), (9,)]
        file = FileEntry(path="inbox/orders.csv", size_bytes=80, changed_ns=1, sha256=b"\x00" * 32)
        again = IngestBatch(adapter="mes", messages=[message(known)], ledger=[Claim(message=0, entry=file)])
        assert [outcome.status for outcome in await rig.journal.append(again)] == ["duplicate"]
        assert await rig.journal.states("mes") == {"source": b"offset 2", "decoder": b"\x01\x02"}


async def test_its_routes_go_on_where_they_were_and_its_lanes_empty(version: int, tmp_path: Path) -> None:
    async with taken_over(version, tmp_path) as rig:
        assert await rig.journal.cursors() == {"orders": 8}
        assert [(lane.head.key, lane.head.state, lane.size) for lane in await rig.lanes()] == [
            ("key-3", "dead", 2),
            ("key-5", "parked", 1),
        ]
        [letter] = await rig.letters()
        assert (letter.position, letter.status, letter.code) == (3, "open", "rejected")
        sink = ScriptedSink()
        await rig.approve(domain="item", system="mes", value="NEW", canonical="10-2", approved_by="test")
        engine = await rig.start(route(inbound={SOURCE: ITEMS}, map={"item": "data.item"}), sink)
        await until(lambda: engine.keeper.blocks("key-3"))
        engine.keeper.release("key-3")
        engine.keeper.release("key-5")
        await until(rig.clear)
        assert sorted(sink.numbers) == [3, 5, 6]


async def test_its_tables_are_then_those_of_a_new_journal(version: int, tmp_path: Path) -> None:
    """What changes a table's columns needs a step; an edited CREATE statement alone does nothing to these."""
    async with taken_over(version, tmp_path / "old"):
        pass
    fresh = SQLiteJournal(tmp_path / "new", tables=TABLES, window_s=WINDOW_S)
    await fresh.open()
    await fresh.close()
    assert shape(tmp_path / "old") == shape(tmp_path / "new")


def shape(folder: Path) -> dict[str, list[str]]:
    """Every table's columns and every index's."""
    with closing(apsw.Connection(str(folder / "journal.db"))) as connection:
        names = connection.execute("SELECT type, name FROM sqlite_schema WHERE name NOT GLOB 'sqlite_*'")
        found = {}
        for kind, name in names.fetchall():
            if kind == "table":
                found[str(name)] = columns_of(connection, str(name))
            else:
                columns = connection.execute("SELECT name FROM pragma_index_info(?)", (name,)).fetchall()
                found[str(name)] = [str(column) for (column,) in columns]
    return found


def test_todays_journal_is_recorded_for_those_who_come_later(version: int) -> None:
    """``python -m tests.router.journals`` does it."""
    assert version <= VERSION == max(RECORDED)


# ── steps ────────────────────────────────────────────────────────────────────────────────────────


def _plant(connection: apsw.Connection) -> None:
    connection.execute("ALTER TABLE states ADD COLUMN plant TEXT NOT NULL DEFAULT 'unknown'")


def _rename(connection: apsw.Connection) -> None:
    connection.execute("UPDATE states SET plant = upper(plant)")


def _broken(connection: apsw.Connection) -> None:
    connection.execute("UPDATE states SET plant = 'half way'")
    connection.execute("UPDATE nowhere SET x = 1")


def ahead(*runs: object) -> list[Step]:
    """Steps that lead beyond today's version: those that are there, and these."""
    first = len(STEPS) + 2
    return [*STEPS, *(Step(to=first + n, what=f"step {n}", run=run) for n, run in enumerate(runs))]  # type: ignore[arg-type]


def _states(folder: Path) -> list[tuple[object, ...]]:
    with closing(apsw.Connection(str(folder / "journal.db"))) as connection:
        return connection.execute("SELECT DISTINCT plant FROM states").fetchall()


def opened(folder: Path, steps: list[Step]) -> tuple[int, int]:
    with closing(apsw.Connection(str(folder / "journal.db"))) as connection:
        return prepare(connection, TABLES, steps)


def test_steps_run_once_and_in_order(version: int, tmp_path: Path) -> None:
    load(version, tmp_path)
    steps = ahead(_plant, _rename)
    assert opened(tmp_path, steps) == (version, VERSION + 2)
    assert _states(tmp_path) == [("UNKNOWN",)]
    with closing(apsw.Connection(str(tmp_path / "journal.db"))) as connection:
        connection.execute("UPDATE states SET plant = 'brno'")
    assert opened(tmp_path, steps) == (VERSION + 2, VERSION + 2)
    assert _states(tmp_path) == [("brno",)]


def test_a_step_that_fails_changes_nothing_and_says_which_it_was(version: int, tmp_path: Path) -> None:
    load(version, tmp_path)
    before = dump(tmp_path)
    with pytest.raises(ConfigError, match=rf"version {version} cannot .* version {VERSION + 2} \(step 1\)"):
        opened(tmp_path, ahead(_plant, _broken))
    assert dump(tmp_path) == before


def test_a_crash_between_two_steps_leaves_the_journal_as_it_was(version: int, tmp_path: Path) -> None:
    load(version, tmp_path / "data")
    before = dump(tmp_path / "data")

    def crash(connection: apsw.Connection) -> None:
        shutil.copytree(tmp_path / "data", tmp_path / "as it lay there")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        opened(tmp_path / "data", ahead(_plant, crash))
    assert dump(tmp_path / "data") == before
    assert dump(tmp_path / "as it lay there") == before


async def test_an_older_program_refuses_what_a_newer_one_has_changed(version: int, tmp_path: Path) -> None:
    load(version, tmp_path)
    opened(tmp_path, ahead(_plant))
    before = dump(tmp_path)
    with pytest.raises(ConfigError, match=f"schema version {VERSION + 1}.*restore a backup"):
        await SQLiteJournal(tmp_path, tables=TABLES).open()
    assert dump(tmp_path) == before
    with pytest.raises(ConfigError, match="schema version"):  # and not: another hub has the folder
        await SQLiteJournal(tmp_path, tables=TABLES).open()
