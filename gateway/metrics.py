"""What the hub counts of itself. One update per batch; a scrape reads, it computes nothing.

Names are a contract (docs, dashboards): counters and the latency histogram are kept here, gauges come
from a snapshot that ``refresh`` takes. An event without a plant has ``plant="-"``.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import chain, islice
from operator import attrgetter
from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct
from prometheus_client import CollectorRegistry, generate_latest

from canonical.event import Event
from canonical.ports import Outcome
from config.model import Deployment
from deadletter import store as dead_letters
from gateway.exceptions import tasks
from gateway.exposition import Exposition
from gateway.histogram import Histogram
from gateway.sla.figures import Measured, measure
from router import lanes
from router.journal import Message

if TYPE_CHECKING:
    from gateway.hub import Hub

__all__ = ["CLOCKS", "AdapterState", "Clock", "LevelState", "Metrics", "Snapshot", "Waiting"]

Clock = Literal["pipeline", "end_to_end"]
CLOCKS: Final[tuple[Clock, ...]] = ("pipeline", "end_to_end")
"""From ``recordedtime``, and from the event's own ``time``, until the sink had it."""

_OUTCOMES: Final = {
    "Retry": "retried",
    "Park": "parked",
    "DeadLetterIt": "dead_lettered",
    "Discard": "discarded",
}
_API: Final = "api"
_events, _positions, _status = attrgetter("events"), attrgetter("positions"), attrgetter("status")


class Waiting(Struct, frozen=True, kw_only=True):
    """A backlog as it was at the snapshot."""

    plant: str
    route: str
    events: int
    oldest_at: datetime | None


class LevelState(Struct, frozen=True, kw_only=True):
    """A service level as it was last looked at. ``breaches``: how often each metric was breached, ever."""

    level: str
    plant: str
    compliance: float | None
    budget_left: float | None
    breaches: dict[str, int]


class AdapterState(Struct, frozen=True, kw_only=True):
    """An adapter's health as it was at the snapshot."""

    plant: str
    adapter: str
    connected: bool
    flowing: bool
    last_good_at: datetime | None


class Snapshot(Struct, frozen=True, kw_only=True):
    """What is read now and then rather than counted. ``lanes``: (plant, route, state, rows);
    ``dead_letters``: (plant, route, number); ``exceptions``: (queue, kind, number) of the open ones;
    ``resolution_s``: (share, seconds) within which so many were resolved; ``head``: the journal's newest
    position."""

    at: datetime
    backlog: tuple[Waiting, ...] = ()
    adapters: tuple[AdapterState, ...] = ()
    lanes: tuple[tuple[str, str, str, int], ...] = ()
    dead_letters: tuple[tuple[str, str, int], ...] = ()
    exceptions: tuple[tuple[str, str, int], ...] = ()
    resolution_s: tuple[tuple[str, float], ...] = ()
    head: int = 0


class Metrics:
    """Implements ``router.engine.Observer`` and ``router.ingest.IngestObserver``."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self.accepted: Counter[tuple[str, str, str]] = Counter()
        """Events by (plant, adapter, domain)."""
        self.messages: Counter[tuple[str, str]] = Counter()
        """Messages by (adapter, outcome)."""
        self.deliveries: Counter[tuple[str, str, str]] = Counter()
        """By (plant, route, outcome): delivered, retried, parked, dead_lettered, discarded."""
        self.latency: dict[tuple[str, str, str, Clock], Histogram] = {}
        """By (plant, domain, route, clock)."""
        self.skewed: Counter[tuple[str, str]] = Counter()
        """Deliveries by (plant, route) of events from the future: a clock is wrong, which is not counted."""
        self.told: Counter[tuple[str, str, str]] = Counter()
        """Messages about exceptions by (owner, channel, outcome): sent, failed."""
        self.levels: tuple[LevelState, ...] = ()
        self._targets: dict[tuple[str, str, str], tuple[float, ...]] = {}
        self.snapshot = Snapshot(at=datetime.fromtimestamp(0).astimezone())
        self._refreshed_s = 0.0
        self.registry = CollectorRegistry()
        self.registry.register(Exposition(self))

    # ── counting ─────────────────────────────────────────────────────────────────────────────────

    def ingested(self, adapter: str, messages: Sequence[Message], outcomes: Sequence[Outcome]) -> None:
        """Once per batch that was recorded."""
        for status, number in Counter(map(_status, outcomes)).items():
            self.messages[adapter, status] += number
        events = _accepted(messages, outcomes)
        plants, domains = {event.plantid for event in events}, {event.domain for event in events}
        if len(plants) == len(domains) == 1:  # as those of one machine are
            self.accepted[plants.pop() or "-", adapter, domains.pop() or "-"] += len(events)
            return
        for (plant, domain), number in Counter([(event.plantid, event.domain) for event in events]).items():
            self.accepted[plant or "-", adapter, domain or "-"] += number

    def configure(self, deployment: Deployment) -> None:
        """Counts by this deployment from now on."""
        self._deployment, self._targets = deployment, {}

    def delivered(self, route: str, events: Sequence[Event], at: datetime) -> Measured:
        """Once per settlement; returns the figures that are kept with it."""
        measured = measure(
            events, at.timestamp(), lambda plant, domain: self._targets_of(plant, domain, route)
        )
        for plant, domain, figures in measured:
            self.deliveries[plant, route, "delivered"] += figures.delivered
            if figures.skewed:
                self.skewed[plant, route] += figures.skewed
            for clock, durations in zip(CLOCKS, (figures.pipeline, figures.end_to_end), strict=True):
                if durations.count:
                    self._histogram((plant, domain, route, clock)).merge(durations.classes, durations.total_s)
        return measured

    def _targets_of(self, plant: str, domain: str, route: str) -> tuple[float, ...]:
        """The latencies, in seconds, that service levels promise for these deliveries."""
        found = self._targets.get((plant, domain, route))
        if found is None:
            found = self._targets[plant, domain, route] = tuple(
                {
                    level.latency
                    for level in self._deployment.service_levels.values()
                    if level.latency is not None
                    and level.domain == domain
                    and level.route in {None, route}
                    and (level.plants is None or plant in level.plants)
                }
            )
        return found

    def ended(self, route: str, event: Event, outcome: str) -> None:
        """One delivery that did not end well, or not yet."""
        self.deliveries[event.plantid or "-", route, _OUTCOMES.get(outcome, "other")] += 1

    def _histogram(self, labels: tuple[str, str, str, Clock]) -> Histogram:
        found = self.latency.get(labels)
        if found is None:
            found = self.latency[labels] = Histogram()
        return found

    # ── reading ──────────────────────────────────────────────────────────────────────────────────

    async def refresh(self, hub: Hub, *, younger_than_s: float = 0.0) -> None:
        """Takes a new snapshot, unless the last one is young enough."""
        if time.monotonic() - self._refreshed_s < younger_than_s:
            return
        now = hub.clock()
        counted, letters, exceptions = await hub.journal.read(
            lambda t: (lanes.counts(t), dead_letters.counts(t), tasks.counts(t))
        )
        took = await hub.exceptions.resolution_time()
        self.snapshot = Snapshot(
            at=now,
            backlog=tuple(
                Waiting(
                    plant=waiting.plant,
                    route=waiting.route,
                    events=waiting.events,
                    oldest_at=waiting.oldest_at,
                )
                for waiting in await hub.backlog()
            ),
            adapters=tuple(
                AdapterState(
                    plant=adapter.plant or "-",
                    adapter=name,
                    connected=adapter.health.connected,
                    flowing=adapter.health.flowing(now),
                    last_good_at=adapter.health.last_good_at,
                )
                for name, adapter in hub.adapters.items()
            ),
            lanes=tuple(counted),
            dead_letters=tuple(letters),
            exceptions=tuple(exceptions),
            resolution_s=tuple(
                (share, float(seconds))
                for share, name in (("0.5", "p50_s"), ("0.9", "p90_s"))
                if (seconds := took[name]) is not None
            ),
            head=hub.journal.head,
        )
        self._refreshed_s = time.monotonic()

    def text(self) -> bytes:
        """The metrics in Prometheus' text format."""
        return generate_latest(self.registry)

    def latency_of(self, clock: Clock, *, route: str | None = None) -> Histogram:
        """All latencies of one clock together, of all routes or one."""
        found = Histogram()
        for (_, _, of, measured), histogram in self.latency.items():
            if measured == clock and route in {None, of}:
                found.include(histogram)
        return found

    def accepted_by_adapter(self) -> dict[str, int]:
        """Events by the kind of the adapter that they came through; the gateway's own way in is ``api``."""
        return self._accepted_by(0)

    def accepted_by_format(self) -> dict[str, int]:
        """Events by the format that they came in; where an adapter has none, by its kind."""
        return self._accepted_by(1)

    def _accepted_by(self, what: int) -> dict[str, int]:
        sums: Counter[str] = Counter()
        for (_, adapter, _), number in self.accepted.items():
            sums[self._kind(adapter)[what]] += number
        return dict(sums)

    def _kind(self, adapter: str) -> tuple[str, str]:
        """(kind of adapter, kind of format)."""
        known = self._deployment.adapters.get(adapter)
        if known is None:
            return (_API, "cloudevents") if adapter == _API else (adapter, adapter)
        return known.kind, known.format.kind if known.format is not None else known.kind

    def delivered_by_route(self) -> dict[str, int]:
        """Deliveries that a sink accepted."""
        return _sums(
            (route, number)
            for (_, route, outcome), number in self.deliveries.items()
            if outcome == "delivered"
        )


def _accepted(messages: Sequence[Message], outcomes: Sequence[Outcome]) -> list[Event]:
    """The events that are new."""
    events = list(chain.from_iterable(map(_events, messages)))
    if sum(map(len, map(_positions, outcomes))) == len(events) and set(map(_status, outcomes)) == {
        "accepted"
    }:
        return events  # all of them, as usual
    return [
        event
        for message, outcome in zip(messages, outcomes, strict=True)
        if outcome.status == "accepted"
        for event in islice(message.events, len(outcome.positions))
    ]


def _sums(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    sums: Counter[str] = Counter()
    for name, number in pairs:
        sums[name] += number
    return dict(sums)
