"""How much a sink is sent per second, by all routes together: a token bucket, and whose turn it is.

A route that asks in vain is put into the queue and woken when its turn has come, the more urgent ones
first, those of one priority in turns. So a route with much to do leaves the others their part, and none
of them polls.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable

__all__ = ["Bucket", "Limit", "Share", "Turn"]

BURST_S = 0.1
"""What may be sent at once: a tenth of a second's worth, one at least."""
_TURN_S = 0.25
"""A route that was woken and takes nothing (its sink has gone, say) loses its turn after so long."""


class Bucket:
    """Tokens that come at a rate. In any ``t`` seconds at most ``per_s * t`` and one burst are given."""

    def __init__(self, per_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_s, self._clock = per_s, clock
        self._burst = max(per_s * BURST_S, 1.0)
        self._tokens, self._at = self._burst, clock()

    @property
    def whole(self) -> int:
        """Tokens that are there."""
        now = self._clock()
        self._tokens = min(self._tokens + max(now - self._at, 0.0) * self.per_s, self._burst)
        self._at = now
        return math.floor(self._tokens + 1e-9)

    def take(self, number: int) -> None:
        """Takes as many out; no more than ``whole``."""
        self._tokens = max(self._tokens - number, 0.0)

    @property
    def due_s(self) -> float:
        """Seconds until it is worth asking again: for half a burst, one token at least."""
        wanted = max(math.floor(self._burst / 2), 1) - self._tokens
        return max(wanted / self.per_s, 0.0)


class Share:
    """One route's part in a limit. The lower its ``priority``, the earlier its turn."""

    def __init__(self, limit: Limit, priority: int = 0) -> None:
        self._limit, self.priority = limit, priority
        self.wake: Callable[[], None] = lambda: None

    @property
    def per_s(self) -> float:
        """The rate of all shares together."""
        return self._limit.per_s

    def room(self) -> int:
        """How many may be sent now. With 0 it is woken when its turn has come."""
        return self._limit.room(self)

    def took(self, number: int) -> None:
        """So many were sent; with 0, nothing is left to send."""
        self._limit.took(self, number)

    def leave(self) -> None:
        """Its route has ended."""
        self._limit.leave(self)


class Turn:
    """The wait of a sink that makes the requests of its route itself; without a share there is none."""

    def __init__(self, share: Share | None, patience_s: float) -> None:
        self._share, self._patience_s = share, patience_s
        self._ours, self._one_asks = asyncio.Event(), asyncio.Lock()
        if share is not None:
            share.wake = self._ours.set

    async def take(self, most: int = 1) -> int:
        """Takes room for so many requests at most, as soon as there is some; 0 when there was none for so
        long."""
        if self._share is None:
            return most
        try:
            async with asyncio.timeout(self._patience_s), self._one_asks:
                self._ours.clear()
                while not (room := min(self._share.room(), most)):
                    await self._ours.wait()
                    self._ours.clear()
                self._share.took(room)
        except TimeoutError:
            return 0
        return room


class Limit:
    """The limit of one sink."""

    def __init__(self, per_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_s = per_s
        self._bucket = Bucket(per_s, clock)
        self._queue: list[Share] = []
        self._turn: Share | None = None
        self._timer: asyncio.TimerHandle | None = None

    def share(self, priority: int = 0) -> Share:
        """A new route's part."""
        return Share(self, priority)

    def room(self, share: Share) -> int:
        """See ``Share.room``."""
        if self._turn in (None, share) and (self._turn is share or not self._goes_before(share)):
            tokens = self._bucket.whole
            if tokens:
                return tokens
        self._enqueue(share)
        return 0

    def _goes_before(self, share: Share) -> bool:
        """Whether another one that waits has its turn before ``share``."""
        place = self._queue.index(share) if share in self._queue else len(self._queue)
        return any(other.priority <= share.priority for other in self._queue[:place])

    def took(self, share: Share, number: int) -> None:
        """See ``Share.took``."""
        self._bucket.take(number)
        if share in self._queue:
            self._queue.remove(share)
        if self._turn is share:
            self._turn = None
            self._cancel()
        self._later()

    def leave(self, share: Share) -> None:
        """See ``Share.leave``."""
        self.took(share, 0)
        if not self._queue:
            self._cancel()

    def _enqueue(self, share: Share) -> None:
        if self._turn is share:  # it asks for more than there is: the next one's turn
            self._turn = None
            self._cancel()
        if share not in self._queue:
            at = next((at for at, other in enumerate(self._queue) if other.priority > share.priority), None)
            self._queue.insert(len(self._queue) if at is None else at, share)
        self._later()

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _later(self) -> None:
        if self._timer is None and self._queue:
            wait_s = _TURN_S if self._turn is not None else max(self._bucket.due_s, 0.001)
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._next)

    def _next(self) -> None:
        """Gives the turn to the first in the queue once there is something to take."""
        self._timer = None
        self._turn = None
        if self._queue and self._bucket.whole:
            self._turn = self._queue.pop(0)
            self._turn.wake()
        self._later()
