"""How long the journal keeps what everybody has passed, and what happens when the disk's share is used up."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from canonical.ports import Transaction
from router.journal.positions import following

__all__ = ["Retention", "Swept"]

_BUNDLES_AT_ONCE = 64
_BYTES_AT_ONCE = 4_000_000
"""Removed per transaction at the most, so that no append waits for long behind one."""
_DELIVERIES_AT_ONCE = 1_000
_FULL_FROM = 0.9
"""Of the size limit: from here on what may go is removed whatever its age, before ingest is held back."""


class Swept(NamedTuple):
    """``room``: whether ingest may go on. ``more``: whether another sweep would remove something."""

    room: bool
    more: bool


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

    @property
    def step_bytes(self) -> int:
        """After so many bytes more it is time for a sweep."""
        return max(self.size_bytes // 200, 100_000)

    def sweep(self, transaction: Transaction) -> Swept:
        """Removes some of what may go, oldest first."""
        self.before(transaction)
        horizon = self._horizon(transaction)
        too_old = time.time() - self.retain_s
        over = self._used(transaction) > self.size_bytes * _FULL_FROM
        found = transaction.execute(
            "SELECT first, last, length(events) + length(raws) + coalesce("
            "(SELECT sum(size_bytes) FROM claim_checks AS c WHERE c.first = bundles.first), 0) FROM bundles "
            "WHERE last <= ? AND (? OR committed_at < ?) "
            "AND first NOT IN (SELECT first FROM quarantine) ORDER BY first LIMIT ?",
            (horizon, over, too_old, _BUNDLES_AT_ONCE),
        )
        rows = _first_of(found)
        if rows:
            for table in ("bundles", "claim_checks"):
                transaction.execute(
                    f"DELETE FROM {table} WHERE first BETWEEN ? AND ? "
                    "AND first NOT IN (SELECT first FROM quarantine)",
                    (rows[0][0], rows[-1][0]),
                )
            self._forget_deliveries(transaction, rows[-1][1])
        more = len(rows) < len(found) or len(found) == _BUNDLES_AT_ONCE
        return Swept(room=not over or self._used(transaction) <= self.size_bytes, more=more)

    @staticmethod
    def _forget_deliveries(transaction: Transaction, last: int) -> None:
        """Of the oldest rows those that tell of what has gone; there is no need to look at all of them."""
        transaction.execute(
            "DELETE FROM deliveries WHERE id < (SELECT min(id) FROM deliveries) + ? AND last <= ? "
            "AND id < (SELECT max(id) FROM deliveries)",  # the newest row stays: no id is given twice
            (_DELIVERIES_AT_ONCE, last),
        )

    def _horizon(self, transaction: Transaction) -> int:
        lowest = transaction.execute("SELECT min(position) FROM cursors")[0][0]
        highest = following(transaction) - 1
        marks = [mark for mark in (lowest, self.keep_after()) if mark is not None]
        return min([highest, *marks])

    @staticmethod
    def _used(transaction: Transaction) -> int:
        pages, free, size = (
            int(transaction.execute(f"PRAGMA {name}")[0][0])
            for name in ("page_count", "freelist_count", "page_size")
        )
        [(beside,)] = transaction.execute(
            "SELECT coalesce(sum(size_bytes), 0) FROM (SELECT DISTINCT sha256, size_bytes FROM claim_checks)"
        )
        return (pages - free) * size + int(beside)


def _first_of(rows: Sequence[tuple[Any, ...]]) -> Sequence[tuple[Any, ...]]:
    """As many as are removed at once; the first one however large it is."""
    size_bytes = 0
    for number, (_, _, length) in enumerate(rows):
        size_bytes += length
        if number and size_bytes > _BYTES_AT_ONCE:
            return rows[:number]
    return rows
