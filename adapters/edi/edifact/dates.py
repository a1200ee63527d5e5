"""Dates, times and periods of EDIFACT (DTM, composite C507), by their format code (2379)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Final
from zoneinfo import ZoneInfo

from adapters.edi.reading import Reading, When
from adapters.edi.segment import Segment

__all__ = ["DTM", "Dates", "read_date"]

DTM: Final = "DTM"

_PATTERNS: Final = {
    "2": "%d%m%y",
    "3": "%m%d%y",
    "101": "%y%m%d",
    "102": "%Y%m%d",
    "201": "%y%m%d%H%M",
    "202": "%y%m%d%H%M%S",
    "203": "%Y%m%d%H%M",
    "204": "%Y%m%d%H%M%S",
    "610": "%Y%m",
    "713": "%y%m%d%H%M",
    "718": "%Y%m%d",
    "719": "%Y%m%d%H%M",
}
_PERIODS: Final = {"713": 10, "718": 8, "719": 12}
"""Periods: how many digits their begin has, which is what counts."""
_BY_SIZE: Final = {6: "101", 8: "102", 10: "201", 12: "203", 14: "204"}
_OFFSET: Final = re.compile(r"(\d{12})([+-])(\d\d)(\d\d)")
_ZONED: Final = re.compile(r"(\d{12}|\d{14})([A-Z]{3})")
_WEEK: Final = re.compile(r"(\d{4})(\d\d)")
_SAME_AS_UTC: Final = ("UTC", "GMT")


def read_date(value: str, form: str, zone: ZoneInfo) -> datetime:
    """The moment that a value of a format stands for; a period's is its begin. Raises ValueError."""
    value = value.strip()
    if form == "616" and (week := _WEEK.fullmatch(value)):
        return datetime.fromisocalendar(int(week[1]), int(week[2]), 1).replace(tzinfo=zone)
    if form == "205" and (found := _OFFSET.fullmatch(value)):
        sign = -1 if found[2] == "-" else 1
        offset = timezone(sign * timedelta(hours=int(found[3]), minutes=int(found[4])))
        return _parsed(found[1], "203", zone).replace(tzinfo=offset)
    if form in ("303", "304") and (found := _ZONED.fullmatch(value)):
        if found[2] not in _SAME_AS_UTC:
            raise ValueError(f"time zone {found[2]} is not known")
        return _parsed(found[1], "203" if form == "303" else "204", zone).replace(tzinfo=UTC)
    if form in _PERIODS:
        value = value.replace("-", "")[: _PERIODS[form]]
    return _parsed(value, form, zone)


def _parsed(value: str, form: str, zone: ZoneInfo) -> datetime:
    pattern = _PATTERNS.get(form)
    if pattern is None:
        raise ValueError(f"date format {form!r} is not known")
    if not (value.isascii() and value.isdigit()) or len(value) != _size(pattern):
        raise ValueError(f"{value!r} is not of date format {form} ({pattern})")
    return datetime.strptime(value, pattern).replace(tzinfo=zone)


def _size(pattern: str) -> int:
    return sum(4 if code == "Y" else 2 for code in pattern.split("%")[1:])


class Dates:
    """The dates of a part of a message (header, line), by their function (2005); the first one counts."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._segments: dict[str, Segment] = {}
        self._known: dict[str, When | None] = {}

    def take(self, dtm: Segment) -> None:
        """Notes a DTM; it is read when somebody asks for it."""
        self._segments.setdefault(dtm.text(1), dtm)

    def first(self, *functions: str) -> When | None:
        """The first of some functions that is there, in the order asked for."""
        for function in functions:
            segment = self._segments.get(function)
            if segment is not None and segment.text(1, 2).strip():
                if function not in self._known:
                    self._known[function] = self._read(segment)
                return self._known[function]
        return None

    def _read(self, dtm: Segment) -> When | None:
        value, form = dtm.text(1, 2), dtm.text(1, 3).strip()
        try:
            return When(read_date(value, form, self._reading.zone))
        except (ValueError, OverflowError) as error:
            return self._by_size(dtm, str(error))

    def _by_size(self, dtm: Segment, fault: str) -> When | None:
        """Reads a date of an unusable format by the number of its digits, and says so."""
        value = dtm.text(1, 2).strip()
        form = _BY_SIZE.get(len(value), "")
        try:
            moment = read_date(value, form, self._reading.zone)
        except (ValueError, OverflowError):
            self._reading.note("error", "date", fault, dtm)
            return None
        self._reading.note("warning", "date_format", f"{fault}; read as format {form}", dtm)
        return When(moment)
