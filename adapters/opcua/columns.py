"""The items of DataChangeNotifications, read into columns straight from their bytes.

Items that look alike, as nearly all of one notification do, are unpacked together.
Source: OPC 10000-4, 7.25.2; OPC 10000-6, 5.2.2.17.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from functools import lru_cache
from itertools import compress, repeat
from math import isfinite
from typing import Any, Final, NamedTuple

from adapters.opcua.builtin import FIXED, FORMS, TYPES, WireError, finite
from adapters.opcua.variant import Cursor

__all__ = ["Change", "Columns", "read_changes", "read_columns"]

_FLOAT: Final = 10
_TEXT: Final = 12
_PARTS: Final = 0x3F
_LOOK: Final = 1024
"""So many items are looked at together, so that those that differ do not cost the square of their number."""
_TOGETHER: Final = 6
"""Two to this power of items are unpacked by one layout, at most."""
_head = struct.Struct("<IB").unpack_from
_u32 = struct.Struct("<I").unpack_from
_i32 = struct.Struct("<i").unpack_from
_i64 = struct.Struct("<q").unpack_from


class Change(NamedTuple):
    """One monitored item's DataValue; times are 100 ns since 1601, 0 = none."""

    handle: int
    value: Any
    type: str
    status: int
    source_ticks: int
    server_ticks: int


class Columns(NamedTuple):
    """Many of them, a list for each field: a server sends hundreds at once, and lists cost less than rows."""

    handles: list[int]
    values: list[Any]
    types: list[str]
    statuses: list[int]
    source_ticks: list[int]
    server_ticks: list[int]

    def below(self, handle: int) -> Columns:
        """Those of smaller handles, in order."""
        wanted = [known < handle for known in self.handles]
        return Columns(*(list(compress(column, wanted)) for column in self))


def read_changes(data: bytes) -> list[Change]:
    """The items of an encoded DataChangeNotification, in order. Raises WireError."""
    return [Change(*row) for row in zip(*read_columns([data]), strict=True)]


def read_columns(parts: Iterable[bytes]) -> Columns:
    """The items of encoded DataChangeNotifications, in order, a list for each field. Raises WireError."""
    columns = Columns([], [], [], [], [], [])
    for data in parts:
        try:
            at, left = 4, _i32(data, 0)[0]
            while left > 0:
                at, taken = _taken(columns, data, at, left)
                left -= taken
        except (struct.error, IndexError) as error:
            raise WireError(f"a notification that is cut off: {error}") from error
        if at > len(data):
            raise WireError(f"a notification that is cut off at {len(data)}")
    return columns


def _taken(columns: Columns, data: bytes, at: int, left: int) -> tuple[int, int]:
    """Takes the items from ``at`` on that look like the first; where the next is, and how many they are."""
    mask, variant = data[at + 4], data[at + 5]
    if mask & ~_PARTS or not mask & 1 or variant not in FIXED:
        change, at = _change(data, at)
        lists: tuple[list[Any], ...] = columns
        for column, field in zip(lists, change, strict=True):
            column.append(field)
        return at, 1
    size = _layout(mask, variant, 1).size
    count = _alike(data, at, min(left, _LOOK), size, mask, variant)
    values = _fields(columns, data, at, count, mask, variant)
    columns.values.extend(values if variant < _FLOAT or all(map(isfinite, values)) else map(finite, values))
    columns.types.extend(repeat(TYPES[variant], count))
    return at + count * size, count


def _fields(columns: Columns, data: bytes, at: int, count: int, mask: int, variant: int) -> list[Any]:
    """Takes handles, statuses and times of so many items in, as many at once as there are layouts for.

    Gives the values as they are.
    """
    values: list[Any] = []
    into = [columns.handles, values]
    for column, bit in ((columns.statuses, 2), (columns.source_ticks, 4), (columns.server_ticks, 8)):
        if mask & bit:
            into.append(column)
        else:
            column.extend(repeat(0, count))
    width = len(into)
    while count:
        many = 1 << min(count.bit_length() - 1, _TOGETHER)
        layout = _layout(mask, variant, many)
        fields = layout.unpack_from(data, at)
        for place, column in enumerate(into):
            column.extend(fields[place::width])
        at += layout.size
        count -= many
    return values


def _alike(data: bytes, at: int, most: int, size: int, mask: int, variant: int) -> int:
    """How many items from ``at`` on have this mask and type: each tells where the next one begins."""
    count = min(most, (len(data) - at) // size)
    if count < 1:
        raise WireError(f"a notification that is cut off at {len(data)}")
    end = at + count * size
    masks, variants = data[at + 4 : end : size], data[at + 5 : end : size]
    others = max(len(masks.lstrip(bytes((mask,)))), len(variants.lstrip(bytes((variant,)))))
    return count - others


@lru_cache(maxsize=256)
def _layout(mask: int, variant: int, count: int) -> struct.Struct:
    """Items with a value of fixed width: handle, then mask and type, which are known, the value, and the
    parts that the mask names, without picoseconds."""
    parts = ((2, "I"), (4, "q"), (16, "2x"), (8, "q"), (32, "2x"))
    item = f"I2x{FORMS[variant]}" + "".join(part for bit, part in parts if mask & bit)
    return struct.Struct("<" + item * count)


def _change(data: bytes, at: int) -> tuple[Change, int]:
    """One MonitoredItemNotification: handle, then the parts of its DataValue that the mask names."""
    handle, mask = _head(data, at)
    at += 5
    value, kind = None, "Null"
    if mask & 1:
        value, kind, at = _value(data, at)
    status = source = server = 0
    if mask & 2:
        status = _u32(data, at)[0]
        at += 4
    if mask & 4:
        source = _i64(data, at)[0]
        at += 8
    if mask & 16:
        at += 2
    if mask & 8:
        server = _i64(data, at)[0]
        at += 8
    if mask & 32:
        at += 2
    return Change(handle, value, kind, status, source, server), at


def _value(data: bytes, at: int) -> tuple[Any, str, int]:
    """(value, type, place after it) of the Variant at ``at``."""
    variant = data[at]
    fixed = FIXED.get(variant)
    if fixed is not None:
        unpack, size = fixed
        value = unpack(data, at + 1)[0]
        return (finite(value) if variant > 9 else value), TYPES[variant], at + 1 + size
    if variant == _TEXT:
        size = _i32(data, at + 1)[0]
        end = at + 5 + max(size, 0)
        if end > len(data):
            raise WireError(f"a text of {size} bytes at {at} of {len(data)}")
        return (None if size < 0 else data[at + 5 : end].decode("utf-8", "replace")), "String", end
    cursor = Cursor(data, at)
    value, kind = cursor.variant()
    return value, kind, cursor.at
