"""Histograms: percentiles close enough, buckets that Prometheus can add up."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.histogram import BUCKETS_S, Histogram, classified

DURATIONS = st.lists(st.floats(min_value=1.01e-4, max_value=8e4), min_size=1, max_size=200)


@given(durations=DURATIONS, share=st.sampled_from([0.5, 0.95, 0.99]))
def test_a_percentile_is_at_most_a_class_off(durations: list[float], share: float) -> None:
    histogram = Histogram()
    histogram.add(durations)
    exact = sorted(durations)[math.ceil(share * len(durations)) - 1]
    estimate = histogram.percentile_s(share)
    assert estimate is not None
    assert exact / 1.15 <= estimate <= exact * 1.15


@given(durations=DURATIONS)
def test_buckets_are_cumulative_and_exact(durations: list[float]) -> None:
    histogram = Histogram()
    histogram.add(durations)
    buckets = histogram.buckets()
    assert [limit for limit, _ in buckets] == [*(repr(limit) for limit in BUCKETS_S), "+Inf"]
    for limit, count in buckets:
        assert count == sum(duration <= float(limit) for duration in durations)


@given(one=DURATIONS, other=DURATIONS)
def test_including_is_the_same_as_counting_together(one: list[float], other: list[float]) -> None:
    together, apart, more = Histogram(), Histogram(), Histogram()
    together.add([*one, *other])
    apart.add(one)
    more.add(other)
    apart.include(more)
    assert apart.buckets() == together.buckets()
    assert apart.total_s == pytest.approx(together.total_s)


def test_nothing_has_no_percentile_and_extremes_have_their_classes() -> None:
    histogram = Histogram()
    assert histogram.percentile_s(0.5) is None
    histogram.add([0.0, 1e9])
    assert histogram.percentile_s(0.1) is not None
    assert histogram.percentile_s(1.0) is not None
    assert histogram.buckets()[-1] == ("+Inf", 2.0)


@given(durations=st.lists(st.sampled_from([0.0, 1e-4, 0.0011, 0.0112, 5.0, 1e5, 2e5]) | st.floats(0, 1e6)))
def test_counting_a_batch_is_the_same_as_counting_one_by_one(durations: list[float]) -> None:
    one_by_one, together = Histogram(), Histogram()
    one_by_one.add(durations)
    together.merge(classified(durations), sum(durations))
    assert together.count == one_by_one.count
    assert together._classes == one_by_one._classes
