"""What is asked of the search file, over any connection that reads it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import apsw

from gateway.projections import runsearch
from gateway.projections.filters import Filters, Hit, named

__all__ = ["Filters", "Hit", "effects", "find", "identified", "lookup", "page", "reader"]


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
    in_runs = runsearch.positions(connection, filters, after, limit)
    return sorted([*_rows(connection, filters, after, limit), *in_runs])[:limit]


def _rows(connection: apsw.Connection, filters: Filters, after: int, limit: int) -> list[int]:
    """Positions of events that have rows."""
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
    found = named(connection, filters)
    if found is None:
        return None
    conditions, values = found
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


def find(connection: apsw.Connection, text: str, seen: Filters, limit: int) -> list[Hit]:
    """Newest first: the event at that position, those with that id, those with that business key."""
    hits = identified(connection, text, seen, limit)
    hits += _hits(connection, "k.value = ? ORDER BY k.position DESC LIMIT ?", [text, limit], seen, _BY_KEY)
    hits += runsearch.hits_of_subject(connection, text, seen, limit)
    if text.isascii() and text.isdigit() and len(text) < 19:
        hits += _hits(connection, "e.position = ?", [int(text)], seen)
        hits += runsearch.hits_at(connection, int(text), seen)
    newest = sorted({hit.position: hit for hit in hits}.items(), reverse=True)
    return [hit for _, hit in newest][:limit]


def identified(connection: apsw.Connection, identifier: str, seen: Filters, limit: int) -> list[Hit]:
    """The events with that id, of whatever source, newest first."""
    hits = _hits(connection, "e.id = ? ORDER BY e.position DESC LIMIT ?", [identifier, limit], seen)
    hits += runsearch.hits_of_id(connection, identifier, seen)
    return sorted(hits, key=lambda hit: -hit.position)[:limit]


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
    found = [int(position) for (position,) in rows], runsearch.lookup(connection, source, identifier)
    return max([*found[0], *([] if found[1] is None else [found[1]])], default=None)
