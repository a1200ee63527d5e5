"""The newest commits as they were handed on: who is a little behind need not read and decode them again."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from operator import attrgetter

from canonical.ports import Recorded
from router.journal import Header
from router.journal.bundle import header_for

__all__ = ["Recent"]

MOST = 20_000
"""Events. As many as projections may have in their hands anyway; some 20 MB of telemetry."""
MOST_BYTES = 16 * 1024 * 1024
"""Of the events as they lie in the file, which a flood of large documents reaches first."""

_position = attrgetter("position")


class Recent:
    """Belongs to the loop. Without a gap up to the journal's head; empty after a while without commits."""

    def __init__(self) -> None:
        self._commits: deque[Sequence[Recorded]] = deque()
        self._sizes: deque[int] = deque()
        self._events = self._bytes = 0
        self._fresh = False

    def add(self, recorded: Sequence[Recorded], size_bytes: int) -> None:
        """Takes what a commit added, which is not changed any more; forgets the oldest beyond the bounds."""
        self._commits.append(recorded)
        self._sizes.append(size_bytes)
        self._events += len(recorded)
        self._bytes += size_bytes
        self._fresh = True
        while self._events > MOST or self._bytes > MOST_BYTES:
            self._drop()

    def _drop(self) -> None:
        self._events -= len(self._commits.popleft())
        self._bytes -= self._sizes.popleft()

    def after(
        self, position: int, limit: int, wanted: Callable[[Header], bool] | None
    ) -> tuple[list[Recorded], int] | None:
        """As ``Journal.events``; None when what follows the position is not here."""
        if not self._commits or position < self._commits[0][0].position - 1:
            return None
        found: list[Recorded] = []
        reached = position
        for commit in self._commits:
            if commit[-1].position <= position:
                continue
            if wanted is None or wanted(header_for([item.event for item in commit], ())):
                begin = bisect_right(commit, position, key=_position)
                found += commit[begin:] if begin else commit
            reached = commit[-1].position
            if len(found) >= limit:
                break
        return found, reached

    def forget(self, before: int) -> None:
        """Forgets the commits that lie before a position: the journal has removed them."""
        while self._commits and self._commits[0][-1].position < before:
            self._drop()

    def age(self) -> None:
        """To be called now and then: forgets everything when nothing has come since the last time."""
        if not self._fresh:
            self._commits.clear()
            self._sizes.clear()
            self._events = self._bytes = 0
        self._fresh = False
