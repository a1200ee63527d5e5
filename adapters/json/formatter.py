"""Formatters of json and cloudevents: compact UTF-8, decimals as text, times as RFC 3339."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec

from canonical.cloudevents import STRUCTURED, event_of
from canonical.errors import Invalid

__all__ = ["CloudEventsFormatter", "JsonFormatter"]

_encoder = msgspec.json.Encoder(decimal_format="string")


class JsonFormatter:
    """A payload as JSON, in the order of its fields."""

    content_type = "application/json"

    def format(self, payload: Any) -> bytes:
        """Raises Invalid for what JSON cannot say: NaN, infinity, half a surrogate pair, other types."""
        return _encoded(payload)

    def format_all(self, payloads: Sequence[Any]) -> list[bytes]:
        """``format`` of each. Raises Invalid."""
        try:
            lines = _encoder.encode_lines(payloads)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise _impossible(str(error)) from error
        if b"null" in lines:  # which may stand for what JSON cannot say
            return list(map(_encoded, payloads))
        return lines.split(b"\n")[:-1]


class CloudEventsFormatter:
    """A payload that is an event, as a message of its own (structured mode)."""

    content_type = STRUCTURED

    def format(self, payload: Any) -> bytes:
        """Raises Invalid when the payload is no CloudEvent: a route's `map` has to leave or make one."""
        body = _encoded(payload)
        event_of(msgspec.json.decode(body))
        return body


def _encoded(payload: Any) -> bytes:
    try:
        body = _encoder.encode(payload)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise _impossible(str(error)) from error
    if b"null" in body and (where := _not_a_number(payload)) is not None:
        raise _impossible("JSON has no number for NaN and infinity", where)
    return body


def _not_a_number(value: Any, at: str = "") -> str | None:
    """Where NaN or infinity stands, which the encoder would write as null, losing it silently."""
    match value:
        case float() if not math.isfinite(value):
            return at
        case dict():
            found = (_not_a_number(entry, f"{at}/{name}") for name, entry in value.items())
            return next((where for where in found if where is not None), None)
        case list() | tuple():
            found = (_not_a_number(entry, f"{at}/{index}") for index, entry in enumerate(value))
            return next((where for where in found if where is not None), None)
        case _:
            return None


def _impossible(detail: str, where: str = "") -> Invalid:
    return Invalid(f"the payload has no form in JSON: {detail}", code="not_json", errors=[(where, detail)])
