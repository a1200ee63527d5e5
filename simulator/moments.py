"""Moments that are never given twice: what tells one produced fact from every other."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

__all__ = ["Moments", "instant", "rfc3339"]

MILLISECOND = timedelta(milliseconds=1)


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Moments:
    """The clock of the company: whole milliseconds, each given once, never going back.

    Milliseconds, since every protocol and format on the way keeps that much of a time. ``first``: how many
    numbers of each series were used up before, by a company that the same hub remembers.
    """

    def __init__(self, now: Callable[[], datetime] = _utc_now, *, first: int = 0) -> None:
        self._now, self.first = now, first
        self._last = datetime.min.replace(tzinfo=UTC)

    def next(self) -> datetime:
        """The present moment, or the millisecond after the last one given."""
        now = self._now()
        present = now.replace(microsecond=now.microsecond // 1000 * 1000)
        self._last = max(present, self._last + MILLISECOND) if self._last.year > 1 else present
        return self._last


def rfc3339(moment: datetime) -> str:
    """The moment as RFC 3339 text in UTC with milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def instant(text: str) -> str:
    """RFC 3339 text of any precision and offset, as ``rfc3339`` writes it. Raises ValueError."""
    return rfc3339(datetime.fromisoformat(text))
