"""Windows over buckets equal sums over single deliveries, however often and whenever they were folded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import apsw
import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from canonical.event import Event
from deadletter import store as dead_letters
from gateway.histogram import within
from gateway.sla import buckets
from gateway.sla.figures import Figures, measure
from gateway.sla.watch import TABLES
from router.journal.schema import prepare
from router.journal.writer import Statements

TARGET_S = 2.5
DAY_S = 86_400
BASE = 1_780_000_000.0  # some moment that begins no minute
ROUTES = ("orders", "holds")
PLANTS = ("aachen", None)

Delivered = tuple[float, str, str | None, float, float]
"""(at, route, plant, seconds since recorded, seconds since it happened)."""


@contextmanager
def store() -> Iterator[tuple[apsw.Connection, Statements]]:
    connection = apsw.Connection(":memory:")
    try:
        prepare(connection, (*dead_letters.TABLES, *TABLES))
        yield connection, Statements(connection)
    finally:
        connection.close()


def settle(statements: Statements, batch: list[Delivered]) -> None:
    """A settlement for each moment and route of the batch."""
    for at, route in sorted({(each[0], each[1]) for each in batch}):
        events = [
            Event(
                id="1",
                source="/test",
                type="com.crossplant.production.order.created.v1",
                plantid=plant,
                domain="production",
                recordedtime=datetime.fromtimestamp(at - recorded_s, UTC),
                time=datetime.fromtimestamp(at - happened_s, UTC),
            )
            for when, on, plant, recorded_s, happened_s in batch
            if (when, on) == (at, route)
        ]
        measured = measure(events, at, lambda *_: (TARGET_S,))
        detail = msgspec.msgpack.encode(([(0, "")] * len(events), {}, measured, 0))
        statements.execute(
            "INSERT INTO deliveries (route, first, last, at, detail) VALUES (?, 1, 1, ?, ?)",
            (route, at, detail),
        )


def naive(batch: list[Delivered], since: float) -> dict[buckets.Key, tuple[int, int, int, int, int]]:
    """(delivered, skewed, by the pipeline's clock, by the other, within the target)."""
    found: dict[buckets.Key, list[tuple[float, float]]] = {}
    for at, route, plant, recorded_s, happened_s in batch:
        if at >= since:
            passed = (
                at - datetime.fromtimestamp(at - recorded_s, UTC).timestamp(),
                at - datetime.fromtimestamp(at - happened_s, UTC).timestamp(),
            )
            found.setdefault((plant or "-", "production", route), []).append(passed)
    return {
        key: (
            len(all_passed),
            sum(min(passed) < 0 for passed in all_passed),
            sum(passed[0] >= 0 for passed in all_passed),
            sum(passed[1] >= 0 for passed in all_passed),
            sum(0 <= passed[0] <= TARGET_S for passed in all_passed),
        )
        for key, all_passed in found.items()
    }


def shown(figures: dict[buckets.Key, Figures]) -> dict[buckets.Key, tuple[int, int, int, int, int]]:
    found = {}
    for key, each in figures.items():
        kept, exact = each.within(TARGET_S)
        assert exact
        assert sum(each.pipeline.classes.values()) == each.pipeline.count
        found[key] = (each.delivered, each.skewed, each.pipeline.count, each.end_to_end.count, kept)
    return found


ages = st.one_of(st.just(0.0), st.floats(0, 4 * DAY_S), st.sampled_from([59.999, 60.0, 3600.0, 2.0 * DAY_S]))
durations = st.one_of(st.sampled_from([0.0, TARGET_S, 2.6, -3.0]), st.floats(-5, 5000))
deliveries = st.tuples(ages, st.sampled_from(ROUTES), st.sampled_from(PLANTS), durations, durations)
batches = st.lists(st.tuples(st.lists(deliveries, max_size=6), st.integers(0, 4)), max_size=6)
windows = st.one_of(
    st.sampled_from([60.0, 3600.0, float(DAY_S), 2.0 * DAY_S, 7.0 * DAY_S]), st.floats(60, 5.0 * DAY_S)
)


@settings(max_examples=120, deadline=None)
@given(written=batches, window_s=windows, offset_s=st.floats(0, 7200))
def test_a_window_holds_what_was_settled_in_it(
    written: list[tuple[list[Delivered], int]], window_s: float, offset_s: float
) -> None:
    now = BASE + offset_s
    everything: list[Delivered] = []
    with store() as (_, statements):
        for batch, act in written:
            moved = [(now - each[0], *each[1:]) for each in batch]
            settle(statements, moved)
            everything += moved
            match act:
                case 0:
                    pass
                case 1:
                    buckets.fold(statements)
                case 2:
                    buckets.fold(statements, 1)
                case 3:  # as the journal's retention does: the newest row stays
                    buckets.fold(statements)
                    statements.execute("DELETE FROM deliveries WHERE id < (SELECT max(id) FROM deliveries)")
                case _:
                    buckets.fold(statements)
                    buckets.tidy(statements, now, 31.0 * DAY_S)
        since = buckets.began_at(now, window_s)
        assert 0 <= now - window_s - since < (60 if window_s <= 2 * DAY_S else 3600)
        assert shown(buckets.figures(statements, since)) == naive(everything, since)
        while buckets.fold(statements, 2):
            pass
        buckets.tidy(statements, now, 31.0 * DAY_S)
        assert shown(buckets.figures(statements, since)) == naive(everything, since)


def test_what_no_window_reaches_is_removed() -> None:
    with store() as (_, statements):
        settle(
            statements, [(BASE, "orders", "aachen", 1.0, 1.0), (BASE - 40 * DAY_S, "orders", None, 1.0, 1.0)]
        )
        buckets.fold(statements)
        assert len(statements.execute("SELECT * FROM sla_figures")) == 4
        buckets.tidy(statements, BASE, 31.0 * DAY_S)
        assert len(statements.execute("SELECT * FROM sla_figures")) == 2
        buckets.tidy(statements, BASE + 3 * DAY_S, 31.0 * DAY_S)
        [(width,)] = statements.execute("SELECT width FROM sla_figures")
        assert width == buckets.HOUR_S


def test_a_settlement_that_the_disk_changed_or_an_older_version_wrote_counts_for_nothing() -> None:
    with store() as (_, statements):
        for detail in (b"\xc1", msgspec.msgpack.encode(([(1, "")], {}))):
            statements.execute(
                "INSERT INTO deliveries (route, first, last, at, detail) VALUES ('orders', 1, 1, ?, ?)",
                (BASE, detail),
            )
        settle(statements, [(BASE, "orders", "aachen", 1.0, 1.0)])
        assert not buckets.fold(statements)
        [figures] = buckets.figures(statements, BASE - 60).values()
        assert figures.delivered == 1


def test_a_target_that_is_new_is_estimated_from_below() -> None:
    at = BASE
    events = [
        Event(id="1", source="/t", type="t", recordedtime=datetime.fromtimestamp(at - age, UTC))
        for age in (0.1, 0.5, 0.9, 1.05, 5.0)
    ]
    [(_, _, figures)] = measure(events, at, lambda *_: ())
    assert figures.within(1.0) == (3, False)
    assert figures.within(1.06) == (3, False)  # 1.05 lies in a class that reaches beyond
    [(_, _, newer)] = measure(events, at, lambda *_: (1.06,))
    figures.include(newer)
    kept, exact = figures.within(1.06)
    assert not exact
    assert 6 <= kept <= 8
    assert within({}, 1.0) == 0


def test_events_are_counted_by_the_minute_in_which_they_came() -> None:
    with store() as (_, statements):
        counts = {"aachen": {"com.crossplant.production.order.created.v1": 3, "com.other.v1": 2}}
        header = msgspec.json.encode({"format": 1, "counts": counts, "adapters": {}, "recorded_at": 0.0})
        for first, at in ((1, BASE), (6, BASE + 60), (11, BASE + 61)):
            statements.execute(
                "INSERT INTO bundles VALUES (?, ?, ?, x'', x'', x'', ?)", (first, first + 4, header, at)
            )
            if first == 6:
                buckets.fold(statements)
        found = buckets.intake(statements, BASE - 60)
        minute = int(BASE // 60 * 60)
        assert found[minute, "aachen", "production"] == 3
        assert sum(number for (at, *_), number in found.items() if at == minute + 60) == 10
