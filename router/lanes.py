"""Lanes at rest: what a route could not deliver yet, and what waits behind it, per key.

A lane row is a copy of the event, so that the route's cursor goes on and the journal may forget.
States: ``retrying`` (due by itself), ``parked`` (an unknown code), ``dead`` (a dead letter),
``waiting`` (behind one of these, with the same key).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from msgspec import Struct

from canonical.ports import Transaction

__all__ = [
    "TABLES",
    "Entry",
    "Lane",
    "amend",
    "counts",
    "discarded",
    "heads",
    "lanes_of",
    "page",
    "parked_on",
    "positions_after",
    "put",
    "remove",
    "size",
    "waiting",
]

State = Literal["retrying", "parked", "dead", "waiting"]

TABLES = (
    """CREATE TABLE IF NOT EXISTS lanes (
        route TEXT NOT NULL, key TEXT NOT NULL, position INTEGER NOT NULL, state TEXT NOT NULL,
        plant TEXT NOT NULL, event BLOB NOT NULL, attempts INTEGER NOT NULL, failing_s REAL NOT NULL,
        due_at REAL NOT NULL, ambiguous INTEGER NOT NULL, code TEXT NOT NULL, error TEXT NOT NULL,
        code_domain TEXT NOT NULL, code_system TEXT NOT NULL, code_value TEXT NOT NULL,
        dead_letter INTEGER, entered_at REAL NOT NULL,
        PRIMARY KEY (route, key, position)) WITHOUT ROWID""",
    """CREATE INDEX IF NOT EXISTS lanes_by_code ON lanes (code_domain, code_system, code_value)
        WHERE state = 'parked'""",
)


class Entry(Struct, frozen=True, kw_only=True):
    """One row. ``due_at`` and ``entered_at``: seconds since 1970 UTC. ``failing_s``: see recoverability.

    ``ambiguous``: an earlier attempt may have arrived, so the sink is asked before the next.
    """

    route: str
    key: str
    position: int
    state: State
    plant: str
    event: bytes
    attempts: int = 0
    failing_s: float = 0.0
    due_at: float = 0.0
    ambiguous: bool = False
    code: str = ""
    error: str = ""
    code_domain: str = ""
    code_system: str = ""
    code_value: str = ""
    dead_letter: int | None = None
    entered_at: float = 0.0


class Lane(Struct, frozen=True, kw_only=True):
    """A blocked key: its head, and how many rows it has, the head included."""

    head: Entry
    size: int


_COLUMNS = Entry.__struct_fields__
_LIST = ", ".join(_COLUMNS)
_MARKS = ", ".join("?" * len(_COLUMNS))
_KEPT = {"route", "key", "position", "event", "plant", "entered_at"}
_UPDATE = ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS if name not in _KEPT)


def _entry(values: Sequence[object]) -> Entry:
    return Entry(**dict(zip(_COLUMNS, values, strict=True)))  # type: ignore[arg-type]


def put(transaction: Transaction, entry: Entry) -> None:
    """Adds the row, or updates the state of the one that is there."""
    transaction.execute(
        f"INSERT INTO lanes ({_LIST}) VALUES ({_MARKS}) "  # noqa: S608 - names of ours
        f"ON CONFLICT (route, key, position) DO UPDATE SET {_UPDATE}",
        [getattr(entry, name) for name in _COLUMNS],
    )


def amend(transaction: Transaction, route: str, key: str, position: int, event: bytes) -> bool:
    """Replaces the event of a row; False when there is none."""
    return bool(
        transaction.execute(
            "UPDATE lanes SET event = ? WHERE route = ? AND key = ? AND position = ? RETURNING position",
            (event, route, key, position),
        )
    )


def remove(transaction: Transaction, route: str, rows: Iterable[tuple[str, int]]) -> None:
    """Takes out rows given as (key, position)."""
    for key, position in rows:
        transaction.execute(
            "DELETE FROM lanes WHERE route = ? AND key = ? AND position = ?", (route, key, position)
        )


def heads(transaction: Transaction, route: str, key: str, limit: int = 100) -> list[Entry]:
    """The oldest rows of a lane, in order."""
    rows = transaction.execute(
        f"SELECT {_LIST} FROM lanes WHERE route = ? AND key = ? ORDER BY position LIMIT ?",  # noqa: S608
        (route, key, limit),
    )
    return [_entry(row) for row in rows]


def waiting(transaction: Transaction, route: str, key: str, *, after: int, limit: int) -> list[Entry]:
    """The rows of a lane behind a position, in the order in which they will be delivered."""
    rows = transaction.execute(
        f"SELECT {_LIST} FROM lanes WHERE route = ? AND key = ? AND position > ? "  # noqa: S608 - names of ours
        "ORDER BY position LIMIT ?",
        (route, key, after, limit),
    )
    return [_entry(row) for row in rows]


def size(transaction: Transaction, route: str, key: str) -> int:
    """How many rows a lane has."""
    rows = transaction.execute("SELECT count(*) FROM lanes WHERE route = ? AND key = ?", (route, key))
    return int(rows[0][0])


def lanes_of(transaction: Transaction, route: str) -> list[Lane]:
    """Every lane of a route, those blocked longest first."""
    return page(transaction, route=route, limit=-1)


def page(
    transaction: Transaction,
    *,
    route: str | None = None,
    plants: Sequence[str] | None = None,
    after: tuple[int, str, str] | None = None,
    limit: int = 100,
) -> list[Lane]:
    """Lanes by the position of their heads.

    ``plants``: only these. ``after``: (position, route, key) of the last one had.
    """
    conditions, values = ["TRUE"], list[object]()
    if route is not None:
        conditions.append("l.route = ?")
        values.append(route)
    if plants is not None:
        conditions.append(f"l.plant IN ({', '.join('?' * len(plants))})")
        values += plants
    if after is not None:
        conditions.append("(l.position, l.route, l.key) > (?, ?, ?)")
        values += after
    columns = ", ".join(f"l.{name}" for name in _COLUMNS)
    rows = transaction.execute(
        f"SELECT {columns}, h.size FROM lanes AS l JOIN "  # noqa: S608 - names of ours, values bound
        "(SELECT route, key, min(position) AS position, count(*) AS size FROM lanes "
        "GROUP BY route, key) AS h "
        "ON h.route = l.route AND h.key = l.key AND h.position = l.position "
        f"WHERE {' AND '.join(conditions)} ORDER BY l.position, l.route, l.key LIMIT ?",
        [*values, limit],
    )
    return [Lane(head=_entry(row[:-1]), size=int(row[-1])) for row in rows]


def parked_on(transaction: Transaction, domain: str, system: str, code: str) -> list[tuple[str, str]]:
    """(route, key) of the lanes whose head waits for a crosswalk row of this code, oldest first."""
    rows = transaction.execute(
        "SELECT route, key FROM lanes WHERE state = 'parked' AND code_domain = ? AND code_system = ? "
        "AND code_value = ? ORDER BY position",
        (domain, system, code),
    )
    return [(route, key) for route, key in rows]


def discarded(transaction: Transaction, route: str) -> list[tuple[str, int]]:
    """(key, position) of the rows whose dead letter was discarded (a crash between the two)."""
    rows = transaction.execute(
        "SELECT l.key, l.position FROM lanes AS l JOIN dead_letters AS d ON d.id = l.dead_letter "
        "WHERE l.route = ? AND l.state = 'dead' AND d.status = 'discarded'",
        (route,),
    )
    return [(key, int(position)) for key, position in rows]


def positions_after(transaction: Transaction, route: str, cursor: int) -> set[int]:
    """Positions that are in lanes although the cursor has not reached them (a crash between the two)."""
    rows = transaction.execute("SELECT position FROM lanes WHERE route = ? AND position > ?", (route, cursor))
    return {int(row[0]) for row in rows}


def counts(transaction: Transaction) -> list[tuple[str, str, State, int]]:
    """(plant or ``-``, route, state, rows)."""
    rows = transaction.execute("SELECT plant, route, state, count(*) FROM lanes GROUP BY plant, route, state")
    return [(plant or "-", route, state, number) for plant, route, state, number in rows]
