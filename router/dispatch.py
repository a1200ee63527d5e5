"""From the journal's head to the routes: each commit is handed on once, to those that want it.

A route that keeps up gets the events as they were committed, without reading them again. One that
lags (its buffer is full, or it starts behind) reads the journal for itself until it has caught up,
and slows nobody.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

import apsw

from canonical.errors import CrossplantError
from canonical.ports import Recorded
from canonical.spec import Log
from router.journal import Journal
from router.routes import Route

__all__ = ["Dispatcher", "Feed"]

_RETRY_S = 1.0
BUFFER_EVENTS = 2000
"""Events that wait in memory per route; beyond, the route reads from the journal."""


class Feed:
    """What one route has still to take, in the journal's order."""

    def __init__(self, route: Route, dispatcher: Dispatcher, after: int) -> None:
        self.route = route
        self._dispatcher = dispatcher
        self._buffer: deque[Recorded] = deque()
        self._reached = after
        self._live = False
        self._loading: asyncio.Task[None] | None = None
        self.wake: Callable[[], None] = lambda: None

    @property
    def reached(self) -> int:
        """The position up to which it has seen everything, what waits in the buffer included."""
        return max(self._dispatcher.head, self._reached) if self._live else self._reached

    @property
    def passed(self) -> int:
        """The position up to which everything has been taken."""
        return self._buffer[0].position - 1 if self._buffer else self.reached

    @property
    def waiting(self) -> Sequence[Recorded]:
        """The buffer, oldest first."""
        return self._buffer

    @property
    def lagging(self) -> bool:
        """Whether it reads for itself."""
        return not self._live

    def offer(self, recorded: list[Recorded], before: int) -> None:
        """Takes what a commit has for it, or begins to lag when the buffer is full."""
        if not self._live:
            return
        if before < self._reached:  # it read a commit of which the loop had not been told yet
            recorded = [item for item in recorded if item.position > self._reached]
        if len(self._buffer) + len(recorded) > BUFFER_EVENTS:
            self._live, self._reached = False, max(before, self._reached)
            return
        self._buffer.extend(recorded)
        self.wake()

    def take(self, limit: int) -> list[Recorded]:
        """Up to ``limit`` events, at once; wakes its owner later when there are more."""
        taken = [self._buffer.popleft() for _ in range(min(limit, len(self._buffer)))]
        if not self._live and self._loading is None and len(self._buffer) < BUFFER_EVENTS // 2:
            self._loading = asyncio.get_running_loop().create_task(self._load())
        return taken

    async def _load(self) -> None:
        try:
            found, reached = await self._dispatcher.events(self._reached, self.route)
            self._buffer.extend(item for item in found if self.route.takes(item.event))
            self._reached = max(reached, self._reached)
            self._live = self._reached >= self._dispatcher.head
        finally:
            self._loading = None
        self.wake()

    async def close(self) -> None:
        """Ends a read under way."""
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.gather(self._loading, return_exceptions=True)


class Dispatcher:
    """Hands each commit to the feeds, by type and plant, before any expression is evaluated."""

    def __init__(self, journal: Journal, log: Log) -> None:
        self._journal, self._log = journal, log
        self._feeds: list[Feed] = []
        self._by_type: dict[str, list[Feed]] = {}
        journal.subscribe(self._committed)

    @property
    def head(self) -> int:
        """The newest position that was handed on."""
        return self._journal.head

    def feed(self, route: Route, after: int) -> Feed:
        """A feed of what comes after a position."""
        feed = Feed(route, self, after)
        self._feeds.append(feed)
        for name in route.types:
            self._by_type.setdefault(name, []).append(feed)
        return feed

    def drop(self, feed: Feed) -> None:
        """Forgets a feed."""
        self._feeds.remove(feed)
        for feeds in self._by_type.values():
            if feed in feeds:
                feeds.remove(feed)

    async def events(self, after: int, route: Route) -> tuple[list[Recorded], int]:
        """What a lagging route reads; a disk that cannot be read is asked again until it can."""
        while True:
            try:
                return await self._journal.events(after, limit=BUFFER_EVENTS // 2, wanted=route.wants)
            except (CrossplantError, apsw.Error) as error:
                self._log.error("journal_unreadable", route=route.name, error=str(error), again_in_s=_RETRY_S)
                await asyncio.sleep(_RETRY_S)

    def _committed(self, recorded: Sequence[Recorded]) -> None:
        """Called in the loop with each commit's events."""
        wanted: dict[int, tuple[Feed, list[Recorded]]] = {}
        for item in recorded:
            for feed in self._by_type.get(item.event.type, ()):
                if feed.route.takes(item.event):
                    wanted.setdefault(id(feed), (feed, []))[1].append(item)
        before = recorded[0].position - 1
        for feed, items in wanted.values():
            feed.offer(items, before)
