"""Which events somebody looks for, and what is found of them; the SQL that rows and runs have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import apsw
from msgspec import Struct

__all__ = ["Filters", "Hit", "named"]


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


def named(connection: apsw.Connection, filters: Filters) -> tuple[list[str], list[Any]] | None:
    """SQL, and its values, for what rows (``e``) and runs have by number; None when nothing can match."""
    conditions: list[str] = []
    values: list[Any] = []
    wanted: Mapping[str, frozenset[str] | None] = {
        "e.type": _one(filters.type),
        "e.source": _one(filters.source),
        "e.plant": _both(_one(filters.plant), filters.plants),
        "e.domain": _both(_one(filters.domain), filters.domains),
    }
    for column, names in wanted.items():
        if names is None:
            continue
        numbers = _numbers(connection, names)
        if not numbers:
            return None
        conditions.append(f"{column} IN ({', '.join('?' * len(numbers))})")
        values += numbers
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
