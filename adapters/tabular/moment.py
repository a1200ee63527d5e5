"""Days and times of cells: patterns, local times of a plant, and the hours that are there twice, or not."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Final, Literal
from zoneinfo import ZoneInfo

from canonical.times import read_time, rfc3339

__all__ = ["Ambiguous", "check_pattern", "needs_zone", "read_day", "read_moment", "write_day", "write_moment"]

Ambiguous = Literal["refuse", "earlier", "later"]
_NAMED: Final = ("rfc3339", "local", "epoch_s", "epoch_ms")
_SAMPLE: Final = datetime(2026, 7, 31, 13, 46, 58, tzinfo=UTC)


def check_pattern(pattern: str, kind: Literal["date", "datetime"]) -> None:
    """Raises ValueError for what is no format of the kind, or tells no whole day."""
    if pattern in _NAMED and kind == "datetime":
        return
    try:
        again = _by_pattern(_SAMPLE.strftime(pattern), pattern) if "%" in pattern else None
    except ValueError as error:
        raise ValueError(f"{pattern!r} is no pattern of a {kind}: {error}") from None
    if again is None or again.date() != _SAMPLE.date():
        named = f" (or one of {', '.join(_NAMED)})" if kind == "datetime" else ""
        raise ValueError(f"{pattern!r} tells no day, month and year, as %d.%m.%Y does{named}")


def needs_zone(pattern: str) -> bool:
    """Whether times of this format mean nothing without a zone."""
    return pattern not in _NAMED and "%z" not in pattern


def read_day(text: str, pattern: str) -> str:
    """The calendar day as RFC 3339 has it. Raises ValueError."""
    try:
        return _by_pattern(text, pattern).date().isoformat()
    except ValueError:
        raise ValueError(f"{text!r:.60} is no date of the format {pattern}") from None


def read_moment(text: str, pattern: str, zone: ZoneInfo, ambiguous: Ambiguous) -> str:
    """The moment in UTC, as RFC 3339 has it; without an offset it is of ``zone``. Raises ValueError."""
    if pattern in ("rfc3339", "epoch_s", "epoch_ms"):
        return rfc3339(read_time(text, pattern, zone))
    try:
        moment = datetime.fromisoformat(text) if pattern == "local" else _by_pattern(text, pattern)
    except ValueError:
        told = "ISO 8601" if pattern == "local" else f"the format {pattern}"
        raise ValueError(f"{text!r:.60} is no time of {told}") from None
    try:
        return rfc3339(moment if moment.tzinfo else _local(moment, zone, ambiguous))
    except OverflowError:
        raise ValueError(f"{text!r:.60} is outside of the years 1 to 9999") from None


def _local(moment: datetime, zone: ZoneInfo, ambiguous: Ambiguous) -> datetime:
    """The moment that clocks of the zone show so. Raises ValueError where there is none, or two."""
    first, second = moment.replace(tzinfo=zone), moment.replace(tzinfo=zone, fold=1)
    before, after = first.utcoffset(), second.utcoffset()
    if before == after or before is None or after is None:
        return first
    if before < after:
        raise ValueError(
            f"the clocks of {zone.key} never show {moment}, which summer time skips: is `timezone` right?"
        )
    if ambiguous == "refuse":
        raise ValueError(
            f"the clocks of {zone.key} show {moment} twice, as summer time ends: set `ambiguous` to "
            "earlier or later, or have the sender write the offset"
        )
    return first if ambiguous == "earlier" else second


def _by_pattern(text: str, pattern: str) -> datetime:
    return datetime.strptime(text, pattern)  # noqa: DTZ007 -- the caller knows the zone


def write_day(value: object, pattern: str) -> str:
    """A day of RFC 3339 by the pattern. Raises ValueError."""
    if isinstance(value, str):
        try:
            value = date.fromisoformat(value)
        except ValueError:
            raise ValueError(f"{value!r:.60} is no date such as 2026-03-31") from None
    if isinstance(value, datetime) or not isinstance(value, date):
        raise ValueError(f"must be a date, not {value!r:.60}; a time needs the type datetime")
    return value.strftime(pattern)


def write_moment(value: object, pattern: str, zone: ZoneInfo | None) -> str:
    """A time of RFC 3339 by the pattern, in ``zone``, else in UTC. Raises ValueError."""
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(f"{value} has no offset from UTC")
        moment = value.astimezone(UTC)
    else:
        moment = read_time(value, "rfc3339", ZoneInfo("UTC"))
    match pattern:
        case "rfc3339":
            return rfc3339(moment)
        case "epoch_s":
            return str(int(moment.timestamp()))
        case "epoch_ms":
            return str(int(moment.timestamp()) * 1000 + moment.microsecond // 1000)
        case "local":
            return moment.astimezone(zone).isoformat() if zone else rfc3339(moment)
        case _:
            return moment.astimezone(zone or UTC).strftime(pattern)
