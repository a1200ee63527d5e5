"""OPC UA's built-in types: their names, widths, and the JSON form of times and numbers.

Source: OPC 10000-6, 5.1.2 (table 1, ids), 5.2.2 (binary encoding).
"""

from __future__ import annotations

import math
import struct
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

__all__ = ["FIXED", "TYPES", "WireError", "finite", "instant"]

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

FIXED: Final = {
    number: (struct.Struct(f"<{form}").unpack_from, struct.calcsize(f"<{form}"))
    for number, form in enumerate("?bBhHiIqQfd", start=1)
}
"""Reader and size of the types of fixed width, by id."""

_EPOCH: Final = datetime(1601, 1, 1, tzinfo=UTC)
_LAST: Final = (datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1) * 10


class WireError(ValueError):
    """Bytes that are no OPC UA encoding, or hold what this module does not read."""


@lru_cache(maxsize=4096)
def instant(ticks: int) -> str | None:
    """RFC 3339 in UTC, microseconds, of 100 ns since 1601; None for "no time" (0 and less).

    What lies beyond the year 9999 is the last second of it, as OPC 10000-6, 5.2.2.5 asks for.
    """
    if ticks <= 0:
        return None
    moment = _EPOCH + timedelta(microseconds=min(ticks, _LAST) // 10)
    return moment.isoformat().replace("+00:00", "Z")


def finite(number: float) -> float | str:
    """The number, or the text that stands for it where JSON has none."""
    if math.isfinite(number):
        return number
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"
