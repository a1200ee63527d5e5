"""Changes of crosswalk rows that were not published yet: written with the change, removed with the event.

Only what has effect is published: a draft is nobody's business but its steward's.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Literal, Protocol

import msgspec
from msgspec import Struct

from canonical.ports import Transaction

__all__ = ["TABLES", "Change", "Operation", "note", "told", "waiting"]

TABLES = (
    """CREATE TABLE IF NOT EXISTS crosswalk_changes (
        id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, operation TEXT NOT NULL,
        row TEXT NOT NULL)""",
)

Operation = Literal["created", "updated", "deleted"]


class Changed(Protocol):
    """A row, as far as it matters here."""

    @property
    def effective(self) -> bool: ...


class Change(Struct, frozen=True, kw_only=True):
    """One change; ``row``: the columns after it, of what was deleted those before. ``at``: seconds since
    1970."""

    id: int
    at: float
    operation: Operation
    row: dict[str, Any]


def note(transaction: Transaction, before: Changed | None, after: Changed | None, row: Changed) -> None:
    """Keeps a change until it is published, if it has any effect. ``row`` is what is told of it."""
    was, now = before is not None and before.effective, after is not None and after.effective
    if not was and not now:
        return
    operation: Operation = "deleted" if not now else "updated" if was else "created"
    transaction.execute(
        "INSERT INTO crosswalk_changes (at, operation, row) VALUES (?, ?, ?)",
        (time.time(), operation, msgspec.json.encode(row).decode()),
    )


def waiting(transaction: Transaction, limit: int) -> list[Change]:
    """The oldest that were not published yet."""
    rows = transaction.execute(
        "SELECT id, at, operation, row FROM crosswalk_changes ORDER BY id LIMIT ?", (limit,)
    )
    return [
        Change(id=identifier, at=at, operation=operation, row=msgspec.json.decode(row))
        for identifier, at, operation, row in rows
    ]


def told(transaction: Transaction, changes: Sequence[Change]) -> None:
    """These are published now."""
    if changes:
        transaction.execute("DELETE FROM crosswalk_changes WHERE id <= ?", (changes[-1].id,))
