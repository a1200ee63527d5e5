"""What a route hands to the journal of what it has done: its cursor, and what was delivered before it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from canonical.ports import Recorded
from router.failpoint import failpoint
from router.journal import Journal, Settlement
from router.spans import spans
from router.status import Observer
from router.work import Work

__all__ = ["Settling"]


class Settling:
    """Of one route. ``cursor``: up to here everything is settled."""

    def __init__(
        self, route: str, journal: Journal, observer: Observer, clock: Callable[[], datetime]
    ) -> None:
        self._route, self._journal, self._observer, self._clock = route, journal, observer, clock
        self._delivered: list[Recorded] = []
        self._receipts: dict[int, str] = {}
        self._attempts: dict[int, int] = {}
        self.cursor = 0

    def delivered(self, recorded: Sequence[Recorded]) -> None:
        """They arrived at the first attempt, and the peer has no ids of its own for them."""
        self._delivered += recorded

    def arrived(self, work: Work, receipt: str) -> None:
        """It arrived; ``receipt`` is the peer's own id for it, if it gave one."""
        self._delivered.append(Recorded(work.position, work.event))
        if receipt:
            self._receipts[work.position] = receipt
        if work.attempts:
            self._attempts[work.position] = work.attempts + 1

    def settle(self, cursor: int) -> None:
        """Hands on what is new; the journal writes it with its next commit."""
        if cursor <= self.cursor and not self._delivered:
            return
        failpoint("engine.before_settle")
        self.cursor = max(cursor, self.cursor)
        now, measured = self._clock(), None
        delivered, self._delivered = self._delivered, []
        if delivered:
            measured = self._observer.delivered(self._route, [item.event for item in delivered], now)
        self._journal.settle(
            Settlement(
                route=self._route,
                position=self.cursor,
                delivered=spans([item.position for item in delivered], self._receipts),
                attempts=self._attempts,
                measured=measured,
                at=now.timestamp(),
            )
        )
        self._receipts, self._attempts = {}, {}
