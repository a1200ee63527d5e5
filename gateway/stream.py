"""Events as they are committed, for those who listen (server-sent events).

A listener that keeps up reads from a small buffer; one that resumes or lags reads the journal, at its
own pace, and holds nobody back.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import islice

from canonical.event import Event
from canonical.ports import Recorded
from router.journal import Header, Journal

__all__ = ["Tail"]

_BUFFERED = 2000
_BATCH = 500


class Tail:
    """The newest events of a journal. One per app."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._newest: deque[Recorded] = deque(maxlen=_BUFFERED)
        self._changed = asyncio.Event()
        journal.subscribe(self._committed)

    def _committed(self, recorded: Sequence[Recorded]) -> None:
        self._newest.extend(recorded)
        self.wake()

    def wake(self) -> None:
        """Lets everybody who waits look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def follow(
        self,
        after: int,
        takes: Callable[[Event], bool],
        wanted: Callable[[Header], bool],
        *,
        quiet_s: float,
        ended: Callable[[], bool],
    ) -> AsyncIterator[tuple[list[Recorded], int]]:
        """(events, how far that goes) until ``ended``; no events when there were none for ``quiet_s``."""
        clock = asyncio.get_running_loop().time
        spoke_at = clock()
        while not ended():
            changed = self._changed
            found, reached = await self._after(after, wanted)
            moved, after = reached > after, max(reached, after)
            taken = [item for item in found if takes(item.event)]
            if taken or clock() - spoke_at >= quiet_s:
                yield taken, after
                spoke_at = clock()
            if moved:
                continue
            try:
                async with asyncio.timeout_at(spoke_at + quiet_s):
                    await changed.wait()
            except TimeoutError:
                continue

    async def _after(self, position: int, wanted: Callable[[Header], bool]) -> tuple[list[Recorded], int]:
        if position >= self._journal.head:
            return [], position
        newest = self._newest
        if newest and newest[0].position <= position + 1:
            start = position + 1 - newest[0].position
            found = list(islice(newest, start, start + _BATCH))
            return found, found[-1].position if found else position
        return await self._journal.events(position, limit=_BATCH, wanted=wanted)
