"""How long to wait before the next attempt: doubled each time, capped, with jitter."""

from __future__ import annotations

import random
from collections.abc import Callable

__all__ = ["Backoff"]


class Backoff:
    """Delays in seconds. Jitter takes up to half away, so that many clients do not come back as one."""

    def __init__(self, first_s: float, longest_s: float, chance: Callable[[], float] = random.random) -> None:
        self._first_s, self._longest_s, self._chance = first_s, longest_s, chance
        self._next_s = min(first_s, longest_s)

    def next(self) -> float:
        """The delay now; the following one is twice as long."""
        delay_s, self._next_s = self._next_s, min(self._next_s * 2, self._longest_s)
        return self._spread(delay_s)

    def longest(self) -> float:
        """The delay for what will not mend by itself soon."""
        return self._spread(self._longest_s)

    def reset(self) -> None:
        """The next delay is the first one again."""
        self._next_s = min(self._first_s, self._longest_s)

    def _spread(self, delay_s: float) -> float:
        return delay_s * (0.5 + self._chance() / 2)
