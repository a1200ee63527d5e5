"""What is asked of the runs in the search file: the same questions that ``questions`` asks of the rows."""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Any

import apsw

from gateway.projections.filters import Filters, Hit, named
from gateway.projections.runs import SPAN, Body, body_of

__all__ = ["hits_at", "hits_of_id", "hits_of_subject", "lookup", "positions"]

_RUN = (
    "SELECT e.first, s.name, t.name, p.name, d.name, b.body FROM {runs} "
    "JOIN names AS s ON s.id = e.source JOIN names AS t ON t.id = e.type "
    "JOIN names AS p ON p.id = e.plant JOIN names AS d ON d.id = e.domain "
    "JOIN run_bodies AS b ON b.first = e.first WHERE {where}"
)
_RUNS = "runs AS e"
_BY_SUBJECT = "run_keys AS k CROSS JOIN runs AS e ON e.first = k.first"
"""CROSS: the primary key of ``run_keys`` gives the runs in their order."""
_SOURCES = (
    "WITH RECURSIVE s (id) AS (SELECT min(source) FROM runs UNION ALL "
    "SELECT (SELECT min(source) FROM runs WHERE source > s.id) FROM s WHERE s.id IS NOT NULL) "
    "SELECT id FROM s WHERE id IS NOT NULL"
)
"""The sources that have runs, one seek each; DISTINCT would walk through all runs."""


def positions(connection: apsw.Connection, filters: Filters, after: int, limit: int) -> list[int]:
    """Positions after one, ascending, ``limit`` at most."""
    found = named(connection, filters)
    if found is None or filters.correlationid is not None:
        return []
    conditions, values = found
    after = max(after, _forgotten(connection))
    since = float("-inf") if filters.since is None else filters.since
    until = float("inf") if filters.until is None else filters.until
    conditions += ["e.first > ?", "e.last > ?", "e.highest >= ?", "e.lowest <= ?"]
    values += [after - SPAN, after, since, until]
    tables, place = _RUNS, "e.first"
    if filters.subject is not None:
        tables, place = _BY_SUBJECT, "k.first"
        conditions, values = ["k.value = ?", *conditions], [filters.subject, *values]
    runs = connection.execute(
        f"SELECT e.first, b.body FROM {tables} JOIN run_bodies AS b ON b.first = e.first "  # noqa: S608
        f"WHERE {' AND '.join(conditions)} ORDER BY {place}",
        tuple(values),
    )
    best: list[int] = []  # a heap of negatives: the greatest of the smallest is on top
    for first, text in runs:
        if len(best) >= limit and int(str(first)) > -best[0]:
            break
        body = _read(text)
        for index in _matching(body, filters.subject, since, until):
            position = body.positions[index]
            if position <= after:
                continue
            if len(best) < limit:
                heapq.heappush(best, -position)
            elif position < -best[0]:
                heapq.heapreplace(best, -position)
            else:
                break  # they ascend
    return sorted(-position for position in best)


def _matching(body: Body, subject: str | None, since: float, until: float) -> Iterator[int]:
    """The places in a run that fit, ascending."""
    if subject is not None and subject not in body.subjects:
        return
    wanted = None if subject is None else body.subjects.index(subject)
    for index, found in enumerate(body.subject):
        if wanted in (None, found) and since <= body.recorded_at(index) <= until:
            yield index


def hits_of_subject(connection: apsw.Connection, subject: str, seen: Filters, limit: int) -> list[Hit]:
    """The newest events with that subject that may be seen."""
    hits: list[Hit] = []
    for run in _runs(connection, "k.value = ?", [subject], seen, _BY_SUBJECT, "k.first DESC"):
        if len(hits) >= limit and int(run[0]) + SPAN <= min(hit.position for hit in hits):
            break
        body = run[-1]
        newest = list(_matching(body, subject, float("-inf"), float("inf")))[-limit:]
        hits += [_hit(run, index) for index in newest]
        hits = sorted(hits, key=lambda hit: -hit.position)[:limit]
    return _kept(connection, hits)


def hits_at(connection: apsw.Connection, position: int, seen: Filters) -> list[Hit]:
    """The event at a position, if it may be seen."""
    where = "e.first > ? AND e.first <= ? AND e.last >= ?"
    for run in _runs(connection, where, [position - SPAN, position, position], seen):
        places = run[-1].positions
        at = bisect_left(places, position)
        if at < len(places) and places[at] == position:
            return _kept(connection, [_hit(run, at)])
    return []


def hits_of_id(connection: apsw.Connection, identifier: str, seen: Filters) -> list[Hit]:
    """The events with that id that may be seen; each source has one at most."""
    hits = []
    for (source,) in connection.execute(_SOURCES).fetchall():
        first = _run_of(connection, int(str(source)), identifier)
        if first is not None:
            for run in _runs(connection, "e.first = ?", [first], seen):
                at = bisect_left(run[-1].ids, identifier)
                if at < len(run[-1].ids) and run[-1].ids[at] == identifier:
                    hits.append(_hit(run, at))
    return _kept(connection, hits)


def lookup(connection: apsw.Connection, source: str, identifier: str) -> int | None:
    """The position of the event with that identity."""
    seen = Filters(source=source)
    return next((hit.position for hit in hits_of_id(connection, identifier, seen)), None)


def _run_of(connection: apsw.Connection, source: int, identifier: str) -> int | None:
    """The first position of the only run of a source that can have the id: its runs do not overlap."""
    row = connection.execute(
        "SELECT first, low FROM runs WHERE source = ? AND high >= ? ORDER BY high LIMIT 1",
        (source, identifier),
    ).fetchone()
    return None if row is None or identifier < str(row[1]) else int(str(row[0]))


_Read = tuple[int, str, str, str, str, Body]
"""(first position, source, type, plant, domain, body)"""


def _runs(
    connection: apsw.Connection,
    where: str,
    values: Sequence[Any],
    seen: Filters,
    runs: str = _RUNS,
    order: str = "e.first",
) -> Iterator[_Read]:
    found = named(connection, seen)
    if found is None:
        return
    text = _RUN.format(runs=runs, where=" AND ".join([where, *found[0]])) + f" ORDER BY {order}"
    for first, source, type_, plant, domain, body in connection.execute(text, (*values, *found[1])):
        yield int(str(first)), str(source), str(type_), str(plant), str(domain), _read(body)


def _read(text: Any) -> Body:
    assert isinstance(text, bytes)
    return body_of(text)


def _hit(run: _Read, index: int) -> Hit:
    _, source, type_, plant, domain, body = run
    return Hit(
        position=body.positions[index],
        source=source,
        id=body.ids[index],
        type=type_,
        plant=plant,
        domain=domain,
        subject=body.subjects[body.subject[index]],
        correlationid=None,
        causationid=None,
        recorded_at=body.recorded_at(index),
        time=body.time(index),
    )


def _kept(connection: apsw.Connection, hits: list[Hit]) -> list[Hit]:
    """Those that the journal still has: a run goes only as a whole."""
    forgotten = _forgotten(connection)
    return [hit for hit in hits if hit.position > forgotten]


def _forgotten(connection: apsw.Connection) -> int:
    row = connection.execute("SELECT value FROM meta WHERE name = 'forgotten'").fetchone()
    return 0 if row is None else int(str(row[0]))
