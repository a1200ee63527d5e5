"""Publish responses, read straight from their bytes: the one place where values arrive.

A DataChangeNotification is read field by field without building the library's objects, which costs a
tenth of it. Source: OPC 10000-4, 5.14.5 (Publish), 7.25 (NotificationData), OPC 10000-6, 5.2.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from adapters.opcua.builtin import WireError
from adapters.opcua.variant import Cursor

__all__ = ["Publication", "read_publish_response", "read_republish_response"]

DATA_CHANGE: Final = "i=811"
EVENTS: Final = "i=916"
STATUS_CHANGE: Final = "i=820"
_DATA_CHANGE: Final = b"\x01\x00\x2b\x03\x01"
"""DATA_CHANGE as it is encoded, with a body of bytes."""
_start = struct.Struct("<Ii").unpack_from
_single = struct.Struct("<I8xi5si")  # sequence number, publish time, parts, the type and size of the first


class Publication(NamedTuple):
    """A NotificationMessage. ``data`` are its encoded DataChangeNotifications, for ``read_columns``.

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
    usual = _usual(body)
    if usual is not None:
        return usual
    cursor = Cursor(body)
    subscription_id = cursor.u32()
    cursor.take(4 * cursor.length())  # AvailableSequenceNumbers
    cursor.byte()  # MoreNotifications: the next response follows at once
    return _message(cursor, subscription_id)


def _usual(body: bytes) -> Publication | None:
    """What nearly every response is, one DataChangeNotification; None when it is another, or cut off."""
    subscription_id, available = _start(body) if len(body) >= 8 else (0, 0)
    at = 9 + 4 * max(available, 0)  # behind AvailableSequenceNumbers and MoreNotifications
    begins = at + _single.size
    if len(body) < begins:
        return None
    sequence, parts, kind, size = _single.unpack_from(body, at)
    if parts != 1 or kind != _DATA_CHANGE or not 0 <= size <= len(body) - begins:
        return None
    return Publication(subscription_id, sequence, [body[begins : begins + size]], None, False)


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
