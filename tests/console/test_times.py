"""Times for people."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from gateway.console import times

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 3, 29, 12, 0, tzinfo=UTC)  # the day on which summer time began


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, "–"),
        (-5, "0 ms"),
        (0.85, "850 ms"),
        (1.5, "1.5 s"),
        (10, "10 s"),
        (60, "1 min"),
        (75, "75 s"),
        (185, "3 min"),
        (3600, "1 h"),
        (7500, "2 h 05 min"),
        (86400, "24 h"),
        (4 * 86400, "4 d"),
    ],
)
def test_durations_have_one_fitting_unit(seconds: float | None, shown: str) -> None:
    assert times.duration(seconds) == shown


def test_recent_times_are_relative_and_exact_on_demand() -> None:
    shown = str(times.when(NOW - timedelta(minutes=2), BERLIN, NOW))
    assert ">2 min ago<" in shown
    assert "2026-03-29 13:58:00.000 CEST · 2026-03-29 11:58:00.000 UTC" in shown


def test_older_times_are_in_the_plants_zone_with_its_abbreviation() -> None:
    assert ">01:30:00 CET<" in str(times.when(NOW - timedelta(hours=11, minutes=30), BERLIN, NOW))
    assert ">27 Mar 13:00 CET<" in str(times.when(NOW - timedelta(days=2), BERLIN, NOW))
    assert ">29 Mar 2025 13:00 CET<" in str(times.when(NOW - timedelta(days=365), BERLIN, NOW))


def test_a_time_that_is_none_is_a_dash() -> None:
    assert "–" in str(times.when(None, BERLIN, NOW))
    assert "–" in str(times.when(0, BERLIN, NOW))
