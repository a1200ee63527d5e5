"""Times as records write them: RFC 3339, local time of a plant, epoch numbers, or a pattern."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Final
from zoneinfo import ZoneInfo

from canonical.attributes import timestamp

__all__ = ["TIME_FORMATS", "check_time_format", "read_day", "read_time", "rfc3339"]

TIME_FORMATS: Final = ("rfc3339", "local", "epoch_s", "epoch_ms")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PER_SECOND: Final = {"epoch_s": 1, "epoch_ms": 1000}
_LAST_SECOND = 253_402_300_799  # 9999-12-31T23:59:59Z


def rfc3339(moment: datetime) -> str:
    """The moment in UTC as RFC 3339 has it, ``2026-03-31T10:00:00.5Z`` without superfluous zeros."""
    text = moment.astimezone(UTC).replace(tzinfo=None).isoformat()
    return f"{text.rstrip('0') if '.' in text else text}Z"


def check_time_format(text: str) -> str:
    """The format, if it is one. Raises ValueError that says which there are."""
    if text not in TIME_FORMATS and "%" not in text:
        known = ", ".join(TIME_FORMATS)
        raise ValueError(
            f"{text!r} is no time format; there are {known}, and patterns like %d.%m.%Y %H:%M:%S"
        )
    return text


def read_time(value: object, time_format: str, zone: ZoneInfo) -> datetime:
    """The moment, in UTC. Raises ValueError that says what was expected.

    RFC 3339 is understood whatever the format. ``local`` is ISO 8601, in ``zone`` where it has no
    offset; so is a pattern without ``%z``. A local time that the end of summer time repeats is its
    first pass; one that the beginning skips is read with the offset from before.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"must be a time, not {value!r:.60}")
    if time_format in _PER_SECOND:
        return _since_epoch(value, _PER_SECOND[time_format])
    if isinstance(value, str):
        return _written(value, time_format, zone)
    raise ValueError(f"must be text of the time format {time_format}, not the number {value}")


def _since_epoch(value: str | int | float, per_second: int) -> datetime:
    try:
        seconds = Decimal(str(value)) / per_second
    except InvalidOperation:
        return timestamp(value)
    if not seconds.is_finite() or not 0 <= seconds <= _LAST_SECOND:
        raise ValueError(f"{value!r} is no time since 1970: is it in another unit?")
    return _EPOCH + timedelta(microseconds=int(seconds * 1_000_000))


def _written(text: str, time_format: str, zone: ZoneInfo) -> datetime:
    if time_format == "rfc3339":
        return timestamp(text)
    try:
        moment = datetime.fromisoformat(text) if time_format == "local" else _by_pattern(text, time_format)
        return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    try:
        return timestamp(text)
    except ValueError:
        raise ValueError(f"must be a time of the format {time_format}, not {text!r:.60}") from None


def _by_pattern(text: str, pattern: str) -> datetime:
    return datetime.strptime(text, pattern)  # noqa: DTZ007 -- the caller knows the zone


def read_day(text: str, pattern: str) -> date | None:
    """The calendar day that a pattern finds in the text, or None."""
    try:
        return _by_pattern(text, pattern).date()
    except ValueError:
        return None
