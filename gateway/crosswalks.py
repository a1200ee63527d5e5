"""Crosswalk rows as people keep them: listed, added, and what waits for a new one is let go."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

from msgspec import structs

from canonical.ports import Store, Transaction
from deadletter.service import Audit
from router import crosswalk, lanes
from router.crosswalk import Crosswalk, Row

__all__ = ["FILES", "Crosswalks"]

FILES, API = "files", "api"
"""Where a row came from: a file of the deployment, or somebody through the API."""

Release = Callable[[str, str], Awaitable[int]]
"""(route, key) → how many waited there."""


class Crosswalks:
    """The rows in the store, and the approved ones in memory (``current``)."""

    def __init__(self, store: Store, release: Release, audit: Audit, clock: Callable[[], datetime]) -> None:
        self._store, self._release, self._audit, self._clock = store, release, audit, clock
        self.current = Crosswalk()

    async def load(self) -> None:
        """Reads the approved rows."""
        self.current = Crosswalk(await self._store.read(lambda t: crosswalk.rows(t, status="approved")))

    async def sync_files(self, rows: Sequence[Row]) -> int:
        """Makes the rows of the deployment's files what the files say, and lets go what waited for them.

        Returns how many changed. Raises Overlap when they contradict rows from elsewhere.
        """
        now = self._clock().timestamp()
        stamped = [structs.replace(row, origin=FILES, created_at=now) for row in rows]

        def work(transaction: Transaction) -> int:
            changed = crosswalk.sync_origin(transaction, FILES, stamped)
            if changed:
                self._audit(
                    transaction, "hub", "crosswalk.load", FILES, {"changed": changed, "rows": len(rows)}
                )
            return changed

        changed = await self._store.write(work)
        await self.load()
        if changed:
            await self._let_go(stamped)
        return changed

    async def list(self, **filters: str) -> Sequence[Row]:
        """The rows whose columns have these values, oldest first. Raises KeyError for another column."""
        return await self._store.read(lambda t: crosswalk.rows(t, **filters))

    async def add(self, row: Row, *, by: str) -> tuple[Row, int]:
        """Keeps an approved row and lets go what waits for it; returns it and how many lanes were let go.

        Raises Overlap.
        """
        stamped = structs.replace(row, origin=API, approved_by=by, created_at=self._clock().timestamp())

        def work(transaction: Transaction) -> Row:
            kept = crosswalk.add(transaction, stamped)
            self._audit(transaction, by, "crosswalk.add", f"crosswalk/{kept.id}", structs.asdict(kept))
            return kept

        kept = await self._store.write(work)
        await self.load()
        return kept, await self._let_go([kept])

    async def _let_go(self, rows: Sequence[Row]) -> int:
        """Both ways: lanes that wait for the system's code, and those that wait for the canonical one."""
        codes = {(row.domain, row.system, code) for row in rows for code in (row.value, row.canonical)}
        waiting = await self._store.read(
            lambda t: [lane for code in sorted(codes) for lane in lanes.parked_on(t, *code)]
        )
        for route, key in waiting:
            await self._release(route, key)
        return len(waiting)
