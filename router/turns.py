"""Whose turn it is: what is ready to be sent, and what waits because its key has a delivery under way.

A key has one delivery under way at most; its successors wait behind it in order. What comes back from a
call that did not try it goes to the front again, before its successors.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from router.work import Work

__all__ = ["Turns"]


class Turns:
    """The work of one route that was taken one by one."""

    def __init__(self) -> None:
        self._ready: deque[Work] = deque()
        self._deferred: dict[str, deque[Work]] = {}
        self._busy: set[str] = set()
        self._returned: list[Work] = []

    def __bool__(self) -> bool:
        return bool(self._ready)

    def add(self, works: Iterable[Work]) -> None:
        """At the end, in order."""
        self._ready.extend(works)

    def put_first(self, works: Sequence[Work]) -> None:
        """At the front, in order."""
        self._ready.extendleft(reversed(works))

    def next(self) -> Work:
        """The next one; its key is not asked for. Raises IndexError."""
        return self._ready.popleft()

    def waits(self, work: Work) -> bool:
        """Whether its key has another one under way or before it; then it waits for that."""
        if work.key in self._busy or (work.key in self._deferred and not work.promoted):
            self._deferred.setdefault(work.key, deque()).append(work)
            return True
        return False

    def begin(self, work: Work) -> None:
        """It is under way."""
        self._busy.add(work.key)

    def release(self, key: str) -> None:
        """What was under way has arrived: the key's next one is ready."""
        self._busy.discard(key)
        waiting = self._deferred.get(key)
        if waiting:
            following = waiting.popleft()
            following.promoted = True
            self._ready.appendleft(following)
        if not waiting:
            self._deferred.pop(key, None)

    def back(self, work: Work) -> None:
        """To the front again, once ``give_back`` says that all of its call have an outcome."""
        self._busy.discard(work.key)
        work.promoted = True
        self._returned.append(work)

    def give_back(self) -> None:
        """Puts what came back to the front; those of one call keep their order."""
        self.put_first(self._returned)
        self._returned = []

    def leave(self, key: str) -> Sequence[Work]:
        """What was under way leaves for a lane, or for good: its successors, which wait no more."""
        self._busy.discard(key)
        return self._deferred.pop(key, ())
