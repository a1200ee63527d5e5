"""A route's circuit breaker: flowing, paused, probing; and a drain that begins gently.

After a pause one delivery may be under way, and one more with each that is accepted: what is under way
doubles with every round trip, as TCP's slow start does. A limit of the sink's own, per second, is asked
here too (``room``): the drain of a backlog keeps to it like everything else.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

from router.ratelimit import Share
from router.recoverability import SUSPECT_EVENTS

__all__ = ["Breaker"]


class Breaker:
    """Counts what blames the sink, and says how much may be sent at once.

    Times are monotonic seconds of ``clock``. ``open_s`` is the time during which the route was not
    paused: attempts and ages of failing deliveries are counted in it.
    """

    def __init__(
        self, full: int, clock: Callable[[], float] = time.monotonic, share: Share | None = None
    ) -> None:
        """``full``: what may be sent at once when all is well. ``share``: in the limit of its sink."""
        self._full, self._clock, self._share = full, clock, share
        self._suspects: set[int] = set()
        self._allowed = full
        self._until: float | None = None
        self._stopped_at: float | None = None
        self._probed_at = 0.0
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

    def room(self, under_way: int) -> int:
        """How many more may be sent now; at a limit of the sink, its route is woken when more may."""
        room = self.allowed - under_way
        return room if room <= 0 or self._share is None else min(room, self._share.room())

    def sent(self, number: int) -> None:
        """So many of that room were used."""
        if self._share is not None:
            self._share.took(number)

    @property
    def open_s(self) -> float:
        """Seconds, not counting pauses."""
        return (self._clock() if self._stopped_at is None else self._stopped_at) - self._lost_s

    @property
    def probe_in_s(self) -> float | None:
        """Seconds until the next probe; None when not paused."""
        return None if self._until is None else max(self._until - self._clock(), 0.0)

    @property
    def waited_s(self) -> float:
        """Seconds since the last probe failed; 0 when not paused."""
        return 0.0 if self._until is None else self._clock() - self._probed_at

    def suspect(self, position: int) -> int:
        """Notes a failure that may be the sink's; returns how many different events failed so."""
        if len(self._suspects) < 1000:
            self._suspects.add(position)
        return len(self._suspects)

    def absolve(self, position: int | None) -> bool:
        """The sink is not blamed for this failure. Returns whether that ended a pause.

        ``position`` was given up and is no suspect any more. With fewer suspects than it takes to blame the
        sink, each of them fails for itself alone.
        """
        if position is not None:
            self._suspects.discard(position)
        if self.state != "probing" or len(self._suspects) >= SUSPECT_EVENTS:
            return False
        return self._resume()

    def alive(self, answers: int = 1) -> bool:
        """The sink has answered for so many messages. Returns whether that ended a pause."""
        self._suspects.clear()
        self.pauses = 0
        if self._until is not None:
            return self._resume()
        if self._allowed < self._full:
            self._allowed = min(self._allowed + answers, self._full)
        return False

    def _resume(self) -> bool:
        now = self._clock()
        self._lost_s += now - (now if self._stopped_at is None else self._stopped_at)
        self._until, self._stopped_at, self.reason, self.paused_since = None, None, "", None
        self._allowed = 1
        return True

    def pause(self, after_s: float, reason: str) -> bool:
        """Stops, or stops again, for so many seconds. Returns whether it was flowing."""
        now = self._clock()
        began = self._until is None
        if began:
            self._stopped_at = self.paused_since = now
        if began or now >= (self._until or now):  # one pause per probe, however many were on their way
            self.pauses += 1
            self._until, self._probed_at = now + after_s, now
        self.reason = reason
        return began
