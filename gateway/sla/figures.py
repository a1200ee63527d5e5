"""What is counted of deliveries, per plant, domain and route: small enough to be kept with each settlement.

Figures add up: those of a window are the sum of those of its parts, so nothing but sums is ever stored.
Shares and percentiles are made when somebody asks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import repeat
from operator import attrgetter
from typing import Final

from msgspec import Struct, field

from canonical.event import Event
from gateway.histogram import Histogram, classified, within

__all__ = ["NONE", "Durations", "Figures", "Measured", "measure", "milliseconds"]

NONE: Final = "-"
"""Stands for the plant of an event without one, and for its domain."""


_SHARES: Final = (("p50_ms", 0.5), ("p95_ms", 0.95), ("p99_ms", 0.99))


class Durations(Struct, array_like=True):
    """One clock's durations in seconds; ``classes`` are those of ``gateway.histogram``."""

    count: int = 0
    total_s: float = 0.0
    classes: dict[int, int] = field(default_factory=dict)

    def include(self, other: Durations) -> None:
        """Adds what another one counted."""
        self.count += other.count
        self.total_s += other.total_s
        _add(self.classes, other.classes)

    def percentiles(self) -> dict[str, float | None]:
        """p50, p95 and p99 in milliseconds, at most 15 % off; null when nothing was counted."""
        histogram = Histogram()
        histogram.merge(self.classes, self.total_s)
        found = {name: histogram.percentile_s(share) for name, share in _SHARES}
        return {name: None if value is None else round(value * 1000, 3) for name, value in found.items()}


class Figures(Struct, array_like=True):
    """Counts of deliveries that a sink accepted.

    ``skewed``: the event came from the future by one of the clocks, which does not count it then.
    ``kept`` tells, per target of the pipeline's clock in milliseconds, how many stayed within it;
    ``held`` against how many that target was held.
    """

    delivered: int = 0
    skewed: int = 0
    pipeline: Durations = field(default_factory=Durations)
    end_to_end: Durations = field(default_factory=Durations)
    kept: dict[int, int] = field(default_factory=dict)
    held: dict[int, int] = field(default_factory=dict)

    def include(self, other: Figures) -> None:
        """Adds what another one counted."""
        self.delivered += other.delivered
        self.skewed += other.skewed
        self.pipeline.include(other.pipeline)
        self.end_to_end.include(other.end_to_end)
        _add(self.kept, other.kept)
        _add(self.held, other.held)

    def within(self, target_s: float) -> tuple[int, bool]:
        """(deliveries within the target, whether that is exact).

        It is not where deliveries were measured before the target was configured: of those the ones
        count that surely kept it, by the histogram.
        """
        target_ms = milliseconds(target_s)
        kept, held = self.kept.get(target_ms, 0), self.held.get(target_ms, 0)
        if held == self.pipeline.count:
            return kept, True
        return max(kept, within(self.pipeline.classes, target_s)), False


Measured = list[tuple[str, str, Figures]]
"""(plant, domain, figures) of the deliveries of one settlement."""


def milliseconds(seconds: float) -> int:
    """Targets are told apart by whole milliseconds."""
    return round(seconds * 1000)


_READ = tuple(map(attrgetter, ("plantid", "domain", "recordedtime", "time")))


def measure(events: Sequence[Event], at: float, targets: Callable[[str, str], Iterable[float]]) -> Measured:
    """The figures of events that were delivered at ``at``, seconds since 1970 UTC.

    ``targets``: what is promised for the pipeline's clock, in seconds, for a plant and a domain.
    """
    clocks: dict[tuple[str, str], tuple[list[float], list[float], Figures]] = {}
    alike = Counter(zip(*(map(read, events) for read in _READ), strict=True))  # a batch shares its time
    for (plant, domain, recorded, happened), number in alike.items():
        found = clocks.setdefault((plant or NONE, domain or NONE), ([], [], Figures()))
        pipeline_s = None if recorded is None else at - recorded.timestamp()
        end_to_end_s = None if happened is None else at - happened.timestamp()
        found[2].delivered += number
        if (pipeline_s or 0.0) < 0.0 or (end_to_end_s or 0.0) < 0.0:
            found[2].skewed += number
        if pipeline_s is not None and pipeline_s >= 0.0:
            found[0].extend(repeat(pipeline_s, number))
        if end_to_end_s is not None and end_to_end_s >= 0.0:
            found[1].extend(repeat(end_to_end_s, number))
    measured: Measured = []
    for (plant, domain), (pipeline, end_to_end, figures) in clocks.items():
        figures.pipeline, figures.end_to_end = _durations(pipeline), _durations(end_to_end)
        for target_s in targets(plant, domain):
            target_ms = milliseconds(target_s)
            figures.kept[target_ms] = sum(passed <= target_s for passed in pipeline)
            figures.held[target_ms] = len(pipeline)
        measured.append((plant, domain, figures))
    return measured


def _durations(passed_s: list[float]) -> Durations:
    return Durations(len(passed_s), sum(passed_s), classified(passed_s))


def _add(sums: dict[int, int], more: Mapping[int, int]) -> None:
    for name, number in more.items():
        sums[name] = sums.get(name, 0) + number
