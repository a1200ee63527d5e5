"""Reading the embedded journal: snapshots in threads of their own, and what is read in them."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import apsw

from canonical.ports import RawMessage, Recorded, Transaction
from router.journal import Header, JournalCorrupt
from router.journal.bundle import Row, events_of, header_of, raws_of
from router.journal.claimcheck import Claims
from router.journal.writer import Statements

__all__ = ["COLUMNS", "Snapshots", "events", "headers", "history", "raw"]

T = TypeVar("T")
COLUMNS = "first, last, header, events, raws, hash"
_QUARANTINED = "first IN (SELECT first FROM quarantine)"
_PAGE = 64
_LONGEST_HISTORY = 5000  # bundles looked at for an adapter's newest messages
_LARGEST_HISTORY_BYTES = 64 * 1024 * 1024


class Snapshots:
    """Read-only connections, one a thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="journal-reader")
        self._local = threading.local()
        self._connections: list[apsw.Connection] = []

    async def read(self, work: Callable[[Transaction], T]) -> T:
        """``Store.read``."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._snapshot, work)

    def close(self) -> None:
        """Waits for the readers under way."""
        self._pool.shutdown()
        for connection in self._connections:
            connection.close()

    def _snapshot(self, work: Callable[[Transaction], T]) -> T:
        connection: apsw.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = apsw.Connection(str(self._path), flags=apsw.SQLITE_OPEN_READONLY)
            connection.set_busy_timeout(5000)
            self._local.connection = connection
            self._connections.append(connection)
        connection.execute("BEGIN")
        try:
            return work(Statements(connection))
        finally:
            connection.execute("ROLLBACK")


def _row(transaction: Transaction, first: int, last: int) -> Row:
    try:
        columns: tuple[Any, ...] = transaction.execute(
            f"SELECT {COLUMNS} FROM bundles WHERE first = ?", (first,)
        )[0]
    except apsw.CorruptError as error:  # not the content, but the pages that it lies on
        raise JournalCorrupt(first, last) from error
    begin, end, header, lines, raws, digest = columns
    return begin, end, header, lines, raws, digest


def events(
    transaction: Transaction, after: int, limit: int, wanted: Callable[[Header], bool] | None
) -> tuple[list[Recorded], int]:
    """See ``Journal.events``. Before a bundle that the disk changed, what comes before it is returned."""
    found: list[Recorded] = []
    reached = after
    while len(found) < limit:
        rows = transaction.execute(
            f"SELECT first, last, header, {_QUARANTINED} FROM bundles "
            "WHERE last > ?1 AND first >= "  # not from the oldest on
            "coalesce((SELECT max(first) FROM bundles WHERE first <= ?1), 0) ORDER BY first LIMIT ?2",
            (reached, _PAGE),
        )
        for first, last, header, quarantined in rows:
            try:
                if not quarantined and (wanted is None or wanted(header_of(first, last, header))):
                    row = _row(transaction, first, last)
                    found += [item for item in events_of(row) if item.position > after]
            except JournalCorrupt:
                if found:
                    return found, reached
                raise
            reached = last
            if len(found) >= limit:
                break
        if len(rows) < _PAGE:
            break
    return found, reached


def headers(transaction: Transaction, after: int) -> list[Header]:
    """The headers of the bundles after a position."""
    rows = transaction.execute("SELECT first, last, header FROM bundles WHERE first > ?", (after,))
    found = []
    for first, last, header in rows:
        with contextlib.suppress(JournalCorrupt):  # told by who reads the events
            found.append(header_of(first, last, header))
    return found


def raw(transaction: Transaction, position: int, claims: Claims) -> RawMessage | None:
    """See ``Journal.raw``."""
    rows = transaction.execute(
        "SELECT first, last FROM bundles WHERE first <= ? ORDER BY first DESC LIMIT 1", (position,)
    )
    if not rows or rows[0][1] < position:
        return None
    row = _row(transaction, *rows[0])
    event = events_of(row)[position - row[0]].event
    found = next((kept for kept in raws_of(row) if kept.id == event.srcmsgid), None)
    return claims.message(found, row[0], row[1]) if found is not None else None


def history(transaction: Transaction, adapter: str, limit: int, claims: Claims) -> Sequence[RawMessage]:
    """See ``Journal.history``; bounded in bytes, too, since it is held in memory."""
    found: list[RawMessage] = []
    size_bytes = 0
    newest = transaction.execute(
        "SELECT first, last, header FROM bundles ORDER BY first DESC LIMIT ?", (_LONGEST_HISTORY,)
    )
    for first, last, header in newest:
        with contextlib.suppress(JournalCorrupt):  # what the disk changed is no history
            if adapter in header_of(first, last, header).adapters:
                kept = raws_of(_row(transaction, first, last))
                mine = [claims.message(each, first, last) for each in kept if each.adapter == adapter]
                found[:0] = mine
                size_bytes += sum(len(message.body) for message in mine)
        if len(found) >= limit or size_bytes > _LARGEST_HISTORY_BYTES:
            break
    return found[-limit:]
