"""The work of the pipeline, the same for every contestant.

In: ``ROOT/brno/hall-1/press-N/temperature``, a JSON object with tag, value, quality and time. Out: the
good ones only (nine of ten), as JSON with plant, tag, value, unit and time, into a durable quorum queue,
each persistent and confirmed before its MQTT message is acknowledged.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

__all__ = ["BAD_EVERY", "PLANT", "TOPICS", "UOM", "delivered", "payload", "topic"]

PLANT = "brno"
UOM = "CEL"
TOPICS = 20
BAD_EVERY = 10
_START = datetime(2026, 3, 31, 10, tzinfo=UTC)


def topic(number: int, root: str, tags: int = TOPICS) -> str:
    """The topic of a message. Each run has a root of its own: sessions of earlier runs get none of it."""
    return f"{root}/{PLANT}/hall-1/press-{number % tags}/temperature"


def payload(number: int, value: float | None = None, tags: int = TOPICS) -> bytes:
    """The body of a message; ``value`` takes the place of the measured one."""
    at = (_START + timedelta(milliseconds=number)).isoformat(timespec="milliseconds")
    body = {
        "tag": f"press-{number % tags}/temperature",
        "value": 20.0 + number % 1000 / 10 if value is None else value,
        "quality": "bad" if number % BAD_EVERY == 0 else "good",
        "at": at.replace("+00:00", "Z"),
    }
    return json.dumps(body, separators=(",", ":")).encode()


def delivered(sent: int) -> int:
    """How many of the first ``sent`` messages must arrive."""
    return sent - (sent + BAD_EVERY - 1) // BAD_EVERY
