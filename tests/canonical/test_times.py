"""Times as records write them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.times import check_time_format, read_day, read_time, rfc3339

BERLIN = ZoneInfo("Europe/Berlin")
NOON = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "time_format"),
    [
        ("2026-07-01T12:00:00Z", "rfc3339"),
        ("2026-07-01T14:00:00+02:00", "rfc3339"),
        ("2026-07-01T14:00:00", "local"),
        ("2026-07-01 14:00", "local"),
        ("2026-07-01T13:00:00+01:00", "local"),
        ("2026-07-01T12:00:00Z", "local"),
        (1782907200, "epoch_s"),
        (1782907200.0, "epoch_s"),
        ("1782907200", "epoch_s"),
        (1782907200000, "epoch_ms"),
        ("2026-07-01T12:00:00Z", "epoch_ms"),
        ("01.07.2026 14:00:00", "%d.%m.%Y %H:%M:%S"),
        ("01.07.2026 07:00 -0500", "%d.%m.%Y %H:%M %z"),
        ("2026-07-01T12:00:00Z", "%d.%m.%Y"),
    ],
)
def test_every_format_gives_the_moment_in_utc(value: object, time_format: str) -> None:
    found = read_time(value, time_format, BERLIN)
    assert found == NOON
    assert found.tzinfo is UTC


def test_fractions_of_a_second_are_kept() -> None:
    assert read_time(1782907200123, "epoch_ms", BERLIN).microsecond == 123_000
    assert read_time(0.123456, "epoch_s", BERLIN).microsecond == 123_456
    assert read_time("2026-07-01T14:00:00.5", "local", BERLIN).microsecond == 500_000


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-10-25T02:30:00", datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),  # twice: the first pass counts
        ("2026-03-29T02:30:00", datetime(2026, 3, 29, 1, 30, tzinfo=UTC)),  # never: the offset from before
    ],
)
def test_the_turns_of_summer_time(text: str, moment: datetime) -> None:
    assert read_time(text, "local", BERLIN) == moment


@pytest.mark.parametrize(
    ("value", "time_format", "detail"),
    [
        ("2026-07-01T12:00:00", "rfc3339", "RFC 3339"),
        (5, "rfc3339", "must be text of the time format rfc3339"),
        (5, "local", "must be text of the time format local"),
        ("noon", "local", "must be a time of the format local"),
        ("31.02.2026", "%d.%m.%Y", "must be a time of the format"),
        ("0001-01-01T00:00:00", "local", "must be a time of the format local"),
        (1782907200000, "epoch_s", "another unit"),
        (-5, "epoch_s", "another unit"),
        ("nan", "epoch_s", "another unit"),
        (float("inf"), "epoch_ms", "another unit"),
        ("noon", "epoch_s", "RFC 3339"),
        (True, "epoch_s", "must be a time"),
        (None, "rfc3339", "must be a time"),
        ({}, "local", "must be a time"),
    ],
)
def test_what_is_no_time_is_refused(value: object, time_format: str, detail: str) -> None:
    with pytest.raises(ValueError, match=detail):
        read_time(value, time_format, BERLIN)


def test_a_pattern_is_told_by_its_percent_signs() -> None:
    assert check_time_format("%Y") == "%Y"
    with pytest.raises(ValueError, match="there are rfc3339, local, epoch_s, epoch_ms"):
        check_time_format("iso")


def test_a_day_is_found_by_a_pattern() -> None:
    assert read_day("01.07.2026", "%d.%m.%Y") == date(2026, 7, 1)
    assert read_day("1 July", "%d.%m.%Y") is None


def test_rfc_3339_has_no_superfluous_zeros() -> None:
    assert rfc3339(NOON) == "2026-07-01T12:00:00Z"
    assert rfc3339(NOON.replace(microsecond=250_000)) == "2026-07-01T12:00:00.25Z"
    assert rfc3339(NOON.astimezone(timezone(timedelta(hours=2)))) == "2026-07-01T12:00:00Z"


@given(st.datetimes(timezones=st.just(UTC)))
def test_what_is_written_is_read(moment: datetime) -> None:
    assert read_time(rfc3339(moment), "rfc3339", BERLIN) == moment


@given(
    st.text(max_size=30) | st.integers() | st.floats(),
    st.sampled_from(["local", "epoch_s", "epoch_ms", "%d.%m.%Y %z"]),
)
def test_anything_is_a_time_or_refused(value: object, time_format: str) -> None:
    try:
        found = read_time(value, time_format, BERLIN)
    except ValueError:
        return
    assert found.tzinfo is UTC
