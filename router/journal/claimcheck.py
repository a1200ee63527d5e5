"""The claim check: raw bodies that are too large for a bundle lie beside the journal, in files of their own.

A file is named by the SHA-256 of its content. It is on the disk, and so is its name, before the bundle that
refers to it is committed; it is removed after the bundle is. A crash in between leaves a file too many, never
one too few.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Sequence
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Final

import apsw
from msgspec import Struct, field, structs

from canonical.errors import Stage
from canonical.ports import Attribute, RawMessage, Transaction
from router.journal import JournalCorrupt, StorageError

__all__ = ["FOLDER", "TABLES", "ClaimCheck", "ClaimCorrupt", "Claims", "Kept", "claimed", "held"]

FOLDER: Final = "claims"
TABLES: Final = (
    """CREATE TABLE IF NOT EXISTS claim_checks (
        first INTEGER NOT NULL, sha256 TEXT NOT NULL, size_bytes INTEGER NOT NULL,
        PRIMARY KEY (first, sha256)) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS claim_checks_by_content ON claim_checks (sha256, size_bytes)",
)
"""Which bundles (by their first position) refer to which files."""

_AT_ONCE = 16  # files removed between two commits


class ClaimCheck(Struct, frozen=True, kw_only=True, gc=False):
    """What lies in a bundle instead of a body; ``sha256`` in hexadecimal digits names the file."""

    sha256: str
    size_bytes: int


class Kept(Struct, frozen=True, kw_only=True, gc=False):
    """A ``RawMessage`` as it lies in a bundle."""

    adapter: str
    id: str
    body: bytes | ClaimCheck
    received_at: datetime
    content_type: str = ""
    attributes: dict[str, Attribute] = field(default_factory=dict)


class ClaimCorrupt(JournalCorrupt):
    """The bundle of ``first`` to ``last`` is well, and a body that it refers to is not what was written."""

    def __init__(self, first: int, last: int, name: str, reason: str) -> None:
        Exception.__init__(
            self,
            f"the body of a message of the journal's rows {first}–{last} cannot be had: {FOLDER}/{name} "
            f"{reason}: take it from a backup into the data folder; the events are not concerned",
        )
        self.first, self.last = first, last


class Claims:
    """The folder. All but ``message`` and ``unclaimed`` is for the journal's writer alone."""

    def __init__(self, data_dir: Path, over_bytes: int) -> None:
        self.path, self.over_bytes = data_dir / FOLDER, over_bytes

    def open(self) -> None:
        """Makes the folder durably. Raises OSError."""
        if not self.path.is_dir():
            self.path.mkdir(mode=0o700)
            _sync(self.path.parent)

    def check_in(self, raws: Sequence[RawMessage]) -> tuple[list[RawMessage | Kept], list[ClaimCheck]]:
        """The messages as their bundle is to keep them, and the checks among them, durable.

        Raises StorageError.
        """
        kept: list[RawMessage | Kept] = []
        checks: dict[str, ClaimCheck] = {}
        try:
            for raw in raws:
                if len(raw.body) <= self.over_bytes:
                    kept.append(raw)
                    continue
                check = self._put(raw.body)
                checks[check.sha256] = check
                kept.append(Kept(**structs.asdict(raw) | {"body": check}))
            if checks:
                _sync(self.path)
        except OSError as error:
            raise StorageError(
                f"a large message could not be written to {self.path}: {error}; nothing was acknowledged: "
                "free or mend the disk",
                stage=Stage.RECEIVING,
            ) from error
        return kept, list(checks.values())

    def _put(self, body: bytes) -> ClaimCheck:
        """Writes the file, unless it is there and well."""
        check = ClaimCheck(sha256=sha256(body).hexdigest(), size_bytes=len(body))
        path = self.path / check.sha256
        with contextlib.suppress(OSError):
            if path.read_bytes() == body:
                return check
        unfinished = path.with_suffix(".part")
        try:
            with open(unfinished, "wb", opener=_for_the_owner) as file:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
            unfinished.rename(path)
        except OSError:
            with contextlib.suppress(OSError):
                unfinished.unlink()
            raise
        return check

    def message(self, kept: Kept, first: int, last: int) -> RawMessage:
        """The message with its body, which is read and held against its hash. Raises ClaimCorrupt."""
        body = kept.body
        if isinstance(body, ClaimCheck):
            body = self._read(body, first, last)
        return RawMessage(**structs.asdict(kept) | {"body": body})

    def _read(self, check: ClaimCheck, first: int, last: int) -> bytes:
        path = self.path / check.sha256
        try:
            body = path.read_bytes()
        except OSError as error:
            raise ClaimCorrupt(first, last, path.name, f"cannot be read ({error.strerror})") from error
        if sha256(body).hexdigest() != check.sha256:
            raise ClaimCorrupt(first, last, path.name, "does not match its hash, the disk changed it")
        return body

    # ── removed ──────────────────────────────────────────────────────────────────────────────────

    def unclaimed(self, transaction: Transaction) -> list[str]:
        """The names of files that no bundle refers to; those of unfinished ones, too."""
        with contextlib.suppress(FileNotFoundError):
            if names := set(os.listdir(self.path)):  # noqa: PTH208 - names are wanted
                rows = transaction.execute("SELECT DISTINCT sha256 FROM claim_checks")
                return sorted(names - {str(name) for (name,) in rows})
        return []

    def remove(self, names: Sequence[str], journal: Path) -> Sequence[str]:
        """Removes some that no bundle on the disk refers to by now; returns those that are left to do.

        What counts is what is committed, which only another connection sees: a sweep in this transaction may
        still be undone. While a backup is made nothing is removed. Raises StorageError.
        """
        try:
            with _alone(self.path) as alone:
                if not alone:
                    return []
                for name in _only_unclaimed(journal, names[:_AT_ONCE]):
                    (self.path / name).unlink(missing_ok=True)
        except (OSError, apsw.Error) as error:
            raise StorageError(
                f"{self.path} could not be tidied: {error}: mend the disk or the folder's rights"
            ) from error
        return names[_AT_ONCE:]


def _only_unclaimed(journal: Path, names: Sequence[str]) -> list[str]:
    connection = apsw.Connection(str(journal), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        statement = "SELECT 1 FROM claim_checks WHERE sha256 = ? LIMIT 1"
        return [name for name in names if not connection.execute(statement, (name,)).fetchall()]
    finally:
        connection.close()


def claimed(journal: Path) -> dict[str, list[tuple[int, int]]]:
    """The files that a journal refers to, with the (first, last) positions of the bundles that do."""
    connection = apsw.Connection(str(journal), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        found: dict[str, list[tuple[int, int]]] = {}
        if connection.table_exists("main", "claim_checks"):  # a journal from before has none
            rows = connection.execute(
                "SELECT sha256, first, last FROM claim_checks JOIN bundles USING (first) ORDER BY 1, 2"
            )
            for name, first, last in rows:
                found.setdefault(str(name), []).append((int(str(first)), int(str(last))))
        return found
    finally:
        connection.close()


@contextlib.contextmanager
def held(data_dir: Path) -> Iterator[None]:
    """While it lasts no file is removed from the folder, whichever process holds it."""
    path = data_dir / FOLDER
    if not path.is_dir():  # no hub that has one has opened this data folder yet
        yield
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH)
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[bool]:
    """Whether nobody holds the folder; then nobody gets hold of it while this lasts."""
    handle = os.open(path, os.O_RDONLY)
    try:
        alone = True
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            alone = False
        yield alone
    finally:
        os.close(handle)


def _for_the_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
