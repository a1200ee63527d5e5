"""Bundles that the disk changed: they stay where they lie, and nobody reads them any more.

Their positions are passed over by every reader; whoever opened the journal records that, in the same
transaction. Retention spares them until they are released.
"""

from __future__ import annotations

import time

from msgspec import Struct

from canonical.ports import Transaction
from router.journal import JournalCorrupt

__all__ = ["TABLE", "Damage", "put", "release"]

TABLE = """CREATE TABLE IF NOT EXISTS quarantine (
    first INTEGER PRIMARY KEY, last INTEGER NOT NULL, found_at REAL NOT NULL, reason TEXT NOT NULL)"""


class Damage(Struct, frozen=True, kw_only=True):
    """One bundle's positions; ``routes`` had not passed them when it was found, so they miss its events."""

    first: int
    last: int
    reason: str
    routes: tuple[str, ...]


def put(transaction: Transaction, error: JournalCorrupt) -> Damage | None:
    """Takes the bundle out of every reader's way; None when it is out already."""
    new = transaction.execute(
        "INSERT INTO quarantine VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING first",
        (error.first, error.last, time.time(), str(error)),
    )
    if not new:
        return None
    behind = transaction.execute("SELECT route FROM cursors WHERE position < ? ORDER BY route", (error.last,))
    routes = tuple(str(route) for (route,) in behind)
    return Damage(first=error.first, last=error.last, reason=str(error), routes=routes)


def release(transaction: Transaction, first: int) -> None:
    """Gives the bundle up, bytes and all."""
    transaction.execute("DELETE FROM claim_checks WHERE first = ?", (first,))
    transaction.execute("DELETE FROM bundles WHERE first = ?", (first,))
    transaction.execute("DELETE FROM quarantine WHERE first = ?", (first,))
