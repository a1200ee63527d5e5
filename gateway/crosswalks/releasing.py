"""Which lanes go on when rows change. A row is durable before anything is let go; what a crash keeps from
being let go is found again by ``look``, since it stays in its lane until it is delivered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from canonical.ports import Store, Transaction
from config.packages import PACKAGE
from router import lanes, parked
from router.crosswalk import Crosswalk, Row
from router.parked import Parked

__all__ = ["Release", "Releasing"]

Release = Callable[[str, str], Awaitable[int]]
"""(route, key) → how many waited there. Raises LookupError for a route that does not run."""

_AT_ONCE: Final = 2000
"""Lanes per code that one look decides about; the next look finds the rest."""

Code = tuple[str, str, str]


class Releasing:
    """Lets lanes go whose code is known."""

    def __init__(self, store: Store, release: Release, current: Callable[[], Crosswalk]) -> None:
        self._store, self._release, self._current = store, release, current
        self._tried: dict[tuple[str, str, int], Crosswalk] = {}

    async def of(self, rows: Iterable[Row]) -> int:
        """Both ways: lanes that wait for the system's code, and those that wait for the canonical one.

        Returns how many.
        """
        fresh = list(rows)
        codes = {(row.domain, row.system, code) for row in fresh for code in (row.value, row.canonical)}
        items = {row.system for row in fresh if row.domain == PACKAGE}

        def work(transaction: Transaction) -> list[tuple[str, str]]:
            wanted = codes
            if len(codes) > _AT_ONCE or items:
                some = set(parked.codes(transaction))
                wanted = {code for code in some if code in codes or _of_item(code, items)}
            return [lane for code in sorted(wanted) for lane in lanes.parked_on(transaction, *code)]

        return sum([await self._let_go(route, key) for route, key in await self._store.read(work)])

    async def look(self) -> int:
        """Lets go every lane whose code a row answers by now; each only once per state of the rows."""
        current = self._current()

        def work(transaction: Transaction) -> list[Parked]:
            known = [code for code in parked.codes(transaction) if current.knows(*code)]
            return [
                head
                for code in known
                for head in parked.waiting(transaction, *code, limit=_AT_ONCE)
                if current.answers(*code, plant=head.plant, at=head.at)
            ]

        found = await self._store.read(work)
        tried, self._tried = self._tried, {}
        released = 0
        for head in found:
            place = (head.route, head.key, head.position)
            if tried.get(place) is current:
                self._tried[place] = current
            elif await self._let_go(head.route, head.key):
                self._tried[place] = current
                released += 1
        return released

    async def _let_go(self, route: str, key: str) -> int:
        """1 when the lane goes on, 0 when its route does not run: it is looked at again when it does."""
        try:
            return 1 if await self._release(route, key) else 0
        except LookupError:
            return 0


def _of_item(code: Code, items: set[str]) -> bool:
    return code[0] == PACKAGE and (code[1] in items or "*" in items)
