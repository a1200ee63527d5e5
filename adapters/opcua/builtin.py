"""OPC UA's built-in types: their names, widths, and the JSON form of times and numbers.

Source: OPC 10000-6, 5.1.2 (table 1, ids), 5.2.2 (binary encoding).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

__all__ = ["FIXED", "FORMS", "TYPES", "WireError", "finite", "instant", "instants"]

TYPES: Final = [
    "Null",
    "Boolean",
    "SByte",
    "Byte",
    "Int16",
    "UInt16",
    "Int32",
    "UInt32",
    "Int64",
    "UInt64",
    "Float",
    "Double",
    "String",
    "DateTime",
    "Guid",
    "ByteString",
    "XmlElement",
    "NodeId",
    "ExpandedNodeId",
    "StatusCode",
    "QualifiedName",
    "LocalizedText",
    "ExtensionObject",
    "DataValue",
    "Variant",
    "DiagnosticInfo",
]
"""The names of the built-in types by their ids."""

FORMS: Final = dict(enumerate("?bBhHiIqQfd", start=1))
"""The types of fixed width as ``struct`` has them, by id."""

FIXED: Final = {
    number: (struct.Struct(f"<{form}").unpack_from, struct.calcsize(f"<{form}"))
    for number, form in FORMS.items()
}
"""Reader and size of the types of fixed width, by id."""

_SECOND: Final = 10_000_000
_DIGITS: Final = [f"{number:03d}" for number in range(1000)]
_EPOCH: Final = datetime(1601, 1, 1, tzinfo=UTC)
_LAST: Final = (datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1) * 10


class WireError(ValueError):
    """Bytes that are no OPC UA encoding, or hold what this module does not read."""


def instant(ticks: int) -> str | None:
    """RFC 3339 in UTC, microseconds, of 100 ns since 1601; None for "no time" (0 and less).

    What lies beyond the year 9999 is the last second of it, as OPC 10000-6, 5.2.2.5 asks for.
    """
    if ticks <= 0:
        return None
    second, micros = divmod(min(ticks, _LAST) // 10, 1_000_000)
    return f"{_second(second)}.{micros:06d}Z" if micros else f"{_second(second)}Z"


def instants(many: Collection[int]) -> dict[int, str | None]:
    """The same for many, which mostly are of one second."""
    first, last = min(many, default=0), max(many, default=0)
    second = first // _SECOND
    if first <= 0 or last >= _LAST or last // _SECOND != second:
        return {ticks: instant(ticks) for ticks in many}
    start, digits = _second(second), _DIGITS
    texts: dict[int, str | None] = {
        ticks: f"{start}.{digits[ticks // 10_000 % 1000]}{digits[ticks // 10 % 1000]}Z" for ticks in many
    }
    for ticks in range(second * _SECOND, second * _SECOND + 10):  # a whole second has no fraction
        if ticks in texts:
            texts[ticks] = f"{start}Z"
    return texts


@lru_cache(maxsize=1024)
def _second(since: int) -> str:
    """Seconds since 1601 as date and time."""
    return (_EPOCH + timedelta(seconds=since)).isoformat().removesuffix("+00:00")


def finite(number: float) -> float | str:
    """The number, or the text that stands for it where JSON has none."""
    if math.isfinite(number):
        return number
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"
