"""What a raw message of this adapter holds: the values of one notification, or a note about the source."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct, field

__all__ = [
    "CONTENT_TYPE",
    "UNREADABLE",
    "Gap",
    "Note",
    "Notification",
    "Reading",
    "decode_body",
    "encode_body",
]

CONTENT_TYPE = "application/json"
UNREADABLE = "application/octet-stream"
"""Content type of a notification that could not be parsed: its body is what the server sent."""


class Reading(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One DataValue. ``node`` and ``tag`` as configured; ``type`` is the OPC UA type, ``Double[]`` an array.

    NaN and infinities are the texts that OPC UA's JSON encoding gives them (OPC 10000-6, 5.4.2.4).
    A structure is an object of type id and body in base64. Times are RFC 3339, UTC; ``status`` is the
    StatusCode; ``uom`` the unit that the server gives the node.
    """

    node: str
    tag: str
    equipment: str
    value: Any = None
    type: str = "Null"
    status: int = 0
    source_time: str | None = None
    server_time: str | None = None
    uom: str | None = None


class Notification(Struct, frozen=True, kw_only=True, tag_field="kind", tag="values"):
    """One DataChangeNotification, as the server sent it, with our names for its items."""

    session: str
    subscription: int
    sequence: int
    values: list[Reading]


class Gap(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Values that are lost, or may be: from when to when, why; ``tags`` only when it is not all of them."""

    from_: str = field(name="from")
    to: str
    reason: str
    tags: list[str] = []


class Note(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="source"):
    """The source came, went or fell silent. ``equipment`` are the paths that it is about."""

    session: str
    status: str
    at: str
    reason: str
    equipment: list[str]
    last_seq: int | None = None
    gap: Gap | None = None


_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Notification | Note] = msgspec.json.Decoder(Notification | Note)


def encode_body(body: Notification | Note) -> bytes:
    """The body as compact JSON."""
    return _encoder.encode(body)


def decode_body(body: bytes) -> Notification | Note:
    """The mirror of ``encode_body``. Raises msgspec.DecodeError, or RecursionError for hostile depth."""
    return _decoder.decode(body)
