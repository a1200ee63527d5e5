"""An alarm that rings in some seconds at the latest, for a loop that mostly is woken before."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["Alarm"]


class Alarm:
    """Calls ``ring``. One that rings earlier than asked for does no harm, and most are left as they are:
    setting one costs more than a look around."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self._call = ring
        self._handle: asyncio.TimerHandle | None = None
        self._due = 0.0

    def ring_within(self, within_s: float) -> None:
        """Rings in so many seconds, or earlier."""
        loop = asyncio.get_running_loop()
        due = loop.time() + within_s
        if self._handle is not None:
            if self._due <= due:
                return
            self._handle.cancel()
        self._handle, self._due = loop.call_at(due, self._ring), due

    def cancel(self) -> None:
        """It does not ring any more."""
        if self._handle is not None:
            self._handle.cancel()

    def _ring(self) -> None:
        self._handle = None  # not told by its time: uvloop's timers ring up to a millisecond early
        self._call()
