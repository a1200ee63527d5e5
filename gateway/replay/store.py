"""Replays in the store: what was asked for, how far each is, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

from msgspec import Struct, json

from canonical.ports import Transaction

__all__ = ["TABLES", "Asked", "Replay", "State", "add", "page", "save"]

State = Literal["running", "stopped", "done", "failed"]

TABLES: Final = (
    """CREATE TABLE IF NOT EXISTS replays (
        id INTEGER PRIMARY KEY AUTOINCREMENT, state TEXT NOT NULL, route TEXT NOT NULL, actor TEXT NOT NULL,
        at REAL NOT NULL, asked TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
        reached INTEGER NOT NULL, result TEXT NOT NULL, problem TEXT NOT NULL, ended_at REAL)""",
    """CREATE TABLE IF NOT EXISTS replay_failures (
        replay INTEGER NOT NULL, position INTEGER NOT NULL, key TEXT NOT NULL, code TEXT NOT NULL,
        error TEXT NOT NULL, PRIMARY KEY (replay, position)) WITHOUT ROWID""",
)
_COLUMNS: Final = "id, state, route, actor, at, asked, first, last, reached, result, problem, ended_at"


class Asked(Struct, frozen=True, kw_only=True):
    """Times are seconds since 1970 UTC. ``until`` None: up to what the route has settled.

    ``plants`` and ``domains`` are those of who asked, None for all; ``changed``: another recipe was given.
    """

    dry_run: bool
    since: float
    until: float | None = None
    as_new: bool = False
    rate: float = 0.0
    changed: bool = False
    plants: list[str] | None = None
    domains: list[str] | None = None


class Replay(Struct, frozen=True, kw_only=True):
    """One replay. Positions from ``first`` to ``last``; ``reached`` is how far it is. ``result`` counts."""

    id: int
    state: State
    route: str
    by: str
    at: float
    asked: Asked
    first: int
    last: int
    reached: int
    result: dict[str, Any]
    problem: str
    ended_at: float | None


def add(
    transaction: Transaction, *, route: str, by: str, at: float, asked: Asked, first: int, last: int
) -> int:
    """Keeps a new one; its number."""
    rows = transaction.execute(
        "INSERT INTO replays (state, route, actor, at, asked, first, last, reached, result, problem) "
        "VALUES ('running', ?, ?, ?, ?, ?, ?, ?, '{}', '') RETURNING id",
        (route, by, at, json.encode(asked).decode(), first, last, first - 1),
    )
    return int(rows[0][0])


def save(
    transaction: Transaction,
    number: int,
    *,
    reached: int,
    last: int,
    result: Any,
    state: State | None = None,
    problem: str = "",
    ended_at: float | None = None,
) -> None:
    """Writes down how far it is, and with ``state`` how it ended."""
    transaction.execute(
        "UPDATE replays SET reached = ?, last = ?, result = ?, problem = ? WHERE id = ?",
        (reached, last, json.encode(result).decode(), problem, number),
    )
    if state is not None:
        transaction.execute(
            "UPDATE replays SET state = ?, ended_at = ? WHERE id = ?", (state, ended_at, number)
        )


def page(transaction: Transaction, clause: str, values: Sequence[object]) -> list[Replay]:
    """Those that the clause selects."""
    rows = transaction.execute(f"SELECT {_COLUMNS} FROM replays {clause}", values)  # noqa: S608 - of ours
    return [_replay(row) for row in rows]


def _replay(row: Sequence[Any]) -> Replay:
    number, state, route, by, at, asked, first, last, reached, result, problem, ended_at = row
    return Replay(
        id=number,
        state=state,
        route=route,
        by=by,
        at=at,
        asked=json.decode(asked, type=Asked),
        first=first,
        last=last,
        reached=reached,
        result=json.decode(result),
        problem=problem,
        ended_at=ended_at,
    )
