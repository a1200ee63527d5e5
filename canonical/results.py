"""What CEL gives, as JSON values."""

from __future__ import annotations

import base64
import math
from datetime import datetime, timedelta
from typing import Any

from cel_expr_python import cel

from canonical.times import rfc3339

__all__ = ["failure_text", "json_value", "unpacked"]

_OPTIONAL = "an optional value stands where none can: end it with .orValue(…), or write {?'key': …}"


def failure_text(failure: cel.Value) -> str:
    """What failed. An optional counts as a failure, too: it looks like one, and has no plain form."""
    try:
        return str(failure.plain_value())
    except TypeError:
        return _OPTIONAL


def unpacked(result: cel.Value) -> Any:
    """The plain value of a result that may hold optionals, for which ``plain_value`` crashes the process."""
    if result.type() == cel.Type.ERROR:
        raise ValueError(_OPTIONAL)
    value = result.value()
    if isinstance(value, dict):
        return {key: unpacked(entry) for key, entry in value.items()}
    return [unpacked(entry) for entry in value] if isinstance(value, list) else value


def json_value(value: Any) -> Any:
    """A value of CEL as a JSON value. Raises ValueError for what JSON cannot say."""
    match value:
        case str() | bool() | int() | None:
            return value
        case float():
            if not math.isfinite(value):
                raise ValueError(f"it gives {value}, which JSON has no number for")
            return value
        case list():
            return [json_value(entry) for entry in value]
        case dict():
            return {_key(key): json_value(entry) for key, entry in value.items()}
        case datetime():
            return rfc3339(value)
        case timedelta():
            seconds = value.total_seconds()
            return int(seconds) if seconds.is_integer() else seconds
        case bytes() | bytearray():
            return base64.b64encode(value).decode()
        case _:
            raise ValueError(f"it gives {value}, which is no JSON value")


def _key(key: Any) -> str:
    """A key of a map as text; a boolean as JSON writes it."""
    return str(key).lower() if isinstance(key, bool) else str(key)
