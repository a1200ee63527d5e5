"""Moments as people write them on the command line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from canonical.duration import parse_duration
from canonical.errors import ConfigError

__all__ = ["moment_of"]


def moment_of(option: str, when: str) -> str:
    """RFC 3339 of a moment, or of a duration before now. Raises ConfigError."""
    try:
        at = datetime.fromisoformat(when)
        return (at if at.tzinfo else at.astimezone()).astimezone(UTC).isoformat()
    except ValueError:
        pass
    try:
        return (datetime.now(UTC) - timedelta(seconds=parse_duration(when))).isoformat()
    except ValueError as error:
        raise ConfigError(
            f"{option}: write a duration like 15m or 24h, or a time like 2026-03-02T06:00:00Z"
        ) from error
