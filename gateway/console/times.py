"""Times for people: relative while recent, in the plant's own zone, exact with UTC on demand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo

from markupsafe import Markup

__all__ = ["clock_time", "duration", "exact", "lasting", "stamp", "when"]

_RECENT = timedelta(hours=1)


def duration(seconds: float | None) -> str:
    """``850 ms``, ``1.5 s``, ``12 s``, ``3 min``, ``2 h 05 min``, ``24 h``, ``4 d``; a dash for none."""
    if seconds is None:
        return "–"
    seconds = max(seconds, 0.0)
    if seconds < 1:
        return f"{round(seconds * 1000)} ms"
    if seconds < 10:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    if seconds < 90 and round(seconds) != 60:
        return f"{round(seconds)} s"
    minutes = round(seconds / 60)
    if minutes < 90 and minutes != 60:
        return f"{minutes} min"
    if minutes < 2 * 24 * 60:
        return f"{minutes // 60} h" + (f" {minutes % 60:02d} min" if minutes % 60 else "")
    return f"{minutes // (24 * 60)} d"


def stamp(at: datetime, zone: tzinfo, now: datetime) -> str:
    """``14:02:05 CET`` today, else ``22 Nov 14:02 CET``, with the year when it is another one."""
    local, today = at.astimezone(zone), now.astimezone(zone)
    if local.date() == today.date():
        return f"{local:%H:%M:%S %Z}"
    return f"{local:%d %b %H:%M %Z}" if local.year == today.year else f"{local:%d %b %Y %H:%M %Z}"


def exact(at: datetime, zone: tzinfo) -> str:
    """To the millisecond, in the zone and in UTC."""
    local, utc = at.astimezone(zone), at.astimezone(UTC)
    ending = f" · {utc:%Y-%m-%d %H:%M:%S.%f}"[:-3] + " UTC"
    return f"{local:%Y-%m-%d %H:%M:%S.%f}"[:-3] + f" {local:%Z}" + (ending if local.tzname() != "UTC" else "")


def clock_time(at: datetime, zone: tzinfo) -> str:
    """``14:02 CET``."""
    return f"{at.astimezone(zone):%H:%M %Z}"


def when(at: datetime | float | None, zone: tzinfo, now: datetime, *, absolute: bool = False) -> Markup:
    """A ``time`` element; a dash for no time. ``absolute``: never relative."""
    if not at:
        return Markup("<span class='none'>–</span>")
    moment = at if isinstance(at, datetime) else datetime.fromtimestamp(at, UTC)
    passed = now - moment
    if absolute or passed >= _RECENT or passed < -timedelta(seconds=2):
        shown = stamp(moment, zone, now)
    else:
        shown = "just now" if passed.total_seconds() < 1 else f"{_rough(passed.total_seconds())} ago"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        moment.astimezone(UTC).isoformat(), exact(moment, zone), shown
    )


def lasting(since: datetime | float, zone: tzinfo, now: datetime) -> Markup:
    """``for 3 min``, with the exact beginning."""
    moment = since if isinstance(since, datetime) else datetime.fromtimestamp(since, UTC)
    return Markup('<time datetime="{}" title="since {}">for {}</time>').format(
        moment.astimezone(UTC).isoformat(),
        exact(moment, zone),
        duration(max(round((now - moment).total_seconds()), 1)),
    )


def _rough(seconds: float) -> str:
    return f"{int(seconds)} s" if seconds < 90 else f"{round(seconds / 60)} min"
