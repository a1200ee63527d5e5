"""What is asked of the search file, over any connection that reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import apsw
from msgspec import Struct

__all__ = ["Filters", "Hit", "effects", "find", "identified", "lookup", "page", "reader"]


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
