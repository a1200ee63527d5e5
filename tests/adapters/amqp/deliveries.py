"""Deliveries for the sink's tests."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from canonical.errors import CrossplantError
from canonical.event import Event
from canonical.ports import Delivery, Failed, SinkOutcome, Unknown

__all__ = ["delivery", "error_of"]

AT = datetime(2025, 3, 4, 5, 6, 7, tzinfo=UTC)


def delivery(number: int, *, payload: bytes | None = None, key: str | None = None, **target: Any) -> Delivery:
    """A delivery with an idempotency key by its number; ``target`` says where to."""
    return Delivery(
        event=Event(
            id=str(number), source="/tests", type="com.crossplant.test.v1", time=AT, correlationid="order-7"
        ),
        payload=f"payload {number}".encode() if payload is None else payload,
        content_type="application/json",
        key=f"key-{number}" if key is None else key,
        idempotency_key=f"idempotency-{number}",
        target=target,
    )


def error_of(outcome: SinkOutcome) -> CrossplantError:
    """Why a delivery has failed, or is unknown."""
    assert isinstance(outcome, Failed | Unknown), outcome
    return outcome.error
