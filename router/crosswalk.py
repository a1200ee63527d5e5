"""Crosswalks: the codes of one system in terms of another, dated, a plant's rows before the enterprise's.

Applied when an event is read, as of the event's time, never when it is recorded: a row that is
approved later mends everything that waits for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal

from msgspec import Struct

from canonical.errors import CrossplantError, Unresolved
from canonical.ports import Transaction

__all__ = ["TABLES", "Crosswalk", "Overlap", "Row", "add", "rows", "sync_origin"]

TABLES = (
    """CREATE TABLE IF NOT EXISTS crosswalks (
        id INTEGER PRIMARY KEY AUTOINCREMENT, domain TEXT NOT NULL, system TEXT NOT NULL, plant TEXT NOT NULL,
        value TEXT NOT NULL, canonical TEXT NOT NULL, valid_from REAL, valid_to REAL, status TEXT NOT NULL,
        steward TEXT NOT NULL, origin TEXT NOT NULL, approved_by TEXT NOT NULL, created_at REAL NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS crosswalks_by_code ON crosswalks (domain, system, value)",
)


class Row(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One row. ``plant`` empty: the enterprise's. Valid from (included) to (excluded), seconds since 1970."""

    id: int = 0
    domain: str
    system: str
    plant: str = ""
    value: str
    canonical: str
    valid_from: float | None = None
    valid_to: float | None = None
    status: Literal["draft", "approved", "retired"] = "approved"
    steward: str = ""
    origin: str = ""
    approved_by: str = ""
    created_at: float = 0.0

    def covers(self, at: float) -> bool:
        """Whether it holds at a moment."""
        return (self.valid_from is None or self.valid_from <= at) and (
            self.valid_to is None or at < self.valid_to
        )

    def overlaps(self, other: Row) -> bool:
        """Whether both hold at some moment."""
        starts, ends = float("-inf"), float("inf")
        mine = (
            starts if self.valid_from is None else self.valid_from,
            ends if self.valid_to is None else self.valid_to,
        )
        theirs = (
            starts if other.valid_from is None else other.valid_from,
            ends if other.valid_to is None else other.valid_to,
        )
        return mine[0] < theirs[1] and theirs[0] < mine[1]


class Overlap(CrossplantError):
    """Two rows would give the same code two meanings at one moment."""

    code = "overlap"


_COLUMNS = Row.__struct_fields__


def rows(transaction: Transaction, **filters: str) -> list[Row]:
    """The rows whose columns have the given values, oldest first. Raises KeyError for another column."""
    if set(filters) - {"domain", "system", "plant", "value", "canonical", "status", "origin"}:
        raise KeyError(f"crosswalks cannot be filtered by {', '.join(sorted(filters))}")
    where = " AND ".join(f"{name} = ?" for name in filters) or "TRUE"
    listed = transaction.execute(
        f"SELECT {', '.join(_COLUMNS)} FROM crosswalks WHERE {where} ORDER BY id",  # noqa: S608 - names of ours
        list(filters.values()),
    )
    return [Row(**dict(zip(_COLUMNS, values, strict=True))) for values in listed]


def add(transaction: Transaction, row: Row) -> Row:
    """Keeps it; returns it with its id. Raises Overlap when an approved row for the code overlaps in time."""
    same = rows(transaction, domain=row.domain, system=row.system, value=row.value, plant=row.plant)
    for other in same:
        if other.status == "approved" and row.status == "approved" and other.overlaps(row):
            raise Overlap(
                f"{row.domain} {row.value!r} of {row.system!r} already means {other.canonical!r} then "
                f"(row {other.id}): give valid_from and valid_to, or retire that row",
                context={"row": other.id},
            )
    names = _COLUMNS[1:]
    inserted = transaction.execute(
        f"INSERT INTO crosswalks ({', '.join(names)}) VALUES ({', '.join('?' * len(names))}) RETURNING id",  # noqa: S608
        [getattr(row, name) for name in names],
    )
    return Row(**{**{name: getattr(row, name) for name in names}, "id": int(inserted[0][0])})


def sync_origin(transaction: Transaction, origin: str, wanted: Sequence[Row]) -> int:
    """Makes the rows of one origin what is wanted; returns how many changed. Raises Overlap."""
    kept = {_content(row): row for row in rows(transaction, origin=origin)}
    fresh = {_content(row): row for row in wanted}
    for content in kept.keys() - fresh.keys():
        transaction.execute("DELETE FROM crosswalks WHERE id = ?", (kept[content].id,))
    for content in fresh.keys() - kept.keys():
        add(transaction, fresh[content])
    return len(kept.keys() ^ fresh.keys())


def _content(row: Row) -> tuple[object, ...]:
    return (
        row.domain,
        row.system,
        row.plant,
        row.value,
        row.canonical,
        row.valid_from,
        row.valid_to,
        row.status,
    )


class Crosswalk:
    """The approved rows in memory, for reading. Replaced as a whole when rows change."""

    def __init__(self, approved: Iterable[Row] = ()) -> None:
        self._inward: dict[tuple[str, str, str], list[Row]] = {}
        self._outward: dict[tuple[str, str, str], list[Row]] = {}
        for row in approved:
            if row.status == "approved":
                self._inward.setdefault((row.domain, row.system, row.value), []).append(row)
                self._outward.setdefault((row.domain, row.system, row.canonical), []).append(row)

    def canonical(
        self, *, domain: str, system: str, plant: str, value: str, at: datetime, path: str = ""
    ) -> str:
        """What the system's code means. Raises Unresolved."""
        row = _pick(self._inward.get((domain, system, value), ()), plant, at)
        if row is None:
            raise Unresolved(domain=domain, system=system, value=value, plant=plant, path=path)
        return row.canonical

    def code(
        self, *, domain: str, system: str, plant: str, canonical: str, at: datetime, path: str = ""
    ) -> str:
        """The system's code for a canonical one. Raises Unresolved."""
        row = _pick(self._outward.get((domain, system, canonical), ()), plant, at)
        if row is None:
            raise Unresolved(domain=domain, system=system, value=canonical, plant=plant, path=path)
        return row.value


def _pick(candidates: Iterable[Row], plant: str, at: datetime) -> Row | None:
    moment = at.timestamp()
    valid = [row for row in candidates if row.covers(moment) and row.plant in {"", plant}]
    return min(valid, key=lambda row: row.plant == "", default=None)  # a plant's own row first
