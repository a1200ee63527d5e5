"""Copies of the services' file beside it, from which it is made anew when it is lost or damaged.

``services-<position>-<digest>.snapshot``: made by SQLite's backup, synced, then renamed, so that a name
without ``.part`` is a whole copy; the digest tells one that the disk changed. The newest two stay. The
journal keeps everything after the older one (``horizon``), so either is enough.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Final

import apsw

from gateway.projections.services.file import FORMAT, meta_of

__all__ = ["Snapshots", "remove"]

_KEPT: Final = 2
_NAME = re.compile(r"^services-(\d{1,19})-([0-9a-f]{16})\.snapshot$")
_STEP_PAGES: Final = -1  # at once: another connection's writing would make a slower copy begin again


class Snapshots:
    """The copies in a folder. Belongs to one thread at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def listed(self) -> list[tuple[int, Path]]:
        """(position, file), newest first; whether they are good is not looked at."""
        found = [
            (int(match.group(1)), path)
            for path in self._folder.iterdir()
            if (match := _NAME.match(path.name)) is not None
        ]
        return sorted(found, reverse=True)

    def horizon(self) -> int:
        """The journal must have everything after this position; 0 while there is no copy."""
        positions = [position for position, _ in self.listed()[:_KEPT]]
        return min(positions, default=0)

    def take(self, source: Path) -> int:
        """Copies the file as it is now; the position of the copy. Raises apsw.Error or OSError."""
        part = self._folder / "services.snapshot.part"
        remove(part)
        position = _copy(source, part)
        _sync(part)
        part.replace(self._folder / f"services-{position}-{_digest(part)}.snapshot")
        _sync(self._folder)
        for _, path in self.listed()[_KEPT:]:
            path.unlink(missing_ok=True)
        return position

    def restore(self, target: Path, at_most: int, refused: Callable[[Path, str], None]) -> int | None:
        """Puts the newest good copy in the target's place; its position, or None when there is none.

        Copies of later than ``at_most`` are of a history that the journal no longer has: they are removed.
        ``refused`` hears of every copy that is no good.
        """
        remove(target)
        for position, path in self.listed():
            if position > at_most:
                refused(path, f"it is at position {position}, the journal ends at {at_most}")
                path.unlink()
            elif _digest(path) != _name_digest(path):
                refused(path, "its content is not what was written")
            elif (found := _format(path)) != FORMAT:
                refused(path, f"it has format {found}, this is {FORMAT}")
            else:
                part = target.with_name(target.name + ".part")
                shutil.copy(path, part)  # with its mode
                _sync(part)
                part.replace(target)
                return position
        return None


def remove(path: Path) -> None:
    """Removes a database with what belongs to it."""
    for end in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + end).unlink(missing_ok=True)


def _copy(source: Path, target: Path) -> int:
    origin = apsw.Connection(str(source), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        copy = apsw.Connection(str(target))
        try:
            target.chmod(0o600)
            with copy.backup("main", origin, "main") as backup:
                backup.step(_STEP_PAGES)
            copy.execute("PRAGMA journal_mode = delete")  # a copy is one file
            return meta_of(copy).get("position", 0)
        finally:
            copy.close()
    finally:
        origin.close()


def _format(path: Path) -> int | None:
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            return meta_of(connection).get("format")
        finally:
            connection.close()
    except apsw.Error:
        return None


def _digest(path: Path) -> str:
    digest = blake2b(digest_size=8)
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _name_digest(path: Path) -> str:
    match = _NAME.match(path.name)
    return match.group(2) if match else ""


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
