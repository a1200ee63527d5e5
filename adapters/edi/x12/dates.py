"""Dates and times of X12: DT (CCYYMMDD, YYMMDD in old versions), TM (HHMM, with seconds, hundredths)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Final
from zoneinfo import ZoneInfo

from adapters.edi.finding import Place
from adapters.edi.reading import Reading, When

__all__ = ["read_when"]

_DAYS: Final = {8: "%Y%m%d", 6: "%y%m%d"}
_OFFSETS_H: Final = {
    "ES": -5,
    "ED": -4,
    "CS": -6,
    "CD": -5,
    "MS": -7,
    "MD": -6,
    "PS": -8,
    "PD": -7,
    "UT": 0,
    "GM": 0,
}
"""Zone codes (623) with one meaning: standard and daylight times, universal time."""
_ZONES: Final = {
    "ET": "America/New_York",
    "CT": "America/Chicago",
    "MT": "America/Denver",
    "PT": "America/Los_Angeles",
}


def read_when(reading: Reading, day: str, time: str, zone: str, place: Place) -> When | None:
    """The moment of a date, a time and a zone code; without a time the begin of the day.

    None without a date. What cannot be read is an error; an unknown zone a warning, and the partner's counts.
    """
    day, time, zone = day.strip(), time.strip(), zone.strip()
    if not day:
        return None
    try:
        moment = _moment(day, time)
    except ValueError:
        reading.note("error", "date", f"{day!r} {time!r} is no date and time", place)
        return None
    return When(moment.replace(tzinfo=_zone(reading, zone, place) if time and zone else reading.zone))


def _moment(day: str, time: str) -> datetime:
    pattern = _DAYS.get(len(day))
    if pattern is None or not (day + time).isascii() or not (day + time).isdigit():
        raise ValueError(day)
    moment = datetime.strptime(day, pattern)  # noqa: DTZ007 -- the caller knows the zone
    if not time:
        return moment
    if len(time) not in (4, 6, 7, 8) or time[:2] > "23" or time[2:4] > "59":
        raise ValueError(time)
    return moment + timedelta(hours=int(time[:2]), minutes=int(time[2:4]), seconds=int(time[4:6] or 0))


def _zone(reading: Reading, code: str, place: Place) -> timezone | ZoneInfo:
    if code == "LT":
        return reading.zone
    if code in ("UT", "GM"):
        return UTC
    if code in _ZONES:
        return ZoneInfo(_ZONES[code])
    if code in _OFFSETS_H:
        return timezone(timedelta(hours=_OFFSETS_H[code]))
    reading.once("warning", "zone_unknown", f"time zone code {code!r} is read as the partner's zone", place)
    return reading.zone
