"""What a raw message of this adapter holds: the values of one notification, or a note about the source."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Struct, field

from adapters.opcua.builtin import instant, instants

__all__ = [
    "CONTENT_TYPE",
    "UNREADABLE",
    "Gap",
    "Item",
    "Note",
    "Notification",
    "Reading",
    "Row",
    "Table",
    "decode_body",
    "decode_kept",
    "encode_body",
    "reading_of",
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


class Item(Struct, frozen=True, kw_only=True, array_like=True):
    """What a value belongs to: names as in ``Reading``, and the node's unit."""

    node: str
    tag: str
    equipment: str
    uom: str | None = None


Row = tuple[Item, Any, str, int, str | None, int]
"""One reading of a Table: item, value, type, status, source time as in ``Reading``; and the server's, which
is rarely wanted, in 100 ns since 1601."""


def reading_of(row: Row) -> Reading:
    """The same with its names."""
    item, value, kind, status, source_time, server_ticks = row
    return Reading(
        node=item.node,
        tag=item.tag,
        equipment=item.equipment,
        value=value,
        type=kind,
        status=status,
        source_time=source_time,
        server_time=instant(server_ticks),
        uom=item.uom,
    )


class Table(Struct, frozen=True, kw_only=True, tag_field="kind", tag="table"):
    """A Notification as it is kept: a list for each field of its readings, which is shorter.

    ``items`` is a JSON array of Items, mostly that of the message before. A type or status that all readings
    have stands alone. Times are 100 ns since 1601, 0 where there is none.
    """

    session: str
    subscription: int
    sequence: int
    items: msgspec.Raw
    values: list[Any]
    type: str | list[str]
    status: int | list[int]
    source_ticks: list[int]
    server_ticks: list[int]

    def named(self) -> tuple[Item, ...]:
        """Its items; the same object as long as they are the same. Raises msgspec.DecodeError."""
        return _items(bytes(self.items))

    def rows(self) -> Iterator[Row]:
        """Reading by reading. Raises ValueError when the lists are not of one length, msgspec.DecodeError."""
        times = instants(set(self.source_ticks))
        count = len(self.values)
        return zip(
            self.named(),
            self.values,
            [self.type] * count if isinstance(self.type, str) else self.type,
            [self.status] * count if isinstance(self.status, int) else self.status,
            map(times.__getitem__, self.source_ticks),
            self.server_ticks,
            strict=True,
        )

    def notification(self) -> Notification:
        """The same. Raises as ``rows``."""
        return Notification(
            session=self.session,
            subscription=self.subscription,
            sequence=self.sequence,
            values=[reading_of(row) for row in self.rows()],
        )


@lru_cache(maxsize=64)
def _items(written: bytes) -> tuple[Item, ...]:
    return msgspec.json.decode(written, type=tuple[Item, ...])


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
_decoder: msgspec.json.Decoder[Notification | Table | Note] = msgspec.json.Decoder(
    Notification | Table | Note
)


def encode_body(body: Notification | Table | Note) -> bytes:
    """The body as compact JSON."""
    return _encoder.encode(body)


def decode_body(body: bytes) -> Notification | Note:
    """As ``decode_kept``, with a Table as its Notification. Raises ValueError, too, for one that is none."""
    found = decode_kept(body)
    return found.notification() if isinstance(found, Table) else found


def decode_kept(body: bytes) -> Notification | Table | Note:
    """The mirror of ``encode_body``. Raises msgspec.DecodeError, or RecursionError for hostile depth."""
    return _decoder.decode(body)
