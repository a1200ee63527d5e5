"""Crosswalks: the codes of one system in terms of another, dated, a plant's rows before the enterprise's.

Applied when an event is read, as of the event's time, never when it is recorded: a row that is
approved later mends everything that waits for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final, Literal

from msgspec import Struct, structs

from canonical.errors import CrossplantError, Unresolved
from canonical.ports import Transaction
from config.packages import PACKAGE
from router import crosswalk_changes

__all__ = [
    "TABLES",
    "Crosswalk",
    "Overlap",
    "Row",
    "add",
    "find",
    "insert",
    "refuse_overlap",
    "replace",
    "rows",
    "sync_origin",
]


TABLES = (
    """CREATE TABLE IF NOT EXISTS crosswalks (
        id INTEGER PRIMARY KEY AUTOINCREMENT, domain TEXT NOT NULL, system TEXT NOT NULL, plant TEXT NOT NULL,
        value TEXT NOT NULL, canonical TEXT NOT NULL, valid_from REAL, valid_to REAL, status TEXT NOT NULL,
        steward TEXT NOT NULL, origin TEXT NOT NULL, approved_by TEXT NOT NULL, created_at REAL NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS crosswalks_by_code ON crosswalks (domain, system, value)",
    """CREATE TABLE IF NOT EXISTS crosswalk_history (
        id INTEGER PRIMARY KEY AUTOINCREMENT, row INTEGER NOT NULL, version INTEGER NOT NULL,
        at REAL NOT NULL, actor TEXT NOT NULL, act TEXT NOT NULL, why TEXT NOT NULL, state TEXT NOT NULL)""",
    "CREATE UNIQUE INDEX IF NOT EXISTS crosswalk_history_by_row ON crosswalk_history (row, version)",
    *crosswalk_changes.TABLES,
)


class Row(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One row. ``plant`` empty: the enterprise's. Valid from (included) to (excluded), seconds since 1970.

    A draft has no effect. A retired row holds until its ``valid_to``, for what happened before; without one
    it never does. ``version`` grows with each act on the row.
    """

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
    version: int = 1

    @property
    def effective(self) -> bool:
        """Whether it says anything at all about the time between its bounds."""
        return self.status == "approved" or (self.status == "retired" and self.valid_to is not None)

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


_COLUMNS: Final = tuple(name for name in Row.__struct_fields__ if name != "version")
_SELECT: Final = (
    f"SELECT {', '.join(_COLUMNS)}, "  # noqa: S608 - names of ours
    "COALESCE((SELECT max(h.version) FROM crosswalk_history AS h WHERE h.row = crosswalks.id), 1) "
    "FROM crosswalks"
)
_FILTERS: Final = frozenset({"domain", "system", "plant", "value", "canonical", "status", "origin"})


def _row(values: Sequence[Any]) -> Row:
    return Row(**dict(zip((*_COLUMNS, "version"), values, strict=True)))


def rows(transaction: Transaction, **filters: str) -> list[Row]:
    """The rows whose columns have the given values, oldest first. Raises KeyError for another column."""
    if filters.keys() - _FILTERS:
        raise KeyError(f"crosswalks cannot be filtered by {', '.join(sorted(filters))}")
    where = " AND ".join(f"{name} = ?" for name in filters) or "TRUE"
    return [
        _row(values)
        for values in transaction.execute(f"{_SELECT} WHERE {where} ORDER BY id", list(filters.values()))
    ]


def find(transaction: Transaction, identifier: int) -> Row | None:
    """The row with that id, or None."""
    found = transaction.execute(f"{_SELECT} WHERE id = ?", (identifier,))
    return _row(found[0]) if found else None


def add(transaction: Transaction, row: Row) -> Row:
    """Keeps it; returns it with its id. Raises Overlap when another row for the code overlaps in time."""
    refuse_overlap(transaction, row)
    return insert(transaction, row)


def insert(transaction: Transaction, row: Row) -> Row:
    """The same for a row that is known to overlap no other."""
    names = _COLUMNS[1:]
    inserted = transaction.execute(
        f"INSERT INTO crosswalks ({', '.join(names)}) VALUES ({', '.join('?' * len(names))}) RETURNING id",  # noqa: S608
        [getattr(row, name) for name in names],
    )
    kept = structs.replace(row, id=int(inserted[0][0]), version=1)
    crosswalk_changes.note(transaction, None, kept, kept)
    return kept


def replace(transaction: Transaction, row: Row) -> None:
    """Puts it in the place of the one with its id; its version is the history's, which comes next."""
    names = _COLUMNS[1:]
    before, after = find(transaction, row.id), structs.replace(row, version=row.version + 1)
    crosswalk_changes.note(transaction, before, after, after)
    transaction.execute(
        f"UPDATE crosswalks SET {', '.join(f'{name} = ?' for name in names)} WHERE id = ?",  # noqa: S608
        [*(getattr(row, name) for name in names), row.id],
    )


def refuse_overlap(transaction: Transaction, row: Row) -> None:
    """Raises Overlap when another row for the code holds at some moment at which this one does."""
    same = rows(transaction, domain=row.domain, system=row.system, value=row.value, plant=row.plant)
    for other in same:
        if other.id != row.id and other.effective and row.effective and other.overlaps(row):
            raise Overlap(
                f"{row.domain} {row.value!r} of {row.system!r} already means {other.canonical!r} then "
                f"(row {other.id}): give valid_from and valid_to, or retire that row",
                context={"row": other.id},
            )


def sync_origin(transaction: Transaction, origin: str, wanted: Sequence[Row]) -> int:
    """Makes the rows of one origin what is wanted; returns how many changed. Raises Overlap."""
    kept = {_content(row): row for row in rows(transaction, origin=origin)}
    fresh = {_content(row): row for row in wanted}
    for content in kept.keys() - fresh.keys():
        gone = kept[content]
        transaction.execute("DELETE FROM crosswalks WHERE id = ?", (gone.id,))
        crosswalk_changes.note(transaction, gone, None, structs.replace(gone, version=gone.version + 1))
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
    """The rows that say something, in memory, for reading. Replaced as a whole when rows change."""

    def __init__(self, known: Iterable[Row] = ()) -> None:
        """``known``: rows of any status; those without effect are left out."""
        self._inward: dict[tuple[str, str, str], list[Row]] = {}
        self._outward: dict[tuple[str, str, str], list[Row]] = {}
        self._packages: dict[str, list[Row]] = {}
        self._own: set[tuple[str, str, str]] = set()  # codes that a plant has a row of its own for
        for row in known:
            if not row.effective:
                continue
            if row.plant:
                self._own.add((row.domain, row.system, row.value))
            self._inward.setdefault((row.domain, row.system, row.value), []).append(row)
            self._outward.setdefault((row.domain, row.system, row.canonical), []).append(row)
            if row.domain == PACKAGE:
                self._packages.setdefault(row.system, []).append(row)

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
        row = self._outgoing(domain, system, canonical, plant, at)
        if row is None:
            raise Unresolved(domain=domain, system=system, value=canonical, plant=plant, path=path)
        return row.value

    def _outgoing(self, domain: str, system: str, canonical: str, plant: str, at: datetime) -> Row | None:
        """The row that gives the system's code, which means the same when it is read in that plant."""
        candidates = self._outward.get((domain, system, canonical), ())
        row = _pick(candidates, plant, at)
        if row is None or row.plant or (domain, system, row.value) not in self._own:
            return row
        inward = ((each, self._inward[domain, system, each.value]) for each in candidates)
        told = ((each, _pick(rows, plant, at)) for each, rows in inward)
        return _pick([each for each, read in told if read and read.canonical == canonical], plant, at)

    def codes(self, domain: str, system: str, canonical: str) -> set[str]:
        """What the system may call it, wherever and whenever."""
        return {row.value for row in self._outward.get((domain, system, canonical), ())}

    def packages(self, item: str, *, plant: str, at: datetime) -> list[Row]:
        """What is in the item's packages at a moment, one row per package, the plant's own first."""
        found: dict[str, list[Row]] = {}
        for row in self._packages.get(item, ()):
            found.setdefault(row.value, []).append(row)
        picked = (_pick(several, plant, at) for several in found.values())
        return [row for row in picked if row is not None]

    def knows(self, domain: str, system: str, code: str) -> bool:
        """Whether any row, whenever and wherever, is about this code, the system's or a canonical one."""
        if domain == PACKAGE and (system in self._packages or "*" in self._packages):
            return True
        return (domain, system, code) in self._inward or (domain, system, code) in self._outward

    def answers(self, domain: str, system: str, code: str, *, plant: str, at: datetime) -> bool:
        """Whether a row for the code, the system's or a canonical one, holds at that moment in that plant."""
        if domain == PACKAGE:
            return self.knows(domain, system, code)
        inward = _pick(self._inward.get((domain, system, code), ()), plant, at)
        return inward is not None or self._outgoing(domain, system, code, plant, at) is not None


def _pick(candidates: Iterable[Row], plant: str, at: datetime) -> Row | None:
    moment = at.timestamp()
    valid = [row for row in candidates if row.covers(moment) and row.plant in {"", plant}]
    return min(valid, key=lambda row: row.plant == "", default=None)  # a plant's own row first
