"""Which position comes next: the one after all that any bundle has, or ever had.

It is read from the newest bundle, so that no commit writes a page to keep it. ``meta`` has it for the
bundles that were removed: a trigger sees to that, whoever removes them.
"""

from __future__ import annotations

import contextlib

from canonical.ports import Transaction
from router.journal import JournalCorrupt
from router.journal.bundle import header_of

__all__ = ["TRIGGER", "following"]

TRIGGER = """CREATE TRIGGER IF NOT EXISTS bundles_gone AFTER DELETE ON bundles
    WHEN OLD.last >= (SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'next_position')
    BEGIN UPDATE meta SET value = CAST(OLD.last + 1 AS TEXT) WHERE key = 'next_position'; END"""


def following(transaction: Transaction) -> int:
    """The position of the next event. None was given before, nor will be again."""
    [(kept,)] = transaction.execute("SELECT value FROM meta WHERE key = 'next_position'")
    marks = [int(kept)]
    newest = transaction.execute("SELECT first, last, header FROM bundles ORDER BY first DESC LIMIT 1")
    for first, last, header in newest:
        marks.append(last + 1)
        with contextlib.suppress(JournalCorrupt):  # the header has a checksum, the last position has none
            counts = header_of(first, last, header).counts
            marks.append(first + sum(sum(types.values()) for types in counts.values()))
    return max(marks)
