"""Durations and sizes as an operator writes them: a number with its unit, never a bare number.

In a model, ``Duration`` is seconds (float) and ``Size`` is bytes (int); in YAML, JSON Schema and
JSON dumps both are text (``30s``, ``64KB``). Defaults are written in code as numbers.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

__all__ = ["Duration", "Size", "format_duration", "format_size", "parse_duration", "parse_size", "with_units"]

_SECONDS = {
    "d": Decimal(86_400),
    "h": Decimal(3_600),
    "m": Decimal(60),
    "s": Decimal(1),
    "ms": Decimal("0.001"),
}
_BYTES = {
    "TB": 1000**4,
    "TiB": 1024**4,
    "GB": 1000**3,
    "GiB": 1024**3,
    "MB": 1000**2,
    "MiB": 1024**2,
    "KB": 1000,
    "KiB": 1024,
    "B": 1,
}
_BYTES_ANY_CASE = {unit.lower(): factor for unit, factor in _BYTES.items()}
_LONGEST_S = 36_500 * 86_400  # a century: what is longer is a typing error, and overflows timers
_LARGEST_BYTES = 2**63 - 1  # SQLite's integers
_DURATION = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?) ?(ms|s|m|h|d)")
_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?) ?([kmgt]i?b|b)", re.IGNORECASE)


def parse_duration(text: object) -> float:
    """Seconds, ≥ 0, of ``500ms``, ``30s``, ``5m``, ``1.5h``, ``30d``.

    Raises ValueError that says what to write: for a bare number, another unit, several parts,
    a negative or a value over 36500d. Units are lower case (``M`` could be minutes or months).
    """
    found = _match(_DURATION, text, "duration", "500ms, 30s, 5m, 24h or 30d (units: ms, s, m, h, d)", "s")
    seconds = float(Decimal(found[1]) * _SECONDS[found[2]])
    if seconds > _LONGEST_S:
        raise ValueError(f"{text!r} is longer than 36500d")
    return seconds


def parse_size(text: object) -> int:
    """Bytes, ≥ 0, of ``64KB`` (1000), ``64KiB`` (1024), ``1.5GB``; units in either case.

    Raises ValueError that says what to write: for a bare number, another unit, a negative,
    a part of a byte, or 2^63 and more.
    """
    found = _match(
        _SIZE, text, "size", "64KB, 32MB, 20GB or 512KiB (units: B, KB, MB, GB, TB; KiB … = 1024)", "B"
    )
    size_bytes = Decimal(found[1]) * _BYTES_ANY_CASE[found[2].lower()]
    if size_bytes != int(size_bytes) or size_bytes > _LARGEST_BYTES:
        raise ValueError(f"{text!r} is not a whole number of bytes below 2^63")
    return int(size_bytes)


def _match(pattern: re.Pattern[str], text: object, what: str, examples: str, unit: str) -> re.Match[str]:
    if isinstance(text, int | float) and not isinstance(text, bool):
        raise ValueError(
            f"a {what} needs its unit: write {text}{unit} if you mean that; examples: {examples}"
        )
    found = pattern.fullmatch(text.strip()) if isinstance(text, str) else None
    if found is None:
        raise ValueError(f"{text!r} is not a {what}; write it like {examples}")
    return found


def format_duration(seconds: float) -> str:
    """The duration in the largest unit that gives a whole number: ``90s``, ``2m``, ``1500ms``."""
    exact = Decimal(str(seconds))
    for unit, factor in _SECONDS.items():
        if exact and exact % factor == 0:
            return f"{int(exact / factor)}{unit}"
    return f"{exact.normalize():f}s"


def format_size(size_bytes: int) -> str:
    """The size in the largest unit that gives a whole number: ``20GB``, ``64KiB``."""
    fitting = (unit for unit, factor in _BYTES.items() if size_bytes and size_bytes % factor == 0)
    unit = next(fitting, "B")
    return f"{size_bytes // _BYTES[unit]}{unit}"


Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str, when_used="json"),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^\s*[0-9]{1,15}(\.[0-9]{1,9})? ?(ms|s|m|h|d)\s*$",
            "examples": ["500ms", "30s", "5m", "24h", "30d"],
            "x-quantity": "duration",
        }
    ),
]
"""Seconds in the model, text with a unit outside."""

Size = Annotated[
    int,
    BeforeValidator(parse_size),
    PlainSerializer(format_size, return_type=str, when_used="json"),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^\s*[0-9]{1,15}(\.[0-9]{1,9})? ?([kKmMgGtT][iI]?[bB]|[bB])\s*$",
            "examples": ["64KB", "32MB", "20GB", "512KiB"],
            "x-quantity": "size",
        }
    ),
]
"""Bytes in the model, text with a unit outside."""


def with_units(schema: Any) -> Any:
    """A copy of a JSON Schema from pydantic in which default durations and sizes are text with units.

    Pydantic writes a field's default as the model holds it, which the field itself would refuse
    (pydantic #8208).
    """
    if isinstance(schema, list):
        return [with_units(entry) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    copy = {name: with_units(entry) for name, entry in schema.items()}
    default, quantity = copy.get("default"), _quantity(copy)
    if quantity and isinstance(default, int | float):
        copy["default"] = format_duration(default) if quantity == "duration" else format_size(int(default))
    return copy


def _quantity(schema: dict[str, Any]) -> str:
    found = (entry.get("x-quantity") for entry in (schema, *schema.get("anyOf", ())))
    return next((quantity for quantity in found if quantity), "")
