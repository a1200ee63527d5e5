"""A backup taken while the hub runs is whole, and a restored hub goes on from it."""

import asyncio
import hashlib
import io
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import apsw
import pytest
from msgspec import structs

from canonical.errors import ConfigError
from deadletter import store as dead_letters
from gateway import local
from gateway.audit import Audit, page
from gateway.backedup import noting
from gateway.backup import BackupError, back_up, restore
from gateway.listening import listening
from gateway.runtime import TABLES
from router import unreadable
from router.journal import IngestBatch, Settlement
from router.journal.retention import Retention
from router.journal.sqlite import SQLiteJournal
from router.notices import notice_message
from tests.gateway.commands import crossplant
from tests.gateway.hubs import Gate, event, opened
from tests.waiting import eventually

_BEFORE, _DURING = 300, 200


async def _numbers(gate: Gate) -> list[str]:
    found, _ = await gate.hub.journal.events(0, limit=10_000)
    return [item.event.id for item in found]


@pytest.fixture
async def backup(tmp_path: Path) -> Path:
    """A backup that was made while events came in; the hub's folder is ``hub``."""
    target = tmp_path / "hub.tar"
    async with opened(tmp_path / "hub") as gate:
        await gate.key("admin")
        await gate.record(*(event(number) for number in range(_BEFORE)))
        making = asyncio.create_task(asyncio.to_thread(back_up, tmp_path / "hub", target))
        for number in range(_BEFORE, _BEFORE + _DURING):
            await gate.record(event(number))
        manifest = await making
    assert manifest.head >= _BEFORE
    return target


async def test_restored_hub_has_all_up_to_the_backup_and_goes_on(backup: Path, tmp_path: Path) -> None:
    manifest = await asyncio.to_thread(restore, backup, tmp_path / "new")
    async with opened(tmp_path / "new") as gate:
        found = await _numbers(gate)
        assert found == [f"{number:06d}" for number in range(len(found))]
        assert len(found) == manifest.head
        assert (await gate.hub.audit.verify(gate.hub.journal))["findings"] == []
        assert [key.name for key in await gate.hub.keys.list()] == ["test 0"]
        assert await gate.record(event(99_999)) == [manifest.head + 1]
        again = await gate.hub.search.lookup("/plants/aachen/adapters/mes", "000007")
        assert again == 8


def test_backup_is_for_its_owner_only_and_never_replaces_a_file(backup: Path, tmp_path: Path) -> None:
    assert backup.stat().st_mode & 0o077 == 0
    with pytest.raises(ConfigError, match="exists"):
        back_up(tmp_path / "hub", backup)
    with pytest.raises(ConfigError, match="not empty"):
        restore(backup, tmp_path / "hub")
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".crossplant")]


def test_cut_backup_is_refused_and_leaves_nothing(backup: Path, tmp_path: Path) -> None:
    content = backup.read_bytes()
    for kept in (0, 700, len(content) // 2, len(content) - 12_000):
        cut = tmp_path / f"cut-{kept}.tar"
        cut.write_bytes(content[:kept])
        with pytest.raises(BackupError):
            restore(cut, tmp_path / "new")
        assert not (tmp_path / "new").exists()


def test_flipped_bit_in_a_backup_is_found(backup: Path, tmp_path: Path) -> None:
    content = bytearray(backup.read_bytes())
    content[len(content) // 2] ^= 0x10
    backup.write_bytes(content)
    with pytest.raises(BackupError, match=r"SHA-256|damaged|was not restored"):
        restore(backup, tmp_path / "new")
    assert not (tmp_path / "new").exists()


async def test_bundle_that_rotted_on_the_hub_is_told_and_does_not_stop_the_backup(tmp_path: Path) -> None:
    async with opened(tmp_path / "hub") as gate:
        await gate.record(event(1))
        await gate.record(event(2))
    connection = apsw.Connection(str(tmp_path / "hub" / "journal.db"))
    connection.execute(
        "UPDATE bundles SET events = CAST(replace(events, 'O-1', 'O-9') AS BLOB) WHERE first = 1"
    )
    connection.close()
    made = await asyncio.to_thread(back_up, tmp_path / "hub", tmp_path / "hub.tar")
    assert made.damaged == [(1, 1)]
    assert (await asyncio.to_thread(restore, tmp_path / "hub.tar", tmp_path / "new")).damaged == [(1, 1)]


async def test_backup_is_whole_while_ingest_retention_and_quarantine_go_on(tmp_path: Path) -> None:
    """What was recorded before it and not removed is in it, without a gap, and what the disk changed too."""
    async with journal_at(tmp_path / "hub", size_bytes=30_000_000) as journal:
        for number in range(100):
            await journal.append(bulky("first", number))
    with closing(apsw.Connection(str(tmp_path / "hub" / "journal.db"))) as connection:
        connection.execute("UPDATE bundles SET hash = zeroblob(16) WHERE first = 451")
    async with journal_at(tmp_path / "hub", size_bytes=30_000_000) as journal:
        await journal.events(450)  # found, and spared from now on
    async with journal_at(tmp_path / "hub") as journal:
        stopping = asyncio.Event()

        async def source(name: str) -> None:
            number = 0
            while not stopping.is_set():
                number += 1
                await journal.append(bulky(name, number))
                journal.settle(Settlement(route="fast", position=journal.head))

        sources = [asyncio.create_task(source(f"s{number}")) for number in range(3)]
        await eventually(lambda: journal.head > 1500)
        before = journal.head
        made = await asyncio.to_thread(back_up, tmp_path / "hub", tmp_path / "hub.tar")
        stopping.set()
        await asyncio.gather(*sources)
    assert made.head >= before
    assert made.damaged == [(451, 455)]

    await asyncio.to_thread(restore, tmp_path / "hub.tar", tmp_path / "new")
    async with journal_at(tmp_path / "new") as again:
        found, reached = await again.events(0, limit=1_000_000)
        positions = [item.position for item in found]
        assert positions == list(range(positions[0], made.head + 1))
        assert positions[0] > 455
        assert (reached, again.head) == (made.head, made.head)
        [letter] = await again.read(lambda t: dead_letters.page(t, {}))
        assert (letter.code, letter.message_id) == ("journal_corrupt", "451-455")


@asynccontextmanager
async def journal_at(folder: Path, size_bytes: int = 3_000_000) -> AsyncIterator[SQLiteJournal]:
    """Kept within a size."""
    journal = SQLiteJournal(
        folder, tables=TABLES, retention=Retention(size_bytes=size_bytes), damaged=unreadable.record
    )
    await journal.open()
    try:
        yield journal
    finally:
        await journal.close()


def bulky(source: str, number: int) -> IngestBatch:
    events = [
        structs.replace(event(number), id=f"{source}-{number:05d}-{part}", data={"text": "x" * 4000})
        for part in range(5)
    ]
    return IngestBatch(adapter="hub", messages=[notice_message(each) for each in events])


async def test_large_messages_are_in_the_backup_whole_while_they_come_and_go(tmp_path: Path) -> None:
    """Each one lies in a file of its own; retention removes them all the time, but none while it is made."""
    async with journal_at(tmp_path / "hub", size_bytes=8_000_000) as journal:
        stopping = asyncio.Event()

        async def source(name: str) -> None:
            number = 0
            while not stopping.is_set():
                number += 1
                await journal.append(large(name, number))
                journal.settle(Settlement(route="fast", position=journal.head))

        sources = [asyncio.create_task(source(f"s{number}")) for number in range(2)]
        await eventually(lambda: journal.head > 30)
        made = await asyncio.to_thread(back_up, tmp_path / "hub", tmp_path / "hub.tar")
        stopping.set()
        await asyncio.gather(*sources)
    assert made.damaged == []
    await asyncio.to_thread(restore, tmp_path / "hub.tar", tmp_path / "new")
    async with journal_at(tmp_path / "new", size_bytes=100_000_000) as again:
        found, _ = await again.events(0)
        assert found[-1].position == made.head
        for item in found:
            raw = await again.raw(item.position)
            assert raw is not None
            assert raw.body == large(*item.event.id.split("#")).messages[0].raw.body
        assert len(list((tmp_path / "new" / "claims").iterdir())) == len(found)


def large(source: str, number: int | str) -> IngestBatch:
    """One message of more than a megabyte."""
    identity = f"{source}#{number}"
    taken = notice_message(structs.replace(event(1), id=identity, srcmsgid=identity))
    body = f"{source} {number} ".encode().ljust(1_200_000, b".")
    return IngestBatch(
        adapter="hub", messages=[structs.replace(taken, raw=structs.replace(taken.raw, body=body))]
    )


@pytest.mark.parametrize("harm", ["rot", "remove"])
async def test_a_large_message_that_the_disk_lost_is_told_and_does_not_stop_the_backup(
    tmp_path: Path, harm: str
) -> None:
    async with journal_at(tmp_path / "hub", size_bytes=30_000_000) as journal:
        for number in (1, 2, 3):
            await journal.append(large("s", number))
    body = large("s", 2).messages[0].raw.body
    [path] = [path for path in (tmp_path / "hub" / "claims").iterdir() if path.read_bytes() == body]
    if harm == "rot":
        path.write_bytes(body[:-1])
    else:
        path.unlink()
    made = await asyncio.to_thread(back_up, tmp_path / "hub", tmp_path / "hub.tar")
    assert made.damaged == [(2, 2)]
    assert (await asyncio.to_thread(restore, tmp_path / "hub.tar", tmp_path / "new")).damaged == [(2, 2)]


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil"])
def test_backup_cannot_reach_out_of_the_folder(tmp_path: Path, name: str) -> None:
    with tarfile.open(tmp_path / "evil.tar", "w") as archive:
        member = tarfile.TarInfo(name)
        member.size = 4
        archive.addfile(member, io.BytesIO(b"evil"))
    with pytest.raises(BackupError, match="outside of the data folder"):
        restore(tmp_path / "evil.tar", tmp_path / "new")


async def test_the_audit_tells_who_made_a_backup_and_who_restored_it(tmp_path: Path) -> None:
    file, hub = tmp_path / "a.tar", tmp_path / "hub"
    async with opened(hub) as gate:
        journal, record = gate.hub.journal, gate.hub.audit.record
        await gate.record(event(1))
        await gate.key("admin")
        async with listening(gate.hub.keys, hub, noting(journal, record)):
            made = await asyncio.to_thread(crossplant, "backup", file, "--data", hub)
        assert made.code == 0, made.err
        (entry,) = await page(journal, act="backup.make")
        assert (entry.actor, entry.subject) == (local.me(), "backup/a.tar")
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        size = file.stat().st_size
        assert entry.details == {"file": "a.tar", "sha256": digest, "size_bytes": size, "head": 1}
        async with listening(gate.hub.keys, hub):  # as an older hub, which keeps no such rows
            again = await asyncio.to_thread(crossplant, "backup", tmp_path / "b.tar", "--data", hub)
        assert (again.code, "was not written into the audit" in again.err) == (0, True)
    back = await asyncio.to_thread(crossplant, "restore", file, "--data", tmp_path / "new")
    assert back.code == 0, back.err
    async with opened(tmp_path / "new") as gate:
        loaded, restored, *_ = await page(gate.hub.journal)
        assert loaded.act == "configuration.load"  # the hub's start
        assert (restored.act, restored.actor) == ("backup.restore", local.me())
        assert (restored.subject, restored.details["head"]) == ("backup/a.tar", 1)
        verified = await gate.hub.audit.verify(gate.hub.journal)
        assert (verified["findings"], verified["head"]["first"]) == ([], 1)
        assert await _numbers(gate) == ["000001"]


async def test_a_backup_without_a_running_hub_is_in_the_audit_too(tmp_path: Path) -> None:
    hub = tmp_path / "hub"
    async with opened(hub) as gate:
        await gate.record(event(1))
        held = await asyncio.to_thread(crossplant, "backup", tmp_path / "held.tar", "--data", hub)
        assert held.code == 0
        assert "was not written into the audit: a hub runs on the data folder" in held.err  # it has no socket
    with closing(apsw.Connection(str(hub / "journal.db"))) as journal:
        journal.execute("UPDATE meta SET value = '2' WHERE key = 'schema'")
    for name in ("a.tar", "b.tar"):  # the folder is the one that `crossplant run` would take
        made = await asyncio.to_thread(
            crossplant, "backup", tmp_path / name, env={"CROSSPLANT_DATA": str(hub)}
        )
        assert (made.code, "audit" in made.err) == (0, False)
    with closing(apsw.Connection(str(hub / "journal.db"))) as journal:  # it was not brought up to date for it
        assert journal.execute("SELECT value FROM meta WHERE key = 'schema'").fetchall() == [("2",)]
    async with opened(hub) as gate:
        second, first = await page(gate.hub.journal, act="backup.make")
        assert (first.actor, first.subject, second.subject) == (local.me(), "backup/a.tar", "backup/b.tar")
        assert first.details["sha256"] == hashlib.sha256((tmp_path / "a.tar").read_bytes()).hexdigest()
        verified = await gate.hub.audit.verify(gate.hub.journal)
        assert (verified["findings"], verified["head"]["first"]) == ([], 1)
        assert await _numbers(gate) == ["000001"]


async def test_a_backup_of_a_folder_that_cannot_be_written_is_whole(tmp_path: Path) -> None:
    async with opened(tmp_path / "hub") as gate:
        await gate.record(event(1))
    (tmp_path / "hub" / "audit.key").write_bytes(b"")
    made = await asyncio.to_thread(crossplant, "backup", tmp_path / "a.tar", "--data", tmp_path / "hub")
    assert (made.code, "was not written into the audit" in made.err) == (0, True)
    assert restore(tmp_path / "a.tar", tmp_path / "new").head == 1


async def test_a_broken_audit_key_does_not_stop_a_restore(backup: Path, tmp_path: Path) -> None:
    await asyncio.to_thread(restore, backup, tmp_path / "first")
    (tmp_path / "first" / "audit.key").write_bytes(b"")
    await asyncio.to_thread(back_up, tmp_path / "first", tmp_path / "b.tar")
    back = await asyncio.to_thread(crossplant, "restore", tmp_path / "b.tar", "--data", tmp_path / "new")
    assert (back.code, "does not say who restored it" in back.err) == (0, True)
    assert (tmp_path / "new" / "journal.db").is_file()


async def test_commands_say_what_they_did(tmp_path: Path) -> None:
    async with opened(tmp_path / "hub") as gate:
        await gate.record(event(1))
        made = await asyncio.to_thread(
            crossplant, "backup", tmp_path / "a.tar", "--data", tmp_path / "hub", "--json"
        )
        assert (made.code, made.json()["head"]) == (0, 1)
    back = await asyncio.to_thread(crossplant, "restore", tmp_path / "a.tar", "--data", tmp_path / "new")
    assert back.code == 0
    assert "up to position 1" in back.err
    again = await asyncio.to_thread(crossplant, "restore", tmp_path / "a.tar", "--data", tmp_path / "new")
    assert (again.code, "not empty" in again.err) == (2, True)
    none = await asyncio.to_thread(crossplant, "backup", tmp_path / "b.tar", "--data", tmp_path / "nowhere")
    assert (none.code, "holds no journal" in none.err) == (2, True)
    assert Audit(tmp_path / "new").seals is not None
