"""Publish responses, read straight from their bytes: the one place where values arrive.

A DataChangeNotification is read field by field without building the library's objects, which costs a
tenth of it. Source: OPC 10000-4, 5.14.5 (Publish), 7.25 (NotificationData), OPC 10000-6, 5.2.
"""

from __future__ import annotations

import struct
from typing import Any, Final, NamedTuple

from adapters.opcua.builtin import FIXED, TYPES, WireError, finite
from adapters.opcua.variant import Cursor

__all__ = [
    "Change",
    "Publication",
    "WireError",
    "read_changes",
    "read_publish_response",
    "read_republish_response",
]

DATA_CHANGE: Final = "i=811"
EVENTS: Final = "i=916"
STATUS_CHANGE: Final = "i=820"

_TEXT: Final = 12
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


class Publication(NamedTuple):
    """A NotificationMessage. ``data`` are its encoded DataChangeNotifications, for ``read_changes``.

    ``ended`` is the StatusCode with which the server ended the subscription, None while it lives.
    A ``keep_alive`` carries the number that the next message will have.
    """

    subscription_id: int
    sequence: int
    data: list[bytes]
    ended: int | None
    keep_alive: bool


def read_publish_response(body: bytes) -> Publication:
    """The PublishResponse in ``body``, which starts after its ResponseHeader. Raises WireError."""
    cursor = Cursor(body)
    subscription_id = cursor.u32()
    cursor.take(4 * cursor.length())  # AvailableSequenceNumbers
    cursor.byte()  # MoreNotifications: the next response follows at once
    return _message(cursor, subscription_id)


def read_republish_response(body: bytes, subscription_id: int) -> Publication:
    """The RepublishResponse in ``body``, which starts after its ResponseHeader. Raises WireError."""
    return _message(Cursor(body), subscription_id)


def _message(cursor: Cursor, subscription_id: int) -> Publication:
    sequence = cursor.u32()
    cursor.take(8)  # PublishTime
    data: list[bytes] = []
    ended: int | None = None
    parts = cursor.length()
    for _ in range(parts):
        kind = cursor.node_id()
        body = (cursor.blob() if cursor.byte() else b"") or b""
        if kind == DATA_CHANGE:
            data.append(body)
        elif kind == STATUS_CHANGE:
            ended = Cursor(body).u32()
        elif kind != EVENTS:  # events are not subscribed
            raise WireError(f"a notification of the unknown type {kind}")
    return Publication(subscription_id, sequence, data, ended, parts == 0)


def read_changes(data: bytes) -> list[Change]:
    """The items of an encoded DataChangeNotification, in order. Raises WireError."""
    try:
        count: int = _i32(data, 0)[0]
        at, changes = 4, []
        for _ in range(count):
            change, at = _change(data, at)
            changes.append(change)
    except (struct.error, IndexError) as error:
        raise WireError(f"a notification that is cut off: {error}") from error
    if at > len(data):
        raise WireError(f"a notification that is cut off at {len(data)}")
    return changes


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
