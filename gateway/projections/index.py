"""The search file: where events are by what they are called. Statements only, no threads.

A row per event without its body, which stays in the journal, or one for many (``runs``). Texts that come
again and again (types, sources, plants) are numbers. ``blocks`` tells which positions can hold events of a
time at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import apsw

from canonical.ports import Recorded
from gateway.projections import runs
from gateway.projections.business_keys import keys_of
from gateway.projections.runs import Run
from gateway.projections.transaction import transaction

__all__ = ["Index"]

VERSION: Final = 2
"""Of the file; one of another version is made anew from the journal. 2: runs."""
_BLOCK = 1000
_AT_ONCE = 200

_TABLES = (
    "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS names (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)",
    """CREATE TABLE IF NOT EXISTS events (
        position INTEGER PRIMARY KEY, source INTEGER NOT NULL, id TEXT NOT NULL, type INTEGER NOT NULL,
        plant INTEGER NOT NULL, domain INTEGER NOT NULL, subject TEXT, correlationid TEXT,
        causationid TEXT, recorded_at REAL NOT NULL, time REAL)""",
    "CREATE INDEX IF NOT EXISTS events_by_id ON events (id)",
    "CREATE INDEX IF NOT EXISTS events_by_type ON events (type)",
    "CREATE INDEX IF NOT EXISTS events_by_cause ON events (causationid) WHERE causationid IS NOT NULL",
    """CREATE TABLE IF NOT EXISTS keys (
        value TEXT NOT NULL, position INTEGER NOT NULL, PRIMARY KEY (value, position)) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS keys_by_position ON keys (position)",
    """CREATE TABLE IF NOT EXISTS blocks (
        first INTEGER PRIMARY KEY, last INTEGER NOT NULL, lowest REAL NOT NULL, highest REAL NOT NULL)""",
    *runs.TABLES,
)
_PRAGMAS = (
    "journal_mode = wal",
    "synchronous = normal",  # what a power loss takes away is read from the journal again
    "cache_size = -16384",
)


class Index:
    """The writing side. Belongs to one thread."""

    def __init__(self, path: Path) -> None:
        """Opens the file, or makes it. Raises apsw.Error for one that is damaged."""
        self._connection = apsw.Connection(str(path))
        self._connection.set_busy_timeout(5000)
        for statement in (*(f"PRAGMA {pragma}" for pragma in _PRAGMAS), *_TABLES):
            self._connection.execute(statement)
        meta: dict[str, int] = dict(self._rows("SELECT name, value FROM meta"))
        self.stale = bool(meta) and meta.get("version") != VERSION
        self.position = int(meta.get("position", 0))
        self._names = {
            name: number for number, name in self._connection.execute("SELECT id, name FROM names")
        }
        self._block = self._newest_block()
        self._newest = _Newest(self._connection)

    def close(self) -> None:
        """Gives the file back."""
        self._connection.close()

    def _rows(self, statement: str) -> list[Any]:
        return self._connection.execute(statement).fetchall()

    def _newest_block(self) -> tuple[int, int, float, float] | None:
        row = self._connection.execute("SELECT * FROM blocks ORDER BY first DESC LIMIT 1").fetchone()
        return None if row is None else (int(row[0]), int(row[1]), float(row[2]), float(row[3]))

    def add(self, recorded: Sequence[Recorded], reached: int) -> None:
        """Takes in what comes after ``position``; ``reached`` is how far that goes. All or nothing."""
        fresh = [item for item in recorded if item.position > self.position]
        block = self._block
        try:
            with transaction(self._connection):
                if fresh:
                    packed, others = runs.runs_of(fresh, self._newest)
                    for run in packed:
                        self._insert_run(run)
                    if others:
                        self._insert(others)
                    self._keep_block(fresh)
                for name, value in (("version", VERSION), ("position", reached)):
                    self._connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))
        except BaseException:
            self._names = dict(self._rows("SELECT name, id FROM names"))
            self._block = block
            self._newest.clear()
            raise
        self.position = max(self.position, reached)

    def _insert(self, fresh: Sequence[Recorded]) -> None:
        """Writes their rows and keys."""
        rows: list[tuple[Any, ...]] = []
        keys: list[tuple[str, int]] = []
        for item in fresh:
            event = item.event
            recorded = event.recordedtime.timestamp() if event.recordedtime else 0.0
            rows.append(
                (
                    item.position,
                    self._number(event.source),
                    event.id,
                    self._number(event.type),
                    self._number(event.plantid or "-"),
                    self._number(event.domain or "-"),
                    event.subject,
                    event.correlationid,
                    event.causationid,
                    recorded,
                    event.time.timestamp() if event.time else None,
                )
            )
            keys += [(key, item.position) for key in keys_of(event)]
        keys.sort()
        self._many("INSERT OR REPLACE INTO events VALUES", rows)
        self._many("INSERT OR IGNORE INTO keys VALUES", keys)

    def _insert_run(self, run: Run) -> None:
        """Writes a run, and its subjects as keys."""
        body = run.body
        first, last = body.positions[0], body.positions[-1]
        names = (run.source, run.type, run.plant or "-", run.domain or "-")
        moments = (min(body.recorded), max(body.recorded))
        self._connection.execute(
            "INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (first, last, *map(self._number, names), *moments, body.ids[0], body.ids[-1]),
        )
        self._connection.execute("INSERT INTO run_bodies VALUES (?, ?)", (first, runs.packed(body)))
        self._many("INSERT INTO run_keys VALUES", sorted((key, first) for key in body.subjects if key))

    def _many(self, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Inserts rows many at a time: each statement hands the interpreter's lock to and fro once."""
        for start in range(0, len(rows), _AT_ONCE):
            part = rows[start : start + _AT_ONCE]
            marks = f"({', '.join('?' * len(part[0]))})"
            values = [value for row in part for value in row]
            self._connection.execute(f"{statement} {', '.join([marks] * len(part))}", values)

    def _number(self, name: str) -> int:
        number = self._names.get(name)
        if number is None:
            row = self._connection.execute(
                "INSERT INTO names (name) VALUES (?) RETURNING id", (name,)
            ).fetchone()
            assert row is not None
            number = self._names[name] = int(row[0])
        return number

    def _keep_block(self, fresh: Sequence[Recorded]) -> None:
        """Widens the newest block, or begins another one."""
        moments = {item.event.recordedtime for item in fresh}  # few: a batch shares one
        times = [moment.timestamp() for moment in moments if moment] or [0.0]
        first, last, lowest, highest = fresh[0].position, fresh[-1].position, min(times), max(times)
        block = self._block
        if block is not None and last - block[0] < _BLOCK:
            first, lowest, highest = block[0], min(lowest, block[2]), max(highest, block[3])
        self._block = (first, last, lowest, highest)
        self._connection.execute("INSERT OR REPLACE INTO blocks VALUES (?, ?, ?, ?)", self._block)

    def forget(self, before: int, limit: int = 5000) -> bool:
        """Removes some of what lies before a position; returns whether there may be more."""
        with transaction(self._connection):
            self._connection.execute("INSERT OR REPLACE INTO meta VALUES ('forgotten', ?)", (before - 1,))
            oldest = [
                int(row[0])
                for table, place in (("events", "position"), ("runs", "first"))
                for row in self._rows(f"SELECT min({place}) FROM {table} WHERE {place} < {before}")  # noqa: S608
                if row[0] is not None
            ]
            if not oldest:
                return False
            end = min(before, min(oldest) + limit)
            self._connection.execute("DELETE FROM keys WHERE position < ?", (end,))
            self._connection.execute("DELETE FROM events WHERE position < ?", (end,))
            self._connection.execute("DELETE FROM blocks WHERE last < ?", (end,))
            gone = "SELECT first FROM runs WHERE first < ?1 AND last < ?1"
            for table in ("run_keys", "run_bodies", "runs"):
                self._connection.execute(f"DELETE FROM {table} WHERE first IN ({gone})", (end,))  # noqa: S608
        return end < before


class _Newest(dict[str, str]):
    """By source, the greatest id that a run of it has; asked of the file once."""

    def __init__(self, connection: apsw.Connection) -> None:
        super().__init__()
        self._connection = connection

    def __missing__(self, source: str) -> str:
        row = self._connection.execute(
            "SELECT max(high) FROM runs WHERE source = (SELECT id FROM names WHERE name = ?)", (source,)
        ).fetchone()
        found = self[source] = "" if row is None or row[0] is None else str(row[0])
        return found
