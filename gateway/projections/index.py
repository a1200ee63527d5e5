"""The search file: where events are by what they are called. Statements only, no threads.

A row per event without its body, which stays in the journal. Texts that come again and again (types,
sources, plants) are numbers. ``blocks`` tells which positions can hold events of a time at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import apsw
from msgspec import Struct

from canonical.ports import Recorded
from gateway.projections.business_keys import keys_of

__all__ = ["Filters", "Hit", "Index", "effects", "find", "identified", "lookup", "page", "reader"]

VERSION: Final = 1
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
)
_PRAGMAS = (
    "journal_mode = wal",
    "synchronous = normal",  # what a power loss takes away is read from the journal again
    "cache_size = -32768",
)


class Filters(Struct, frozen=True, kw_only=True):
    """Which events; None: whatever. ``plants`` and ``domains`` bound what may be seen at all, the plant
    ``-`` is none. ``since`` and ``until``: recordedtime, seconds since 1970 UTC, both included."""

    type: str | None = None
    plant: str | None = None
    domain: str | None = None
    subject: str | None = None
    correlationid: str | None = None
    source: str | None = None
    since: float | None = None
    until: float | None = None
    plants: frozenset[str] | None = None
    domains: frozenset[str] | None = None


class Hit(Struct, frozen=True, kw_only=True):
    """An event as the index knows it. ``plant`` is ``-`` where there is none; ``domain`` likewise."""

    position: int
    source: str
    id: str
    type: str
    plant: str
    domain: str
    subject: str | None
    correlationid: str | None
    causationid: str | None
    recorded_at: float
    time: float | None


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
            with self._connection:
                if fresh:
                    self._insert(fresh)
                    self._keep_block(fresh)
                for name, value in (("version", VERSION), ("position", reached)):
                    self._connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))
        except BaseException:
            self._names = dict(self._rows("SELECT name, id FROM names"))
            self._block = block
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
        times = [item.event.recordedtime.timestamp() for item in fresh if item.event.recordedtime] or [0.0]
        first, last, lowest, highest = fresh[0].position, fresh[-1].position, min(times), max(times)
        block = self._block
        if block is not None and last - block[0] < _BLOCK:
            first, lowest, highest = block[0], min(lowest, block[2]), max(highest, block[3])
        self._block = (first, last, lowest, highest)
        self._connection.execute("INSERT OR REPLACE INTO blocks VALUES (?, ?, ?, ?)", self._block)

    def forget(self, before: int, limit: int = 5000) -> bool:
        """Removes some of what lies before a position; returns whether there may be more."""
        with self._connection:
            row = self._connection.execute("SELECT min(position) FROM events").fetchone()
            oldest = None if row is None else row[0]
            if oldest is None or int(oldest) >= before:
                return False
            end = min(before, int(oldest) + limit)
            self._connection.execute("DELETE FROM keys WHERE position < ?", (end,))
            self._connection.execute("DELETE FROM events WHERE position < ?", (end,))
            self._connection.execute("DELETE FROM blocks WHERE last < ?", (end,))
        return end < before


# ── the reading side: any connection ────────────────────────────────────────────────────────────


def reader(path: Path) -> apsw.Connection:
    """A connection that only reads."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    connection.set_busy_timeout(5000)
    return connection


_HIT = (
    "SELECT e.position, s.name, e.id, t.name, p.name, d.name, e.subject, e.correlationid, e.causationid, "
    "e.recorded_at, e.time FROM {events} JOIN names AS s ON s.id = e.source JOIN names AS t ON t.id = e.type "
    "JOIN names AS p ON p.id = e.plant JOIN names AS d ON d.id = e.domain WHERE {where}"
)
_EVENTS = "events AS e"
_BY_KEY = "keys AS k CROSS JOIN events AS e ON e.position = k.position"
"""CROSS: SQLite keeps that order, so that the primary key of ``keys`` gives the positions in theirs."""


def _hits(
    connection: apsw.Connection, where: str, values: Sequence[Any], seen: Filters, events: str = _EVENTS
) -> list[Hit]:
    """Those that may be seen. ``where`` ends in no ORDER BY of its own."""
    found = _conditions(connection, seen)
    if found is None:
        return []
    conditions, bounds = found
    order = where.partition(" ORDER BY ")
    text = _HIT.format(events=events, where=" AND ".join([order[0], *conditions])) + "".join(order[1:])
    values = [*values[: order[0].count("?")], *bounds, *values[order[0].count("?") :]]
    rows: list[Any] = connection.execute(text, tuple(values)).fetchall()
    return [Hit(**dict(zip(Hit.__struct_fields__, row, strict=True))) for row in rows]


def page(connection: apsw.Connection, filters: Filters, after: int, limit: int) -> list[int]:
    """Positions after one, ascending."""
    found = _conditions(connection, filters)
    if found is None:
        return []
    conditions, values = found
    by_key = filters.subject or filters.correlationid
    if by_key is None:
        tables, place = _EVENTS, "e.position"
    else:  # the primary key of `keys` has them in order
        tables, place = _BY_KEY, "k.position"
        conditions = ["k.value = ?", *conditions]
        values = [by_key, *values]
    where = " AND ".join([*conditions, f"{place} > ?"])
    rows = connection.execute(
        f"SELECT {place} FROM {tables} WHERE {where} ORDER BY {place} LIMIT ?",  # noqa: S608 - names of ours
        (*values, after, limit),
    )
    return [int(position) for (position,) in rows]


def _conditions(connection: apsw.Connection, filters: Filters) -> tuple[list[str], list[Any]] | None:
    """SQL and its values; None when nothing can match."""
    conditions: list[str] = []
    values: list[Any] = []
    named: Mapping[str, frozenset[str] | None] = {
        "e.type": _one(filters.type),
        "e.source": _one(filters.source),
        "e.plant": _both(_one(filters.plant), filters.plants),
        "e.domain": _both(_one(filters.domain), filters.domains),
    }
    for column, wanted in named.items():
        if wanted is None:
            continue
        numbers = _numbers(connection, wanted)
        if not numbers:
            return None
        conditions.append(f"{column} IN ({', '.join('?' * len(numbers))})")
        values += numbers
    for column, text in (("e.subject", filters.subject), ("e.correlationid", filters.correlationid)):
        if text is not None:
            conditions.append(f"{column} = ?")
            values.append(text)
    if filters.since is not None or filters.until is not None:
        since = float("-inf") if filters.since is None else filters.since
        until = float("inf") if filters.until is None else filters.until
        bounds = connection.execute(
            "SELECT min(first), max(last) FROM blocks WHERE highest >= ? AND lowest <= ?", (since, until)
        ).fetchone()
        if bounds is None or bounds[0] is None:
            return None
        conditions += ["e.position BETWEEN ? AND ?", "e.recorded_at BETWEEN ? AND ?"]
        values += [*bounds, since, until]
    return conditions, values


def _one(value: str | None) -> frozenset[str] | None:
    return None if value is None else frozenset((value,))


def _both(one: frozenset[str] | None, other: frozenset[str] | None) -> frozenset[str] | None:
    if one is None or other is None:
        return one if other is None else other
    return one & other


def _numbers(connection: apsw.Connection, names: frozenset[str]) -> list[int]:
    marks = ", ".join("?" * len(names))
    rows = connection.execute(f"SELECT id FROM names WHERE name IN ({marks})", tuple(names))  # noqa: S608
    return [int(number) for (number,) in rows]


def find(connection: apsw.Connection, text: str, seen: Filters, limit: int) -> list[Hit]:
    """Newest first: the event at that position, those with that id, those with that business key."""
    hits = identified(connection, text, seen, limit)
    hits += _hits(connection, "k.value = ? ORDER BY k.position DESC LIMIT ?", [text, limit], seen, _BY_KEY)
    if text.isascii() and text.isdigit() and len(text) < 19:
        hits += _hits(connection, "e.position = ?", [int(text)], seen)
    newest = sorted({hit.position: hit for hit in hits}.items(), reverse=True)
    return [hit for _, hit in newest][:limit]


def identified(connection: apsw.Connection, identifier: str, seen: Filters, limit: int) -> list[Hit]:
    """The events with that id, of whatever source, newest first."""
    return _hits(connection, "e.id = ? ORDER BY e.position DESC LIMIT ?", [identifier, limit], seen)


def effects(connection: apsw.Connection, cause: str, seen: Filters, limit: int) -> list[Hit]:
    """The events that name this one's id as their cause, oldest first."""
    return _hits(connection, "e.causationid = ? ORDER BY e.position LIMIT ?", [cause, limit], seen)


def lookup(connection: apsw.Connection, source: str, identifier: str) -> int | None:
    """The position of the newest event with that identity."""
    rows: list[Any] = connection.execute(
        "SELECT e.position FROM events AS e JOIN names AS s ON s.id = e.source "
        "WHERE e.id = ? AND s.name = ? ORDER BY e.position DESC LIMIT 1",
        (identifier, source),
    ).fetchall()
    return int(rows[0][0]) if rows else None
