"""What has arrived and the hub has not taken yet: bounded, so that the server waits when we are slow."""

from __future__ import annotations

import asyncio
from collections import deque

from msgspec import Struct

from canonical.ports import RawMessage

__all__ = ["Arrival", "Buffer"]


class Arrival(Struct, frozen=True, kw_only=True):
    """One raw message. ``sequence`` is to be acknowledged on the subscription ``epoch`` after the commit;
    ``state`` is the source's durable state as of this message."""

    raw: RawMessage
    epoch: str = ""
    sequence: int | None = None
    state: bytes | None = None


class Buffer:
    """A queue of arrivals: ``put`` waits for room, ``take`` for something to give."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._waiting: deque[Arrival] = deque()
        self._room, self._filled = asyncio.Event(), asyncio.Event()
        self._closed = False
        self._failure: BaseException | None = None

    async def put(self, arrival: Arrival) -> None:
        """Returns when there was room; at once, and in vain, when it is closed."""
        while len(self._waiting) >= self._size and not self._closed:
            self._room.clear()
            await self._room.wait()
        self._waiting.append(arrival)
        self._filled.set()

    async def take(self) -> list[Arrival]:
        """All that waits, at least one; empty when it was closed. Raises what it failed with."""
        while not self._waiting and not self._closed:
            self._filled.clear()
            await self._filled.wait()
        if self._failure is not None:
            raise self._failure
        if self._closed:
            return []
        taken = list(self._waiting)
        self._waiting.clear()
        self._room.set()
        return taken

    async def close(self, failure: BaseException | None = None) -> None:
        """Ends it; what nobody took is dropped, and was not acknowledged. Safe to call twice."""
        self._closed = True
        self._failure = self._failure or failure
        self._room.set()
        self._filled.set()
