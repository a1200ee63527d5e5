"""The feed of a route that batches: hands nothing over until there is enough, or it has waited for long."""

from __future__ import annotations

import asyncio

from canonical.ports import Recorded
from router.dispatch import Dispatcher, Feed
from router.routes import Route

__all__ = ["GatheringFeed"]


class GatheringFeed(Feed):
    """A feed that waits for ``size`` events, or for less as its owner wants, ``within_s`` at most."""

    def __init__(
        self, route: Route, dispatcher: Dispatcher, after: int, *, size: int, within_s: float
    ) -> None:
        super().__init__(route, dispatcher, after)
        self._size, self._within_s = size, within_s
        self._timer: asyncio.TimerHandle | None = None
        self._ripe = False

    def offer(self, recorded: list[Recorded], before: int) -> None:
        """See ``Feed.offer``; the time counts from here."""
        super().offer(recorded, before)
        self._watch()

    def take(self, limit: int) -> list[Recorded]:
        """Up to ``limit`` events, or none as long as there is something to wait for."""
        self._watch()
        enough = self._ripe or len(self._buffer) >= min(limit, self._size)
        taken = super().take(limit if enough else 0)
        if not self._buffer:
            self._rest()
        return taken

    def _watch(self) -> None:
        if self._buffer and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._within_s, self._ring)

    def _ring(self) -> None:
        self._ripe = True
        self.wake()

    def _rest(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._ripe = None, False

    async def close(self) -> None:
        """See ``Feed.close``."""
        self._rest()
        await super().close()
