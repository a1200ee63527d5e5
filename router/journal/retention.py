"""How long the journal keeps what everybody has passed, and what happens when the disk's share is used up."""

from __future__ import annotations

import time
from collections.abc import Callable

from canonical.ports import Transaction

__all__ = ["Retention"]

_AT_ONCE = 50  # bundles removed per transaction, so that ingest never waits for long


class Retention:
    """Time and size limits. Never drops an event that a route or projection still needs.

    ``keep_after()`` gives the lowest position that some reader beside the routes has reached
    (projections); routes' cursors are read from the store. ``before`` runs in the transaction first: who
    counts what is in the journal takes it over there.
    """

    def __init__(
        self,
        *,
        retain_s: float = 30 * 86400.0,
        size_bytes: int = 20 * 1000**3,
        keep_after: Callable[[], int | None] = lambda: None,
        before: Callable[[Transaction], object] = lambda _: None,
    ) -> None:
        self.retain_s, self.size_bytes, self.keep_after = retain_s, size_bytes, keep_after
        self.before = before

    def apply(self, transaction: Transaction) -> bool:
        """Removes what may go; returns whether there is room for more."""
        self.before(transaction)
        horizon = self._horizon(transaction)
        too_old = time.time() - self.retain_s
        over = self._used(transaction) > self.size_bytes
        rows = transaction.execute(
            "SELECT first, last FROM bundles WHERE last <= ? AND (? OR committed_at < ?) "
            "AND first NOT IN (SELECT first FROM quarantine) ORDER BY first LIMIT ?",
            (horizon, over, too_old, _AT_ONCE),
        )
        if rows:
            transaction.execute(
                "DELETE FROM bundles WHERE first BETWEEN ? AND ? "
                "AND first NOT IN (SELECT first FROM quarantine)",
                (rows[0][0], rows[-1][0]),
            )
            transaction.execute(  # the newest row stays, so that no id is given twice
                "DELETE FROM deliveries WHERE last <= ? AND id < (SELECT max(id) FROM deliveries)",
                (rows[-1][1],),
            )
        return not over or self._used(transaction) <= self.size_bytes

    def _horizon(self, transaction: Transaction) -> int:
        lowest = transaction.execute("SELECT min(position) FROM cursors")[0][0]
        highest = int(transaction.execute("SELECT value FROM meta WHERE key = 'next_position'")[0][0]) - 1
        marks = [mark for mark in (lowest, self.keep_after()) if mark is not None]
        return min([highest, *marks])

    @staticmethod
    def _used(transaction: Transaction) -> int:
        pages, free, size = (
            int(transaction.execute(f"PRAGMA {name}")[0][0])
            for name in ("page_count", "freelist_count", "page_size")
        )
        return (pages - free) * size
