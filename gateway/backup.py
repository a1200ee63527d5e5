"""Backups of a data folder while its hub runs, and the way back.

A backup is one tar file: consistent copies of the databases, the other files, and at its end
``manifest.json`` with the size and SHA-256 of each. What is made from the journal again
(``search.db``) is left out. The journal is copied after the others, so that nothing in the backup is ahead
of it; only the large messages that it refers to come after it, and none of them is removed meanwhile.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import IO, Final

import apsw
import msgspec
from msgspec import Struct

from canonical.errors import ConfigError, CrossplantError

__all__ = ["BackupError", "Manifest", "Part", "Progress", "back_up", "note_restored", "restore"]

_JOURNAL: Final = "journal.db"
_MANIFEST: Final = "manifest.json"
_FORMAT: Final = 1
_LEFT_OUT: Final = frozenset({"search.db", "lock", "hub.sock"})
_SIDE_FILES: Final = ("-wal", "-shm", "-journal", ".snapshot", ".snapshot.part", "services.db.part")
"""Ends of names; the copies of ``services.db`` come and go, and it is in the backup itself."""
_PAGES: Final = 4096
_BLOCK: Final = 1 << 20

Progress = Callable[[str, float], None]
"""Told (what is copied, the part of it that is done, 0 to 1)."""


class BackupError(CrossplantError):
    """A backup that cannot be made or is not whole; what was there is unchanged."""

    code = "backup"


class Part(Struct, frozen=True, kw_only=True):
    """A file in a backup; ``path`` is relative to the data folder."""

    path: str
    size_bytes: int
    sha256: str


class Manifest(Struct, frozen=True, kw_only=True):
    """What a backup holds. ``head``: the journal's newest position; what came later is not in it.

    ``damaged``: (first, last) positions of bundles whose content, or that of a large message of theirs, does
    not fit its hash; they are in the backup as they were on the hub's disk.
    """

    format: int
    crossplant: str
    made_at: datetime
    head: int
    parts: list[Part]
    damaged: list[tuple[int, int]]


# ── made ────────────────────────────────────────────────────────────────────────────────────────


def back_up(data_dir: Path, target: Path, *, progress: Progress = lambda _what, _done: None) -> Manifest:
    """Writes a backup; whether a hub runs does not matter. ``target`` appears once it is whole and synced.

    Raises ConfigError for a folder without a journal or a target that exists, BackupError when it fails.
    """
    if not (data_dir / _JOURNAL).is_file():
        raise ConfigError(f"{data_dir} holds no journal: --data names the data folder of a hub")
    if target.exists():
        raise ConfigError(f"{target} exists: a backup is never written over another file")
    unfinished = target.with_name(f"{target.name}.part")
    try:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".crossplant-backup-") as scratch:
            unfinished.unlink(missing_ok=True)
            unfinished.touch(mode=0o600)
            with unfinished.open("wb") as file:
                manifest = _write(data_dir, file, Path(scratch), progress)
                file.flush()
                os.fsync(file.fileno())
        unfinished.rename(target)
        _sync(target.parent)
    except (OSError, apsw.Error, tarfile.TarError) as error:
        unfinished.unlink(missing_ok=True)
        raise BackupError(f"no backup was made of {data_dir}: {error}") from error
    return manifest


def _write(data_dir: Path, file: IO[bytes], scratch: Path, progress: Progress) -> Manifest:
    from router.journal.claimcheck import claimed, held

    parts: list[Part] = []
    head, damaged = 0, list[tuple[int, int]]()
    large: dict[str, list[tuple[int, int]]] = {}
    with held(data_dir), tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in _files(data_dir):
            name = str(path.relative_to(data_dir))
            source = path
            if path.suffix == ".db":
                source = scratch / "copy.db"
                _copy_database(path, source, lambda done, name=name: progress(name, done))  # type: ignore[misc]
            if name == _JOURNAL:
                head, damaged = _looked_at(source, progress)
                large = claimed(source)
            parts.append(_add(archive, source, name))
            if source != path:
                source.unlink()
            progress(name, 1.0)
        added, broken = _add_large(archive, data_dir, large, progress)
        manifest = Manifest(
            format=_FORMAT,
            crossplant=version("crossplant"),
            made_at=datetime.now(UTC),
            head=head,
            parts=parts + added,
            damaged=sorted({*damaged, *broken}),
        )
        text = scratch / _MANIFEST
        text.write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))
        archive.add(text, arcname=_MANIFEST)
    return manifest


def _add(archive: tarfile.TarFile, source: Path, name: str) -> Part:
    part = Part(path=name, size_bytes=source.stat().st_size, sha256=_sha256(source))
    archive.add(source, arcname=name, recursive=False)
    return part


def _add_large(
    archive: tarfile.TarFile, data_dir: Path, large: dict[str, list[tuple[int, int]]], progress: Progress
) -> tuple[list[Part], set[tuple[int, int]]]:
    """The files of large messages that the journal's copy refers to, and whose bundles miss theirs."""
    from router.journal.claimcheck import FOLDER

    parts: list[Part] = []
    broken: set[tuple[int, int]] = set()
    for number, (digest, bundles) in enumerate(large.items()):
        path = data_dir / FOLDER / digest
        if path.is_file():
            parts.append(_add(archive, path, f"{FOLDER}/{digest}"))
        if not parts or parts[-1].sha256 != digest:  # damaged, or not there at all
            broken.update(bundles)
        progress("large messages", (number + 1) / len(large))
    return parts, broken


def _files(data_dir: Path) -> Iterator[Path]:
    """Everything that belongs in a backup but large messages, the journal last."""
    from router.journal.claimcheck import FOLDER

    for path in sorted(data_dir.rglob("*")):
        left_out = path.name in _LEFT_OUT or path.name.endswith(_SIDE_FILES) or path.name == _JOURNAL
        left_out = left_out or path.parent == data_dir / FOLDER
        if path.is_file() and not path.is_symlink() and not left_out:
            yield path
    yield data_dir / _JOURNAL


def _copy_database(path: Path, target: Path, progress: Callable[[float], None]) -> None:
    """As of one moment: the copy is read in one transaction, however long it takes."""
    source = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    copy = apsw.Connection(str(target))
    try:
        source.set_busy_timeout(5000)
        source.execute("BEGIN")  # the snapshot that all steps read
        source.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall()
        with copy.backup("main", source, "main") as step:
            while not step.done:
                step.step(_PAGES)
                progress(1.0 - step.remaining / max(step.page_count, 1))
        source.execute("ROLLBACK")
        copy.execute("PRAGMA journal_mode = delete")  # one file, no side files
    finally:
        copy.close()
        source.close()


def _looked_at(journal: Path, progress: Progress) -> tuple[int, list[tuple[int, int]]]:
    """(the newest position, the damaged bundles). Raises BackupError for a file that is no database."""
    from router.journal import JournalCorrupt
    from router.journal.bundle import events_of
    from router.journal.positions import following
    from router.journal.reading import COLUMNS
    from router.journal.writer import Statements

    damaged = []
    connection = apsw.Connection(str(journal), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        said = connection.execute("PRAGMA quick_check(1)").fetchone()
        if said != ("ok",):
            raise BackupError(f"the journal is damaged: {said}")
        newest = following(Statements(connection)) - 1
        (bundles,) = connection.execute("SELECT count(*) FROM bundles").fetchone() or (0,)
        statement = f"SELECT {COLUMNS} FROM bundles ORDER BY first"  # noqa: S608 - columns of ours
        for number, bundle in enumerate(connection.execute(statement)):
            try:
                events_of(bundle)
            except JournalCorrupt as error:
                damaged.append((error.first, error.last))
            if number % 200 == 0:
                progress("checking bundles", number / max(int(str(bundles)), 1))
        return newest, damaged
    finally:
        connection.close()


# ── brought back ────────────────────────────────────────────────────────────────────────────────


def restore(backup: Path, data_dir: Path, *, progress: Progress = lambda _what, _done: None) -> Manifest:
    """Makes a data folder of a backup, checked file by file. ``data_dir`` must not exist, or be
    empty; it appears once all is well.

    Raises ConfigError for a folder that is in use, BackupError for a backup that is not whole.
    """
    if data_dir.exists() and (not data_dir.is_dir() or any(data_dir.iterdir())):
        raise ConfigError(f"{data_dir} is not empty: restore into a new folder, or move this one away first")
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=data_dir.parent, prefix=".crossplant-restore-") as scratch:
            folder = Path(scratch) / "data"
            folder.mkdir(mode=0o700)
            manifest = _unpack(backup, folder, progress)
            for path in (*folder.rglob("*"), folder):
                _sync(path)
            if data_dir.exists():
                data_dir.rmdir()
            folder.rename(data_dir)
            _sync(data_dir.parent)
    except (OSError, apsw.Error, tarfile.TarError, msgspec.MsgspecError) as error:
        raise BackupError(f"{backup} was not restored: {error}") from error
    return manifest


def note_restored(data_dir: Path, backup: Path, manifest: Manifest, *, by: str) -> None:
    """Writes into the audit of the new folder who made it, and of what: the chain that came with the backup
    goes on, with the key that came too. Raises CrossplantError."""
    from gateway import atrest

    told = {"file": backup.name, "made_at": manifest.made_at, "head": manifest.head}
    atrest.note(data_dir, by, "backup.restore", f"backup/{backup.name}", told)


def _unpack(backup: Path, folder: Path, progress: Progress) -> Manifest:
    text: bytes | None = None
    with tarfile.open(backup, mode="r:") as archive:
        for member in archive:
            taken = archive.extractfile(member) if member.isfile() else None
            if taken is None:
                raise BackupError(f"{backup}: {member.name!r} is no file, so this is no backup of a hub")
            if member.name == _MANIFEST:
                text = taken.read()
                continue
            path = folder / _inside(member.name)
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.touch(mode=0o600)
            with path.open("wb") as file:
                shutil.copyfileobj(taken, file, _BLOCK)
            progress(member.name, 1.0)
    if text is None:
        raise BackupError(f"{backup} ends before its manifest: the backup was cut off")
    manifest = msgspec.json.decode(text, type=Manifest)
    if manifest.format != _FORMAT:
        raise BackupError(f"{backup} has format {manifest.format}, this program knows {_FORMAT}")
    _check_parts(folder, manifest)
    return manifest


def _inside(name: str) -> PurePosixPath:
    """The name, when it stays in the folder. Raises BackupError."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise BackupError(f"the backup has a file {name!r}, which lies outside of the data folder")
    return path


def _check_parts(folder: Path, manifest: Manifest) -> None:
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    named = {part.path for part in manifest.parts}
    if there != named:
        raise BackupError(f"the backup's files are not those of its manifest: {sorted(there ^ named)}")
    for part in manifest.parts:
        if _sha256(folder / part.path) != part.sha256:
            raise BackupError(f"{part.path} is not what was backed up: its SHA-256 differs")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
