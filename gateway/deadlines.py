"""Many waits of the same length, with one timer for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

__all__ = ["Deadlines"]

T = TypeVar("T", bound=Hashable)


class Deadlines(Generic[T]):
    """Calls ``late`` once with each item that was not taken out within so many seconds."""

    def __init__(self, seconds: float, late: Callable[[T], None]) -> None:
        self.seconds, self._late = seconds, late
        self._due: dict[T, float] = {}  # in order, since all wait equally long
        self._timer: asyncio.TimerHandle | None = None

    def add(self, item: T) -> None:
        """Waits for it from now on."""
        loop = asyncio.get_running_loop()
        self._due[item] = due = loop.time() + self.seconds
        if self._timer is None:
            self._timer = loop.call_at(due, self._look)

    def discard(self, item: T) -> None:
        """It has come in time, or is not waited for."""
        self._due.pop(item, None)

    def _look(self) -> None:
        loop, self._timer = asyncio.get_running_loop(), None
        now = loop.time()
        late = [item for item, due in self._due.items() if due <= now]
        for item in late:
            del self._due[item]
        if self._due:
            self._timer = loop.call_at(next(iter(self._due.values())), self._look)
        for item in late:
            self._late(item)
