"""The metrics' names and labels, as Prometheus scrapes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from gateway.metrics import LevelState, Metrics, Snapshot

__all__ = ["Exposition"]

Rows = Iterable[tuple[tuple[str, ...], float]]


class Exposition(Collector):
    """Reads the counters and the last snapshot of one ``Metrics``."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def describe(self) -> list[Metric]:
        """Nothing: names are known once something was counted."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Everything there is at this moment."""
        yield from self._counters()
        yield self._latency()
        yield from _backlog(self._metrics.snapshot)
        yield from _lanes(self._metrics.snapshot)
        yield from _adapters(self._metrics.snapshot)
        yield from _levels(self._metrics.levels)
        yield from _exceptions(self._metrics)

    def _counters(self) -> Iterator[Metric]:
        counted = self._metrics
        yield _counter(
            "crossplant_events_accepted",
            "Events that were recorded.",
            ("plant", "adapter", "domain"),
            counted.accepted.items(),
        )
        yield _counter(
            "crossplant_messages",
            "Messages by what became of them: accepted, duplicate, conflict, invalid, ignored.",
            ("adapter", "outcome"),
            counted.messages.items(),
        )
        yield _counter(
            "crossplant_deliveries",
            "Deliveries by what became of them: delivered, retried, parked, dead_lettered, discarded.",
            ("plant", "route", "outcome"),
            counted.deliveries.items(),
        )
        yield _counter(
            "crossplant_clock_skew",
            "Deliveries of events from the future, whose latency is not counted.",
            ("plant", "route"),
            counted.skewed.items(),
        )

    def _latency(self) -> Metric:
        family = HistogramMetricFamily(
            "crossplant_message_latency_seconds",
            "From recording (pipeline) or happening (end_to_end) until the sink has it.",
            labels=("plant", "domain", "route", "clock"),
        )
        for labels, histogram in list(self._metrics.latency.items()):
            family.add_metric(labels, histogram.buckets(), histogram.total_s)
        return family


def _backlog(snapshot: Snapshot) -> Iterator[Metric]:
    labels = ("plant", "route")
    yield _gauge(
        "crossplant_backlog_events",
        "Events that wait for delivery; parked and dead ones left out.",
        labels,
        [((waiting.plant, waiting.route), waiting.events) for waiting in snapshot.backlog],
    )
    yield _gauge(
        "crossplant_backlog_oldest_age_seconds",
        "Age of the oldest event that waits.",
        labels,
        [
            ((waiting.plant, waiting.route), max((snapshot.at - waiting.oldest_at).total_seconds(), 0.0))
            for waiting in snapshot.backlog
            if waiting.oldest_at is not None
        ],
    )
    yield _gauge("crossplant_journal_position", "The newest position.", (), [((), snapshot.head)])


def _lanes(snapshot: Snapshot) -> Iterator[Metric]:
    labels = ("plant", "route")
    yield _gauge(
        "crossplant_parked_events",
        "Events that wait for an unknown code.",
        labels,
        [((plant, route), rows) for plant, route, state, rows in snapshot.lanes if state == "parked"],
    )
    yield _gauge(
        "crossplant_lane_events",
        "Events in lanes: retrying, parked, dead, or waiting behind one of these with the same key.",
        ("plant", "route", "state"),
        [((plant, route, state), rows) for plant, route, state, rows in snapshot.lanes],
    )
    yield _gauge(
        "crossplant_dead_letters",
        "Dead letters that wait for a person.",
        labels,
        [((plant, route), number) for plant, route, number in snapshot.dead_letters],
    )


def _adapters(snapshot: Snapshot) -> Iterator[Metric]:
    labels = ("plant", "adapter")
    yield _gauge(
        "crossplant_adapter_connected",
        "1 while the adapter has its connection.",
        labels,
        [((each.plant, each.adapter), float(each.connected)) for each in snapshot.adapters],
    )
    yield _gauge(
        "crossplant_adapter_data_flowing",
        "1 while data comes as often as it should.",
        labels,
        [((each.plant, each.adapter), float(each.flowing)) for each in snapshot.adapters],
    )
    yield _gauge(
        "crossplant_adapter_last_good_timestamp_seconds",
        "When the last good data came, seconds since 1970.",
        labels,
        [
            ((each.plant, each.adapter), each.last_good_at.timestamp())
            for each in snapshot.adapters
            if each.last_good_at is not None
        ],
    )


def _levels(levels: Iterable[LevelState]) -> Iterator[Metric]:
    labels = ("level", "plant")
    yield _gauge(
        "crossplant_service_level_compliance",
        "The share of messages that kept a level's latency, over its window.",
        labels,
        [((each.level, each.plant), each.compliance) for each in levels if each.compliance is not None],
    )
    yield _gauge(
        "crossplant_service_level_budget_left",
        "The part of a level's budget of late messages that is left, over its window; below 0: breached.",
        labels,
        [((each.level, each.plant), each.budget_left) for each in levels if each.budget_left is not None],
    )
    yield _counter(
        "crossplant_service_level_breaches",
        "How often a level was breached, by what: latency, failed_rate, backlog_age.",
        ("level", "plant", "metric"),
        [
            ((each.level, each.plant, metric), number)
            for each in levels
            for metric, number in each.breaches.items()
        ],
    )


def _exceptions(metrics: Metrics) -> Iterator[Metric]:
    snapshot = metrics.snapshot
    yield _gauge(
        "crossplant_exceptions_open",
        "Exceptions that wait for a person.",
        ("queue", "kind"),
        [((queue, kind), number) for queue, kind, number in snapshot.exceptions],
    )
    yield _gauge(
        "crossplant_exception_resolution_seconds",
        "Within how long this share was resolved, from opening on, of those of the last 30 days.",
        ("share",),
        [((share,), seconds) for share, seconds in snapshot.resolution_s],
    )
    yield _counter(
        "crossplant_exception_messages",
        "Mails and webhook calls about exceptions by what became of them: sent, failed.",
        ("owner", "channel", "outcome"),
        metrics.told.items(),
    )


def _counter(name: str, text: str, labels: tuple[str, ...], rows: Rows) -> Metric:
    return _filled(CounterMetricFamily(name, text, labels=labels), rows)


def _gauge(name: str, text: str, labels: tuple[str, ...], rows: Rows) -> Metric:
    return _filled(GaugeMetricFamily(name, text, labels=labels), rows)


def _filled(family: Any, rows: Rows) -> Metric:
    for labels, value in list(rows):
        family.add_metric(labels, value)
    metric: Metric = family
    return metric
