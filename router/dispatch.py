"""From the journal's head to the routes: each commit is handed on once, to those that want it.

A route that keeps up gets the events as they were committed, without reading them again. One that
lags (its buffer is full, or it starts behind) reads the journal for itself until it has caught up,
and slows nobody.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence

import apsw

from canonical.errors import CrossplantError
from canonical.event import Event
from canonical.ports import Recorded
from canonical.spec import Log
from router.audience import Audience
from router.journal import Journal
from router.routes import Route

__all__ = ["Dispatcher", "Feed"]

_RETRY_S = 1.0
RECENT_EVENTS = 10_000
"""So far back a route may be and still get its events from memory, which all routes share."""
BUFFER_EVENTS = 2000
"""Events that wait in memory for one route that is further back; it reads the rest from the journal."""

_MOST_AUDIENCES = 10_000


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
        if self._buffer and recorded and recorded[-1].position - self._buffer[0].position > RECENT_EVENTS:
            self._reached = max(before, self._reached)
            self._lag()
            return
        self._buffer.extend(recorded)
        self.wake()

    def recent(self, head: int) -> None:
        """Begins to lag when what waits is too old to be kept in memory."""
        if self._live and self._buffer and head - self._buffer[0].position > RECENT_EVENTS:
            self._reached = max(head, self._reached)
            self._lag()

    def _lag(self) -> None:
        self._live = False
        while len(self._buffer) > BUFFER_EVENTS:
            self._buffer.pop()
            self._reached = self._buffer[-1].position

    def take(self, limit: int) -> list[Recorded]:
        """Up to ``limit`` events, at once; wakes its owner later when there are more."""
        if limit >= len(self._buffer):
            taken = list(self._buffer)
            self._buffer.clear()
        else:
            taken = [self._buffer.popleft() for _ in range(limit)]
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
        self._audiences: dict[tuple[str, str | None], Audience[Feed]] = {}
        self._trimmed = 0
        journal.subscribe(self._committed)

    @property
    def head(self) -> int:
        """The newest position that was handed on."""
        return self._journal.head

    def feed(self, route: Route, after: int) -> Feed:
        """A feed of what comes after a position."""
        return self.add(Feed(route, self, after))

    def add(self, feed: Feed) -> Feed:
        """Hands commits to this one, too."""
        self._feeds.append(feed)
        self._audiences.clear()
        return feed

    def drop(self, feed: Feed) -> None:
        """Forgets a feed."""
        self._feeds.remove(feed)
        self._audiences.clear()

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
        wanted: dict[Feed, list[Recorded]] = {}
        for alike in _runs(recorded):
            self._audience(alike[0].event).hand_out(alike, wanted)
        before, head = recorded[0].position - 1, recorded[-1].position
        for feed, items in wanted.items():
            feed.offer(items, before)
        if head - self._trimmed >= BUFFER_EVENTS:
            self._trimmed = head
            for feed in self._feeds:
                feed.recent(head)

    def _audience(self, event: Event) -> Audience[Feed]:
        """Who may want events of this type and plant; kept, since there are few of both."""
        place = (event.type, event.plantid)
        found = self._audiences.get(place)
        if found is None:
            if len(self._audiences) >= _MOST_AUDIENCES:
                self._audiences.clear()
            feeds = [(feed, feed.route.selection) for feed in self._feeds if feed.route.takes(event)]
            found = self._audiences[place] = Audience(feeds)
        return found


def _runs(recorded: Sequence[Recorded]) -> Iterator[Sequence[Recorded]]:
    """Events in a row of one type and plant."""
    first = 0
    kind, plant = recorded[0].event.type, recorded[0].event.plantid
    for at, item in enumerate(recorded):
        event = item.event
        if event.type != kind or event.plantid != plant:
            yield recorded[first:at]
            first, kind, plant = at, event.type, event.plantid
    yield recorded[first:] if first else recorded
