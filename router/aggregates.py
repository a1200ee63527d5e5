"""What is kept of groups that are not complete, so that a kill loses no member and none is collected twice.

New members and the events of groups that they complete commit together. Members of a completed group are
known by their keys for a while: that is how one is found that comes again.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import json

from canonical.event import Event
from canonical.ports import Outcome, Store, Transaction
from router.grouping import Member
from router.journal import IngestBatch, Journal
from router.notices import notice_message

__all__ = ["TABLES", "Kept"]

TABLES = (
    """CREATE TABLE IF NOT EXISTS aggregates (
        seq INTEGER PRIMARY KEY, route TEXT NOT NULL, key TEXT NOT NULL, name TEXT NOT NULL,
        at REAL NOT NULL, plant TEXT, data BLOB, UNIQUE (route, key)
    )""",
)
"""Members of open groups; ``data`` is NULL once the group is complete, to know the key for a while."""
_REMEMBERED = 10_000
"""Members of completed groups that are known by their keys: five times what a crash may bring again."""


class Kept:
    """The groups of one route."""

    def __init__(self, route: str, journal: Journal, store: Store) -> None:
        self._route, self._journal, self._store = route, journal, store

    async def load(self) -> list[Member]:
        """Members of open groups that earlier runs kept, oldest first. Raises StorageError."""
        # By the journal's writer, so that it comes after what an earlier run may still be writing.
        rows = await self._store.write(
            lambda t: t.execute(
                "SELECT key, name, at, plant, data FROM aggregates "
                "WHERE route = ? AND data IS NOT NULL ORDER BY seq",
                (self._route,),
            )
        )
        return [
            Member(key=key, group=name, data=json.decode(data), at=at, plant=plant)
            for key, name, at, plant, data in rows
        ]

    async def has(self, key: str) -> bool:
        """Whether the event with this idempotency key was collected."""
        rows = await self._store.read(
            lambda t: t.execute("SELECT 1 FROM aggregates WHERE route = ? AND key = ?", (self._route, key))
        )
        return bool(rows)

    async def write(self, members: Sequence[Member], made: Sequence[Event], done: Sequence[str]) -> None:
        """New members, events of completed groups, and the keys of these groups' members: in one commit.
        Raises StorageError, and nothing is kept then."""

        def within(transaction: Transaction, outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
            for member in members:
                self._put(transaction, member)
            for key in done:
                transaction.execute(
                    "UPDATE aggregates SET data = NULL WHERE route = ? AND key = ?", (self._route, key)
                )
            if done:
                transaction.execute(
                    "DELETE FROM aggregates WHERE route = ?1 AND data IS NULL AND seq < "
                    "(SELECT max(seq) FROM aggregates WHERE route = ?1) - ?2",
                    (self._route, _REMEMBERED),
                )
            return outcomes

        messages = [notice_message(event) for event in made]
        await self._journal.append(IngestBatch(adapter="hub", messages=messages, within=within), urgent=True)

    def _put(self, transaction: Transaction, member: Member) -> None:
        transaction.execute(
            "INSERT OR IGNORE INTO aggregates (route, key, name, at, plant, data) VALUES (?, ?, ?, ?, ?, ?)",
            (self._route, member.key, member.group, member.at, member.plant, json.encode(member.data)),
        )
