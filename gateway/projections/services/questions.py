"""What is asked of the services' file, over any connection that reads it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import apsw
from msgspec import Struct

from gateway.projections.services.entry import Origin, view_of
from gateway.projections.services.file import meta_of
from gateway.projections.services.service import SEPARATOR, Filter, Service

__all__ = ["Found", "Wanted", "candidates", "counted", "newest", "reached"]

_PAGE = 200


class Wanted(Struct, frozen=True, kw_only=True):
    """One condition: a filter with its value. ``codes``: what else the source may say for a code."""

    filter: Filter
    value: Any
    codes: frozenset[str] = frozenset()


class Found(Struct, frozen=True, kw_only=True):
    """A thing as it lies in the file; a cell is ``[value, origin, path]``."""

    key: str
    plant: str
    position: int
    due: float | None
    open: bool
    delayed: bool
    cells: dict[str, Any]
    origins: tuple[Origin, ...]
    changed_at: float
    subject: str | None


def candidates(
    connection: apsw.Connection,
    service: Service,
    wanted: Sequence[Wanted],
    *,
    plants: frozenset[str] | None,
    after: str,
    now: float,
) -> Iterator[Found]:
    """Those that may fit, by key, after one; a code is compared with all that it may be called."""
    conditions, values = _conditions(service, wanted, plants, now)
    where = " AND ".join(["key > ?", *conditions])
    text = (
        f'SELECT key, plant, position, due, open, delayed, body FROM "{service.table}" WHERE {where} '  # noqa: S608
        "ORDER BY key LIMIT ?"
    )
    while True:
        rows: list[Any] = connection.execute(text, (after, *values, _PAGE)).fetchall()
        for key, plant, position, due, is_open, delayed, body in rows:
            cells, origins, changed_at, subject = view_of(body)
            yield Found(
                key=key,
                plant=plant,
                position=position,
                due=due,
                open=bool(is_open),
                delayed=bool(delayed),
                cells=cells,
                origins=origins,
                changed_at=changed_at,
                subject=subject,
            )
        if len(rows) < _PAGE:
            return
        after = rows[-1][0]


def _conditions(
    service: Service, wanted: Sequence[Wanted], plants: frozenset[str] | None, now: float
) -> tuple[list[str], list[Any]]:
    conditions: list[str] = []
    values: list[Any] = []
    if plants is not None:
        conditions.append(f"plant IN ({', '.join('?' * len(plants))})")
        values += sorted(plants)
    for each in wanted:
        condition, more = _condition(each, now)
        conditions.append(condition)
        values += more
    return conditions, values


def _condition(wanted: Wanted, now: float) -> tuple[str, list[Any]]:
    column, value = f'"{wanted.filter.of}"', wanted.value
    match wanted.filter.kind:
        case "text":
            return f"{column} = ?", [value]
        case "code":
            codes = sorted({value, *wanted.codes})
            return f"{column} IN ({', '.join('?' * len(codes))})", list(codes)
        case "path":
            codes = sorted({value, *wanted.codes})
            marks = ", ".join("?" * len(codes))
            # '0' is the character after '/', so that this is everything below the path
            return f"({column} IN ({marks}) OR ({column} >= ? AND {column} < ?))", [
                *codes,
                f"{value}/",
                f"{value}0",
            ]
        case "among":
            return f"instr({column}, ?) > 0", [f"{SEPARATOR}{value}{SEPARATOR}"]
        case "until":
            return f"{column} <= ?", [value]
        case "late":
            late = "(open = 1 AND (delayed = 1 OR due < ?))"
            return (late if value else f"NOT coalesce({late}, 0)"), [now]
        case _:
            return f"{column} = ?", [1.0 if value else 0.0]


def counted(connection: apsw.Connection, service: Service, column: str) -> dict[str, int]:
    """How many things there are per value of a column."""
    rows: list[Any] = connection.execute(
        f'SELECT "{column}", count(*) FROM "{service.table}" GROUP BY 1'  # noqa: S608 - names of ours
    ).fetchall()
    return {str(value): int(number) for value, number in rows if value is not None}


def newest(connection: apsw.Connection, service: Service) -> int:
    """The newest event that was taken into the service; 0 for none."""
    return meta_of(connection).get(f"newest {service.name}", 0)


def reached(connection: apsw.Connection) -> int:
    """Up to which position of the journal everything is in."""
    return meta_of(connection).get("position", 0)
