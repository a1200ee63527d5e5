"""Bit rot: what the disk changed is found, told, kept and passed over; what it did not change is read."""

from __future__ import annotations

import random
import shutil
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import apsw
import pytest
from msgspec import structs

from canonical.errors import CrossplantError
from canonical.event import Event
from canonical.ports import Recorded, Transaction
from deadletter import store as dead_letters
from router import unreadable
from router.journal import IngestBatch, Settlement, StorageError
from router.journal.quarantine import Damage
from router.journal.retention import Retention
from router.journal.sqlite import SQLiteJournal
from tests.router.rig import ScriptedSink, message, order, route, running, until

BUNDLES = 24
PLANTS = ("aachen", "brno")


def event(number: int) -> Event:
    return structs.replace(order(number, f"o{number}"), plantid=PLANTS[number // 2 % 2])


async def written(folder: Path) -> list[Recorded]:
    """A journal of bundles of two events, each bundle of one plant; and what is in it."""
    journal = SQLiteJournal(folder)
    await journal.open()
    for number in range(0, 2 * BUNDLES, 2):
        events = [event(number), event(number + 1)]
        await journal.append(IngestBatch(adapter="mes", messages=[message(each) for each in events]))
    found, _ = await journal.events(0)
    await journal.close()
    return found


def flip(folder: Path, first: int, column: str, chance: random.Random) -> None:
    """One bit of one column of the bundle that begins at ``first``."""
    with closing(apsw.Connection(str(folder / "journal.db"))) as connection:
        [(content,)] = connection.execute(
            f"SELECT {column} FROM bundles WHERE first = ?", (first,)
        ).fetchall()
        assert isinstance(content, bytes)
        changed = bytearray(content)
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
        connection.execute(f"UPDATE bundles SET {column} = ? WHERE first = ?", (bytes(changed), first))


async def read(folder: Path, plant: str | None) -> tuple[list[Recorded], int, list[Damage]]:
    """All that a reader who wants one plant's events gets, how far, and what was found damaged."""
    damage: list[Damage] = []
    journal = SQLiteJournal(folder, damaged=lambda _, found: damage.append(found))
    await journal.open()
    found: list[Recorded] = []
    reached, before = 0, -1
    try:
        while reached > before:
            before = reached
            more, reached = await journal.events(
                reached, wanted=lambda header: plant is None or plant in header.counts
            )
            found += more
    finally:
        await journal.close()
    return [item for item in found if plant in (None, item.event.plantid)], reached, damage


@pytest.mark.parametrize("column", ["header", "events", "raws", "hash"])
async def test_every_flipped_bit_is_found_also_where_a_header_decides_what_is_read(
    tmp_path: Path, column: str
) -> None:
    said, chance = await written(tmp_path / "whole"), random.Random(column)
    for turn in range(10):
        folder = tmp_path / f"{turn}"
        shutil.copytree(tmp_path / "whole", folder)
        first = 1 + 2 * chance.randrange(BUNDLES)
        flip(folder, first, column, chance)
        plant = said[first - 1].event.plantid
        found, reached, damage = await read(folder, plant)
        assert [(each.first, each.last) for each in damage] == [(first, first + 1)]
        assert found == [
            item for item in said if item.event.plantid == plant and item.position not in (first, first + 1)
        ]
        assert reached == 2 * BUNDLES


async def test_a_plant_that_the_disk_renamed_in_a_header_hides_no_event(tmp_path: Path) -> None:
    """Who reads by headers would pass over the bundle, and nobody would be told."""
    await written(tmp_path)
    with closing(apsw.Connection(str(tmp_path / "journal.db"))) as connection:
        [(header,)] = connection.execute("SELECT header FROM bundles WHERE first = 1").fetchall()
        assert isinstance(header, bytes)
        renamed = header.replace(b'"aachen"', b'"aachdn"')
        assert renamed != header
        connection.execute("UPDATE bundles SET header = ? WHERE first = 1", (renamed,))
    _, _, damage = await read(tmp_path, "aachen")
    assert [(each.first, each.last) for each in damage] == [(1, 2)]


async def test_flipped_bits_anywhere_in_the_file_never_pass_for_what_was_said(tmp_path: Path) -> None:
    """Also in the pages' own structure: then the journal may not be readable at all, which is said."""
    said, chance = await written(tmp_path / "whole"), random.Random(60)
    seen = {"whole": 0, "quarantined": 0, "refused": 0}
    whole = (tmp_path / "whole" / "journal.db").read_bytes()
    used = [at for at in range(len(whole)) if whole[at]]
    for turn in range(60):
        folder = tmp_path / f"{turn}"
        shutil.copytree(tmp_path / "whole", folder)
        content = bytearray(whole)
        content[chance.choice(used)] ^= 1 << chance.randrange(8)
        (folder / "journal.db").write_bytes(content)
        try:
            found, _, damage = await read(folder, None)
        except (apsw.Error, CrossplantError, ValueError):
            seen["refused"] += 1
            continue
        assert all(item in said for item in found)
        assert damage or found == said
        seen["quarantined" if damage else "whole"] += 1
    assert seen["quarantined"] > 10, seen


async def test_the_last_bundle_may_be_the_bad_one(tmp_path: Path) -> None:
    said = await written(tmp_path)
    flip(tmp_path, said[-1].position - 1, "events", random.Random(1))
    found, reached, _ = await read(tmp_path, None)
    assert (len(found), reached) == (len(said) - 2, said[-1].position)


async def test_a_route_goes_on_past_it_and_a_dead_letter_names_what_it_misses(tmp_path: Path) -> None:
    said = await written(tmp_path)
    flip(tmp_path, 5, "events", random.Random(2))
    async with running(tmp_path) as rig:
        rig.journal._damaged = unreadable.record
        rig.journal.settle(Settlement(route="ahead", position=6))
        rig.journal.settle(Settlement(route="orders", position=2))
        await rig.journal.write(lambda _: None)
        sink = ScriptedSink()
        await rig.start(route(), sink)
        await until(lambda: len(sink.accepted) == len(said) - 4)
        assert sorted(sink.numbers) == [2, 3, *range(6, 2 * BUNDLES)]
        [letter] = await rig.letters()
        assert (letter.code, letter.position, letter.status) == ("journal_corrupt", 5, "open")
        assert "rows 5–6" in letter.error
        assert "had not delivered them: orders." in letter.error
        await until(lambda: _settled(rig.journal, said[-1].position))


async def _settled(journal: SQLiteJournal, position: int) -> bool:
    return (await journal.cursors())["orders"] == position


async def test_its_bytes_outlive_the_retention_until_the_dead_letter_is_discarded(tmp_path: Path) -> None:
    await written(tmp_path)
    flip(tmp_path, 5, "raws", random.Random(3))
    retention = Retention(before=unreadable.give_up)
    journal = SQLiteJournal(
        tmp_path, tables=dead_letters.TABLES, damaged=unreadable.record, retention=retention
    )
    await journal.open()
    await journal.events(4)
    retention.retain_s = 0.0
    await journal.retain()
    assert await _kept(journal) == [5]
    [letter] = await journal.read(lambda t: dead_letters.page(t, {}))
    await journal.write(lambda t: dead_letters.resolve(t, letter.id, "discarded", at=1.0, by="test"))
    await journal.retain()
    assert await _kept(journal) == []
    assert await journal.events(0) == ([], 0)
    await journal.close()


async def _kept(journal: SQLiteJournal) -> Sequence[int]:
    return [first for (first,) in await journal.read(lambda t: t.execute("SELECT first FROM bundles"))]


async def test_nothing_is_passed_over_that_could_not_be_recorded(tmp_path: Path) -> None:
    await written(tmp_path)
    flip(tmp_path, 5, "events", random.Random(4))

    def full(_: Transaction, damage: Damage) -> None:
        raise StorageError(f"no room for {damage.first}")

    journal = SQLiteJournal(tmp_path, damaged=full)
    await journal.open()
    with pytest.raises(StorageError, match="no room for 5"):
        await journal.events(4)
    found, reached = await journal.events(0, limit=1)
    assert ([item.position for item in found], reached) == ([1, 2], 2)
    with pytest.raises(StorageError, match="no room for 5"):
        await journal.events(reached + 2)
    await journal.close()
