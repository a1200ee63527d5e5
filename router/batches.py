"""What is kept of batches, so that one of which nobody knows whether it arrived is the same after a kill.

A batch is written down before it goes out. What an earlier run wrote down counts as in doubt: when one of its
members comes again, it goes out as it was, under its key. Its row goes once it was refused, or once as many
members have arrived after it as nobody asks for again.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import msgpack

from canonical.ports import Delivery, Store, Transaction

__all__ = ["TABLES", "Kept"]

TABLES = (
    """CREATE TABLE IF NOT EXISTS batches (
        seq INTEGER PRIMARY KEY, route TEXT NOT NULL, key TEXT NOT NULL, members BLOB NOT NULL,
        UNIQUE (route, key)
    )""",
)
_MEMBERS = 4_000
"""Twice what a crash may bring again of one route."""


class Kept:
    """The batches of one route."""

    def __init__(self, route: str, store: Store) -> None:
        self._route, self._store = route, store
        self._over: dict[str, int] = {}
        self._members = 0
        self._gone: list[str] = []

    async def load(self) -> list[tuple[Delivery, ...]]:
        """The members of each that earlier runs wrote down, oldest first. Raises StorageError."""
        # By the journal's writer, so that it comes after what an earlier run may still be writing.
        rows = await self._store.write(
            lambda t: t.execute(
                "SELECT key, members FROM batches WHERE route = ? ORDER BY seq", (self._route,)
            )
        )
        found = []
        for key, blob in rows:
            members = msgpack.decode(blob, type=tuple[Delivery, ...])
            self.arrived(key, len(members))
            found.append(members)
        return found

    async def begin(self, key: str, members: Sequence[Delivery]) -> None:
        """Durable when it returns. Raises StorageError."""
        blob, gone = msgpack.encode(members), list(self._gone)

        def work(transaction: Transaction) -> None:
            for each in (*gone, key):
                transaction.execute("DELETE FROM batches WHERE route = ? AND key = ?", (self._route, each))
            transaction.execute(
                "INSERT INTO batches (route, key, members) VALUES (?, ?, ?)", (self._route, key, blob)
            )

        await self._store.write(work)
        del self._gone[: len(gone)]

    def arrived(self, key: str, members: int) -> None:
        """It is known still for a while: until it is settled a kill brings its members again."""
        self._members += members - self._over.pop(key, 0)
        self._over[key] = members
        while self._members - self._over[oldest := next(iter(self._over))] >= _MEMBERS:
            self._members -= self._over.pop(oldest)
            self._gone.append(oldest)

    def refused(self, key: str) -> None:
        """It is no batch any more; its row goes with the next one that is written."""
        self._members -= self._over.pop(key, 0)
        self._gone.append(key)
