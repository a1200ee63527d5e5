"""Deliveries for the sink's tests."""

from __future__ import annotations

from typing import Any

from canonical.event import Event
from canonical.ports import Delivery

__all__ = ["delivery"]


def delivery(number: int, *, payload: bytes | None = None, key: str | None = None, **target: Any) -> Delivery:
    """A delivery with an idempotency key by its number, to ``out/topic`` unless ``target`` says otherwise."""
    return Delivery(
        event=Event(id=str(number), source="/tests", type="com.crossplant.test.v1"),
        payload=f"payload {number}".encode() if payload is None else payload,
        content_type="application/json",
        key=f"key-{number}" if key is None else key,
        idempotency_key=f"idempotency-{number}",
        target={"topic": "out/topic", **target},
    )
