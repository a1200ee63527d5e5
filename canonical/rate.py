"""Rates as an operator writes them: a number per second, minute or hour, never a bare number."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

__all__ = ["Rate", "format_rate", "parse_rate"]

_SECONDS = {"s": 1, "m": 60, "h": 3_600}
_RATE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?/ ?(s|m|h)")
_EXAMPLES = "50/s, 0.5/s, 600/m or 1000/h (per second, minute, hour)"
_SLOWEST_PER_S = 1 / 86_400  # one a day: what is slower is a typing error, and looks like a route that hangs


def parse_rate(text: object) -> float:
    """How many per second, of ``50/s``, ``600/m``, ``1000/h``.

    Raises ValueError that says what to write: for a bare number, another unit, or less than one a day.
    """
    if isinstance(text, int | float) and not isinstance(text, bool):
        raise ValueError(f"a rate needs its unit: write {text}/s if you mean that; examples: {_EXAMPLES}")
    found = _RATE.fullmatch(text.strip()) if isinstance(text, str) else None
    if found is None:
        raise ValueError(f"{text!r} is not a rate; write it like {_EXAMPLES}")
    per_s = float(Decimal(found[1]) / _SECONDS[found[2]])
    if per_s < _SLOWEST_PER_S:
        raise ValueError(f"{text!r} is less than one a day")
    return per_s


def format_rate(per_s: float) -> str:
    """The rate in the shortest unit that gives a whole number: ``50/s``, ``30/m``."""
    for unit, seconds in _SECONDS.items():
        number = per_s * seconds
        if abs(number - round(number)) < 1e-6 * max(number, 1.0) and round(number):
            return f"{round(number)}/{unit}"
    return f"{per_s:g}/s"


Rate = Annotated[
    float,
    BeforeValidator(parse_rate),
    PlainSerializer(format_rate, return_type=str, when_used="json"),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^\s*[0-9]{1,9}(\.[0-9]{1,9})? ?/ ?(s|m|h)\s*$",
            "examples": ["50/s", "600/m", "1000/h"],
            "x-quantity": "rate",
        }
    ),
]
"""Per second in the model, text with a unit outside."""
