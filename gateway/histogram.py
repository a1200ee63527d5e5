"""Durations counted in classes: cheap to add to, close enough for percentiles, and Prometheus' buckets.

The class limits are the R20 preferred numbers (ISO 3), 20 to a decade from 0.1 ms to 10⁵ s, so a
percentile is off by 15 % at most. Every bucket of Prometheus is one of them.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import Final

__all__ = ["BUCKETS_S", "Histogram", "classified", "within"]

_R20 = (
    1.0,
    1.12,
    1.25,
    1.4,
    1.6,
    1.8,
    2.0,
    2.24,
    2.5,
    2.8,
    3.15,
    3.55,
    4.0,
    4.5,
    5.0,
    5.6,
    6.3,
    7.1,
    8.0,
    9.0,
)
_LIMITS: Final = tuple(float(f"{number}e{power}") for power in range(-4, 5) for number in _R20)

BUCKETS_S: Final = tuple(float(f"{number}e{power}") for power in range(-3, 4) for number in (1.0, 2.5, 5.0))
"""Upper limits of the buckets that ``/metrics`` shows, 1 ms to 5000 s."""
_SHOWN: Final = tuple(_LIMITS.index(limit) for limit in BUCKETS_S)


def classified(durations_s: Iterable[float]) -> dict[int, int]:
    """How many durations fall into each class; classes without any are left out."""
    classes: dict[int, int] = {}
    ordered = sorted(durations_s)
    at = 0
    while at < len(ordered):  # those of one batch fall into a few classes
        index = bisect_left(_LIMITS, ordered[at])
        end = bisect_right(ordered, _LIMITS[index], at) if index < len(_LIMITS) else len(ordered)
        classes[index] = end - at
        at = end
    return classes


def within(classes: Mapping[int, int], limit_s: float) -> int:
    """How many surely stayed within the limit: those of the classes that lie below it as a whole."""
    whole = bisect_right(_LIMITS, limit_s)
    return sum(number for index, number in classes.items() if index < whole)


class Histogram:
    """Counts of durations, in seconds."""

    __slots__ = ("_classes", "count", "total_s")

    def __init__(self) -> None:
        self._classes = [0] * (len(_LIMITS) + 1)
        self.count = 0
        self.total_s = 0.0

    def add(self, durations_s: Iterable[float]) -> None:
        """Adds them all."""
        classes = self._classes
        for duration in durations_s:
            classes[bisect_left(_LIMITS, duration)] += 1
            self.total_s += duration
            self.count += 1

    def merge(self, classes: Mapping[int, int], total_s: float) -> None:
        """Adds what ``classified`` counted; ``total_s`` is the sum of those durations."""
        for index, number in classes.items():
            self._classes[index] += number
            self.count += number
        self.total_s += total_s

    def include(self, other: Histogram) -> None:
        """Adds what another one counted."""
        self._classes = [mine + theirs for mine, theirs in zip(self._classes, other._classes, strict=True)]
        self.count += other.count
        self.total_s += other.total_s

    def percentile_s(self, share: float) -> float | None:
        """The duration that this share (0 to 1) stayed within; None when nothing was counted."""
        if not self.count:
            return None
        wanted = share * self.count
        below = 0
        for index, number in enumerate(self._classes):
            if number and below + number >= wanted:
                low = _LIMITS[index - 1] if index else 0.0
                high = _LIMITS[min(index, len(_LIMITS) - 1)]
                return low + (high - low) * (wanted - below) / number
            below += number
        return _LIMITS[-1]

    def buckets(self) -> list[tuple[str, float]]:
        """(upper limit, how many up to it), cumulative, as Prometheus wants them."""
        up_to = list(accumulate(self._classes))
        shown = [(repr(limit), float(up_to[index])) for limit, index in zip(BUCKETS_S, _SHOWN, strict=True)]
        return [*shown, ("+Inf", float(self.count))]
