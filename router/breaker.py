"""A route's circuit breaker: flowing, paused, probing; and a drain that begins gently."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

__all__ = ["Breaker"]


class Breaker:
    """Counts what blames the sink, and says how much may be sent at once.

    Times are monotonic seconds of ``clock``. ``open_s`` is the time during which the route was not
    paused: attempts and ages of failing deliveries are counted in it.
    """

    def __init__(self, full: int, clock: Callable[[], float] = time.monotonic) -> None:
        """``full``: what may be sent at once when all is well."""
        self._full, self._clock = full, clock
        self._suspects: set[int] = set()
        self._allowed = full
        self._until: float | None = None
        self._stopped_at: float | None = None
        self._lost_s = 0.0
        self.pauses = 0
        self.reason = ""
        self.paused_since: float | None = None

    @property
    def state(self) -> Literal["flowing", "paused", "probing"]:
        """``probing``: the pause is over, one delivery may find out whether the sink is back."""
        if self._until is None:
            return "flowing"
        return "paused" if self._clock() < self._until else "probing"

    @property
    def allowed(self) -> int:
        """How many deliveries may be on their way at once."""
        match self.state:
            case "paused":
                return 0
            case "probing":
                return 1
            case "flowing":
                return self._allowed

    @property
    def open_s(self) -> float:
        """Seconds, not counting pauses."""
        return (self._clock() if self._stopped_at is None else self._stopped_at) - self._lost_s

    @property
    def probe_in_s(self) -> float | None:
        """Seconds until the next probe; None when not paused."""
        return None if self._until is None else max(self._until - self._clock(), 0.0)

    def suspect(self, position: int) -> int:
        """Notes a failure that may be the sink's; returns how many different events failed so."""
        if len(self._suspects) < 1000:
            self._suspects.add(position)
        return len(self._suspects)

    def alive(self) -> bool:
        """The sink has answered for a message. Returns whether that ended a pause."""
        self._suspects.clear()
        self.pauses = 0
        ended = self._until is not None
        if ended:
            self._until, self.reason, self.paused_since = None, "", None
            self._lost_s += self._clock() - (self._stopped_at or self._clock())
            self._stopped_at = None
            self._allowed = 1
        elif self._allowed < self._full:
            self._allowed = min(self._allowed * 2, self._full)
        return ended

    def pause(self, after_s: float, reason: str) -> bool:
        """Stops, or stops again, for so many seconds. Returns whether it was flowing."""
        now = self._clock()
        began = self._until is None
        if began:
            self._stopped_at = self.paused_since = now
        if began or now >= (self._until or now):  # one pause per probe, however many were on their way
            self.pauses += 1
            self._until = now + after_s
        self.reason = reason
        return began
