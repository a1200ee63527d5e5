"""The claim check: large raw bodies in files of their own, there before the commit, gone after the bundle."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from hashlib import sha256
from pathlib import Path

import apsw
import pytest
from msgspec import structs

from canonical.ports import RawMessage, Transaction
from router.journal import IngestBatch, JournalCorrupt, Message, Settlement, StorageError, quarantine
from router.journal.claimcheck import FOLDER, ClaimCorrupt, Kept, claimed, held
from router.journal.retention import Retention
from router.journal.sqlite import SQLiteJournal
from tests.router.rig import message, order

OVER = 100_000


@asynccontextmanager
async def opened(folder: Path, retention: Retention | None = None) -> AsyncIterator[SQLiteJournal]:
    journal = SQLiteJournal(folder, retention=retention, claim_over_bytes=OVER)
    await journal.open()
    try:
        yield journal
    finally:
        await journal.close()


def body_of(number: int, size_bytes: int = OVER + 1) -> bytes:
    return (b"%d " % number).ljust(size_bytes, b".")


def sent(number: int, body: bytes) -> Message:
    taken = message(order(number, f"o{number}"))
    return structs.replace(
        taken, raw=structs.replace(taken.raw, body=body, content_type="text/plain", attributes={"topic": "t"})
    )


def batch(*messages: Message) -> IngestBatch:
    return IngestBatch(adapter="mes", messages=messages)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / FOLDER).iterdir())


def names(*bodies: bytes) -> list[str]:
    return sorted(sha256(body).hexdigest() for body in bodies)


async def rows(journal: SQLiteJournal) -> list[tuple[object, ...]]:
    return await journal.read(lambda t: t.execute("SELECT length(raws) FROM bundles ORDER BY first"))


async def test_a_large_body_lies_in_a_file_and_comes_back_as_it_was(tmp_path: Path) -> None:
    large, small, just = body_of(1), b"small", body_of(3, OVER)
    async with opened(tmp_path) as journal:
        await journal.append(batch(sent(1, large), sent(2, small), sent(3, just)))
        [(kept,)] = await rows(journal)
    assert files(tmp_path) == names(large)
    assert (tmp_path / FOLDER / names(large)[0]).read_bytes() == large
    assert (tmp_path / FOLDER).stat().st_mode & 0o077 == 0
    assert (tmp_path / FOLDER / names(large)[0]).stat().st_mode & 0o077 == 0
    assert OVER < int(str(kept)) < OVER + 1000  # the one that is not over the size, and two short ones
    async with opened(tmp_path) as again:
        found = [await again.raw(position) for position in (1, 2, 3)]
        assert [raw and raw.body for raw in found] == [large, small, just]
        assert found[0] == structs.replace(sent(1, large).raw, received_at=found[0].received_at)  # type: ignore[union-attr]
        assert [raw.body for raw in await again.history("mes", 3)] == [large, small, just]


def test_what_is_kept_of_a_message_is_all_of_it() -> None:
    """A field that only one of them had would be gone when the message is read again."""
    assert Kept.__struct_fields__ == RawMessage.__struct_fields__


async def test_small_messages_that_are_many_stay_in_their_bundle(tmp_path: Path) -> None:
    async with opened(tmp_path) as journal:
        await journal.append(batch(*(sent(number, body_of(number, 10_000)) for number in range(1, 31))))
        [(kept,)] = await rows(journal)
        assert int(str(kept)) > 300_000
        assert files(tmp_path) == []


async def test_the_same_content_lies_there_once_until_its_last_bundle_has_gone(tmp_path: Path) -> None:
    body = body_of(1)
    retention = Retention(retain_s=0.0)
    async with opened(tmp_path, retention) as journal:
        await journal.write(lambda t: t.execute("INSERT INTO cursors VALUES ('slow', 0)"))
        await journal.append(batch(sent(1, body), sent(2, body)))
        await journal.append(batch(sent(3, body)))
        await passed(journal, 2)
        assert (files(tmp_path), len(await rows(journal))) == (names(body), 1)
        raw = await journal.raw(3)
        assert raw is not None
        assert raw.body == body
        await passed(journal, 3)
        assert (files(tmp_path), await rows(journal)) == ([], [])
        await journal.append(batch(sent(4, body)))
        assert files(tmp_path) == names(body)


async def passed(journal: SQLiteJournal, position: int) -> None:
    """The slow route goes on, and what may go does."""
    journal.settle(Settlement(route="slow", position=position))
    await journal.write(lambda _: None)
    await journal.retain()


# ── damage ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("harm", "reason"), [("flip", "the disk changed it"), ("remove", "cannot be read")])
async def test_a_body_that_the_disk_changed_or_lost_is_told_and_its_event_is_well(
    tmp_path: Path, harm: str, reason: str
) -> None:
    body = body_of(1)
    path = tmp_path / FOLDER / names(body)[0]
    async with opened(tmp_path) as journal:
        await journal.append(batch(sent(1, body), sent(2, b"small")))
        if harm == "flip":
            path.write_bytes(bytes([body[0] ^ 1]) + body[1:])
        else:
            path.unlink()
        with pytest.raises(ClaimCorrupt, match=rf"rows 1–2 .*{path.name}.*{reason}") as told:
            await journal.raw(1)
        assert isinstance(told.value, JournalCorrupt)  # so that those who know about rotten bundles know it
        small = await journal.raw(2)
        assert small is not None
        assert small.body == b"small"
    async with opened(tmp_path) as again:
        found, _ = await again.events(0)
        assert [item.position for item in found] == [1, 2]
        assert await again.read(lambda t: t.execute("SELECT count(*) FROM quarantine")) == [(0,)]


async def test_the_same_content_mends_a_file_that_the_disk_changed(tmp_path: Path) -> None:
    body = body_of(1)
    async with opened(tmp_path) as journal:
        await journal.append(batch(sent(1, body)))
        (tmp_path / FOLDER / names(body)[0]).write_bytes(b"rotten")
        await journal.append(batch(sent(2, body)))
        raws = [await journal.raw(position) for position in (1, 2)]
        assert [raw and raw.body for raw in raws] == [body, body]


async def test_retention_spares_the_files_of_a_bundle_in_quarantine(tmp_path: Path) -> None:
    body = body_of(1)
    async with opened(tmp_path, Retention(retain_s=0.0)) as journal:
        await journal.append(batch(sent(1, body)))
        await journal.write(lambda t: quarantine.put(t, JournalCorrupt(1, 1)))
        await journal.retain()
        assert files(tmp_path) == names(body)
        await journal.write(lambda t: quarantine.release(t, 1))
        await journal.retain()
        assert files(tmp_path) == []


# ── a disk that does not take it ─────────────────────────────────────────────────────────────────


async def test_a_file_that_cannot_be_written_fails_the_commit_and_the_next_one_takes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body, sync = body_of(1), os.fsync

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    async with opened(tmp_path) as journal:
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(StorageError, match="No space left on device; nothing was acknowledged"):
            await journal.append(batch(sent(1, body), sent(2, b"small")))
        assert "No space left" in journal.failure
        assert (journal.head, await rows(journal), files(tmp_path)) == (0, [], [])
        monkeypatch.setattr(os, "fsync", sync)
        outcomes = await journal.append(batch(sent(1, body), sent(2, b"small")))
        assert [(each.status, each.positions) for each in outcomes] == [
            ("accepted", (1,)),
            ("accepted", (2,)),
        ]
        assert (journal.failure, files(tmp_path)) == ("", names(body))


async def test_the_file_and_its_folder_are_synced_before_the_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told by what the other processes' view of the journal is at each sync: nothing of it is committed."""
    synced: list[tuple[str, list[str], int]] = []
    sync = os.fsync

    def seen(handle: int) -> None:
        sync(handle)
        with closing(apsw.Connection(str(tmp_path / "journal.db"))) as other:
            [(count,)] = other.execute("SELECT count(*) FROM bundles").fetchall()
        path = Path(f"/proc/self/fd/{handle}").readlink()
        synced.append((path.name, files(tmp_path), int(str(count))))

    body = body_of(1)
    async with opened(tmp_path) as journal:
        monkeypatch.setattr(os, "fsync", seen)
        await journal.append(batch(sent(1, body)))
    [name] = names(body)
    assert synced == [(f"{name}.part", [f"{name}.part"], 0), (FOLDER, [name], 0)]


# ── removed ──────────────────────────────────────────────────────────────────────────────────────


async def test_what_a_crash_left_goes_with_the_next_housekeeping(tmp_path: Path) -> None:
    body = body_of(1)
    async with opened(tmp_path) as journal:
        await journal.append(batch(sent(1, body)))
        for number in range(40):  # more than go at once
            (tmp_path / FOLDER / sha256(b"%d" % number).hexdigest()).write_bytes(b"an orphan")
        (tmp_path / FOLDER / "0000.part").write_bytes(b"half")
        await journal.retain()
        assert files(tmp_path) == names(body)


async def test_a_file_stays_when_the_sweep_of_its_bundle_is_undone(tmp_path: Path) -> None:
    """Sweep and removal in one transaction, which then fails."""
    body = body_of(1)
    async with opened(tmp_path) as journal:
        await journal.append(batch(sent(1, body)))

        def all_at_once(transaction: Transaction) -> Sequence[str]:
            transaction.execute("DELETE FROM bundles")
            transaction.execute("DELETE FROM claim_checks")
            left = journal._claims.unclaimed(transaction)
            assert left == names(body)
            journal._claims.remove(left, journal.path)
            raise apsw.FullError("on purpose")

        with pytest.raises(StorageError):
            await journal.write(all_at_once)
        raw = await journal.raw(1)
        assert raw is not None
        assert raw.body == body


async def test_nothing_is_removed_while_a_backup_holds_the_folder(tmp_path: Path) -> None:
    body = body_of(1)
    async with opened(tmp_path, Retention(retain_s=0.0)) as journal:
        await journal.append(batch(sent(1, body)))
        with held(tmp_path):
            await journal.retain()
            assert (files(tmp_path), await rows(journal)) == (names(body), [])
        await journal.retain()
        assert files(tmp_path) == []


async def test_files_count_towards_the_size_limit(tmp_path: Path) -> None:
    async with opened(tmp_path, Retention(size_bytes=3_000_000)) as journal:
        await journal.write(lambda t: t.execute("INSERT INTO cursors VALUES ('slow', 0)"))
        number = 0
        while not journal.full:
            number += 1
            await journal.append(batch(sent(number, body_of(number, 500_000))))
            await journal.retain()
        assert 4 <= number <= 7
        waiting = asyncio.create_task(journal.append(batch(sent(number + 1, b"small"))))
        await journal.retain()
        assert not waiting.done()
        await passed(journal, number)
        assert [outcome.status for outcome in await waiting] == ["accepted"]
        assert len(files(tmp_path)) < number


# ── kill -9 ──────────────────────────────────────────────────────────────────────────────────────

_CHILD = """
import asyncio, sys
from pathlib import Path
from tests.router.test_claimcheck import batch, body_of, opened, sent
from router.journal.retention import Retention

async def main(folder):
    async with opened(folder, Retention(retain_s=0.0)) as journal:
        await journal.write(lambda t: t.execute("INSERT OR IGNORE INTO cursors VALUES ('slow', 0)"))
        for number in range(1, 1000):
            if number % 5 == 0:
                last = journal.head - 2
                await journal.write(lambda t: t.execute("UPDATE cursors SET position = ?", (last,)))
                await journal.retain()
            await journal.append(batch(sent(number, body_of(number)), sent(number + 10_000, body_of(0))))
            print(number, flush=True)

asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "point",
    [
        "journal.before_commit:4",  # the files of the first append are there, its commit is not
        *(f"journal.{side}_commit:{count}" for side in ("before", "after") for count in range(13, 23)),
    ],
)
async def test_kill_9_around_any_commit_leaves_a_file_too_many_at_most(tmp_path: Path, point: str) -> None:
    """Appends, sweeps and removals in turn; each commit of a round dies once before and once after itself."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _CHILD, str(tmp_path)),
        env={**os.environ, "CROSSPLANT_FAILPOINT": point, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await child.communicate()
    assert child.returncode == -signal.SIGKILL
    acknowledged = [int(line) for line in said.split()]
    assert set(claimed(tmp_path / "journal.db")) <= set(files(tmp_path))
    async with opened(tmp_path) as journal:
        found, _ = await journal.events(0)
        numbers = [int(item.event.id) for item in found]
        assert not acknowledged or acknowledged[-1] in numbers
        for item in found:
            raw = await journal.raw(item.position)
            assert raw is not None
            number = int(item.event.id)
            assert raw.body == body_of(number if number < 10_000 else 0)
        await journal.retain()
        assert files(tmp_path) == sorted(claimed(journal.path))
