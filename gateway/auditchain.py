"""The seals of the audit: an HMAC chain that shows what was deleted, edited, reordered or cut off.

Each row has two marks: one over its own content, one over the row's mark and the seal before it. The
head, sealed too, says how far the chain goes. The key lies in the data folder (``audit.key``, mode
0600): whoever can read it can forge the chain, so who wants proof against the machine's own
administrators keeps the head that ``verify`` tells somewhere else, and compares.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from canonical.errors import ConfigError
from canonical.ports import Transaction

__all__ = ["KEY_FILE", "TABLES", "Head", "Row", "Seals", "append", "verify"]

KEY_FILE: Final = "audit.key"
TABLES = (
    "CREATE TABLE IF NOT EXISTS audit_seals (id INTEGER PRIMARY KEY, mark BLOB NOT NULL, seal BLOB NOT NULL)",
    """CREATE TABLE IF NOT EXISTS audit_head (
        one INTEGER PRIMARY KEY CHECK (one = 1), first INTEGER NOT NULL, last INTEGER NOT NULL,
        seal BLOB NOT NULL, mark BLOB NOT NULL)""",
)
_KEY_BYTES: Final = 32
_NAMED: Final = 20
_PAGE: Final = 1000


class Row(Struct, frozen=True, kw_only=True):
    """A row of the audit as it is stored; ``details`` is JSON text."""

    id: int
    at: float
    actor: str
    act: str
    subject: str
    details: str


class Head(Struct, frozen=True, kw_only=True):
    """How far the chain goes, from ``first`` to ``last``, and its newest seal."""

    first: int
    last: int
    seal: bytes


class Seals:
    """What makes marks and seals."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def of(cls, folder: Path) -> Seals:
        """With the key in the folder, made when there is none. Raises ConfigError for one that is cut."""
        path = folder / KEY_FILE
        try:
            key = path.read_bytes()
        except FileNotFoundError:
            key = _new_key(path)
        if len(key) != _KEY_BYTES:
            raise ConfigError(
                f"{path} has {len(key)} bytes instead of {_KEY_BYTES}: restore it from a backup"
            )
        return cls(key)

    def mark(self, row: Row) -> bytes:
        """Over a row's own content."""
        return self._over(b"row", msgspec.msgpack.encode(row))

    def seal(self, before: bytes, mark: bytes) -> bytes:
        """Over a row's mark and the seal before it; the first one has ``b""`` before it."""
        return self._over(b"seal", before, mark)

    def head(self, head: Head) -> bytes:
        """Over the head."""
        return self._over(b"head", msgspec.msgpack.encode(head))

    def _over(self, *parts: bytes) -> bytes:
        return hmac.digest(
            self._key, b"\0".join([b"%d" % len(part) + b":" + part for part in parts]), hashlib.sha256
        )


def _new_key(path: Path) -> bytes:
    """A key, durable before anything is sealed with it."""
    key = secrets.token_bytes(_KEY_BYTES)
    made = path.with_name(f"{path.name}.new")
    made.unlink(missing_ok=True)
    made.touch(mode=0o600)
    with made.open("wb") as file:
        file.write(key)
        file.flush()
        os.fsync(file.fileno())
    made.rename(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return key


def append(transaction: Transaction, seals: Seals, row: Row) -> None:
    """Seals a row that was just added."""
    kept = _head(transaction)
    first, before = (row.id, b"") if kept is None else (kept[0].first, kept[0].seal)
    mark = seals.mark(row)
    seal = seals.seal(before, mark)
    head = Head(first=first, last=row.id, seal=seal)
    transaction.execute("INSERT INTO audit_seals VALUES (?, ?, ?)", (row.id, mark, seal))
    transaction.execute(
        "INSERT OR REPLACE INTO audit_head VALUES (1, ?, ?, ?, ?)",
        (head.first, head.last, head.seal, seals.head(head)),
    )


def _head(transaction: Transaction) -> tuple[Head, bytes] | None:
    rows = transaction.execute("SELECT first, last, seal, mark FROM audit_head")
    return (Head(first=rows[0][0], last=rows[0][1], seal=rows[0][2]), rows[0][3]) if rows else None


# ── verified ────────────────────────────────────────────────────────────────────────────────────


def verify(transaction: Transaction, seals: Seals, *, kept: str = "") -> tuple[list[str], Head | None]:
    """(what is wrong, in words and by row; the head). Nothing wrong: an empty list.

    ``kept`` is a seal, in hex, that an earlier look told: it must be in the chain still.

    Rows from before the chain began are not vouched for, and not reported.
    """
    wrong: list[str] = []
    if kept and not _has(transaction, kept):
        wrong.append("the seal that was kept is not in the chain: rows were replaced, or it is another audit")
    found = _head(transaction)
    if found is None:
        if transaction.execute("SELECT 1 FROM audit_seals LIMIT 1"):
            wrong.append("the head of the chain is gone: rows may be missing at the end")
        return wrong, None
    head, mark = found
    if not hmac.compare_digest(seals.head(head), mark):
        wrong.append("the head of the chain was changed, or the key is another one")
    wrong += _Check(seals, head, list(_stored(transaction, head.first))).findings()
    return wrong, head


def _has(transaction: Transaction, seal: str) -> bool:
    try:
        wanted = bytes.fromhex(seal)
    except ValueError:
        return False
    return bool(transaction.execute("SELECT 1 FROM audit_seals WHERE seal = ?", (wanted,)))


class _Stored(Struct, frozen=True):
    """A place in the chain: the row, if it is there, and its marks, if they are."""

    id: int
    row: Row | None
    mark: bytes | None
    seal: bytes | None


def _stored(transaction: Transaction, first: int) -> Iterator[_Stored]:
    """What there is from the chain's first row on, by id, page by page."""
    after = first - 1
    while True:
        rows: Sequence[tuple[Any, ...]] = transaction.execute(
            """SELECT n.id, a.at, a.actor, a.act, a.subject, a.details, s.mark, s.seal
            FROM (SELECT id FROM audit WHERE id > ?1 UNION SELECT id FROM audit_seals WHERE id > ?1
                  ORDER BY id LIMIT ?2) AS n
            LEFT JOIN audit AS a ON a.id = n.id LEFT JOIN audit_seals AS s ON s.id = n.id ORDER BY n.id""",
            (after, _PAGE),
        )
        for number, at, actor, act, subject, details, mark, seal in rows:
            row = (
                None
                if at is None
                else Row(id=number, at=at, actor=actor, act=act, subject=subject, details=details)
            )
            yield _Stored(number, row, mark, seal)
        if len(rows) < _PAGE:
            return
        after = rows[-1][0]


class _Check:
    """One look at the whole chain."""

    def __init__(self, seals: Seals, head: Head, stored: Sequence[_Stored]) -> None:
        self._seals, self._head, self._stored = seals, head, stored

    def findings(self) -> list[str]:
        """In the order of the rows, each row once."""
        there = {stored.id for stored in self._stored}
        gone = [number for number in range(self._head.first, self._head.last + 1) if number not in there]
        cut = self._cut(gone)
        wrong = [f"row {number} was deleted" for number in gone if number < cut]
        if cut <= self._head.last:
            wrong.append(f"the end was cut off: rows {cut} to {self._head.last} are gone")
        bad = [stored for stored in self._stored if not self._fits(stored)]
        wrong += [self._named(stored, bad) for stored in bad]
        wrong += self._breaks({stored.id for stored in bad})
        if len(wrong) > _NAMED:
            return [*wrong[:_NAMED], f"… and {len(wrong) - _NAMED} more"]
        return wrong

    def _cut(self, gone: Sequence[int]) -> int:
        """The first row of those that are missing without a gap up to the head."""
        cut = self._head.last + 1
        for number in reversed(gone):
            if number != cut - 1:
                break
            cut = number
        return cut

    def _fits(self, stored: _Stored) -> bool:
        """Whether content and mark agree."""
        if stored.row is None or stored.mark is None:
            return False
        return hmac.compare_digest(self._seals.mark(stored.row), stored.mark)

    def _named(self, stored: _Stored, bad: Sequence[_Stored]) -> str:
        if stored.row is None:
            return f"row {stored.id} was deleted, its seal is left"
        if stored.mark is None:
            return f"row {stored.id} was added without a seal"
        for other in bad:
            if other.id == stored.id or other.row is None or other.mark is None:
                continue
            if self._is(other.row, stored.id, stored.mark) or self._is(stored.row, other.id, stored.mark):
                return f"row {stored.id} was moved: it changed places with row {other.id}"
        return f"row {stored.id} was edited"

    def _is(self, row: Row, number: int, mark: bytes) -> bool:
        return hmac.compare_digest(self._seals.mark(msgspec.structs.replace(row, id=number)), mark)

    def _breaks(self, bad: set[int]) -> list[str]:
        """Where a seal does not follow from the one before, though nothing else explains it."""
        wrong, before, expected = [], b"", self._head.first
        for stored in self._stored:
            if stored.seal is None or stored.mark is None:
                continue
            explained = stored.id != expected or stored.id in bad
            if not explained and not hmac.compare_digest(self._seals.seal(before, stored.mark), stored.seal):
                wrong.append(f"the chain breaks at row {stored.id}: rows before it were replaced")
            before, expected = stored.seal, stored.id + 1
        if before != self._head.seal and self._head.last in {stored.id for stored in self._stored}:
            wrong.append("the newest row is not the one that the head names")
        return wrong
