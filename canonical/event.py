"""Event: the CloudEvents 1.0 envelope that everything becomes; its identity and its JSON codec.

Source: CloudEvents 1.0.2 core (attributes, type system) and its JSON format. The HTTP binding's
binary mode is in ``canonical.cloudevents``, with the strict reading of what strangers send.
"""

from __future__ import annotations

import itertools
import operator
import os
import struct
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

import msgspec
from msgspec import Struct, field

__all__ = [
    "Event",
    "decode",
    "decode_lines",
    "encode",
    "encode_lines",
    "hash_number",
    "new_id",
    "new_ids",
    "payload_hash",
    "payload_hashes",
    "to_json",
]

Extension = str | int | bool


class Event(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """One thing that happened, in the source's own codes. Never mutated; identity is (source, id).

    ``data`` is a JSON value as the catalogue describes it (decimals as strings, times RFC 3339);
    bytes that are not JSON are in ``data_base64``. ``time`` is when it happened, ``recordedtime``
    when we took it in, both UTC. ``extensions`` are those that this class does not name.
    """

    specversion: str = field(default_factory=lambda: "1.0")  # a factory, so that it is always written
    id: str
    source: str
    type: str
    time: datetime | None = None
    subject: str | None = None
    datacontenttype: str | None = None
    dataschema: str | None = None
    plantid: str | None = None
    domain: str | None = None
    partitionkey: str | None = None
    sequence: str | None = None
    correlationid: str | None = None
    causationid: str | None = None
    recordedtime: datetime | None = None
    severity: str | None = None
    expirytime: datetime | None = None
    dataref: str | None = None
    traceparent: str | None = None
    correctsid: str | None = None
    srcmsgid: str | None = None
    data: Any = None
    data_base64: bytes | None = None
    extensions: dict[str, Extension] = field(default_factory=dict)


KNOWN = frozenset(Event.__struct_fields__) - {"extensions"}
_encoder = msgspec.json.Encoder(decimal_format="string")
_deterministic = msgspec.json.Encoder(order="deterministic")
_decoder = msgspec.json.Decoder(Event)
_extensions = operator.attrgetter("extensions")
_payload_hash = blake2b(digest_size=8)


def to_json(event: Event) -> dict[str, Any]:
    """The event as plain JSON values, extensions beside the other attributes; times as RFC 3339."""
    plain: dict[str, Any] = msgspec.to_builtins(event)
    plain.update(plain.pop("extensions", {}))
    return plain


def encode(event: Event) -> bytes:
    """The event in the CloudEvents JSON format, one line."""
    return _encoder.encode(event) if not event.extensions else _encoder.encode(to_json(event))


def encode_lines(events: Sequence[Event]) -> bytes:
    """Events as NDJSON, one a line, each line ended."""
    if any(map(_extensions, events)):
        return b"".join(encode(event) + b"\n" for event in events)
    return _encoder.encode_lines(events)


def from_json(plain: Mapping[str, Any]) -> Event:
    """The event of a mapping as ``to_json`` gives it. Raises msgspec.ValidationError."""
    known = {name: value for name, value in plain.items() if name in KNOWN}
    rest = {name: value for name, value in plain.items() if name not in KNOWN and value is not None}
    return msgspec.convert({**known, "extensions": rest} if rest else known, Event, str_keys=True)


def decode(line: bytes) -> Event:
    """The event that ``encode`` wrote. For our own journal; strangers go through ``cloudevents``."""
    try:
        return _decoder.decode(line)
    except msgspec.ValidationError:
        return from_json(msgspec.json.decode(line))


def decode_lines(lines: bytes) -> list[Event]:
    """The events that ``encode_lines`` wrote."""
    try:
        return _decoder.decode_lines(lines)
    except msgspec.ValidationError:  # some have extensions
        return [decode(line) for line in lines.splitlines()]


def payload_hash(event: Event) -> bytes:
    """8 bytes that tell "the same again" from "the same identity with other data".

    Covers type, subject and data with sorted keys. Times are left out: a sender that repeats a
    message may stamp it anew.
    """
    body = _deterministic.encode((event.type, event.subject, event.data, event.data_base64))
    return blake2b(body, digest_size=8).digest()


def payload_hashes(events: Sequence[Event]) -> list[bytes]:
    """The ``payload_hash`` of each, for less."""
    bodies = [(event.type, event.subject, event.data, event.data_base64) for event in events]
    lines = _deterministic.encode_lines(bodies).splitlines()
    if len(lines) != len(events):  # JSON that is kept as it came may have line breaks
        return [payload_hash(event) for event in events]
    found, begun = [], _payload_hash.copy
    for line in lines:
        digest = begun()
        digest.update(line)
        found.append(digest.digest())
    return found


def hash_number(digest: bytes) -> int:
    """A ``payload_hash`` as databases keep it: a signed 64-bit integer."""
    return int.from_bytes(digest, "big", signed=True)


_counter = itertools.count()
_DIGITS = 0xFFFF_FFFF
_instance = blake2b(os.urandom(16), digest_size=4).hexdigest()


def new_id() -> str:
    """A unique id that sorts by time: milliseconds, instance, counter (cheap for a time-ordered index)."""
    return f"{time.time_ns() // 1_000_000:012x}-{_instance}-{next(_counter):08x}"


def new_ids(count: int) -> list[str]:
    """So many of ``new_id``, in order, for less."""
    start = f"{time.time_ns() // 1_000_000:012x}-{_instance}-"
    numbers = struct.pack(f">{count}I", *map(_DIGITS.__and__, itertools.islice(_counter, count)))
    return [start + number for number in numbers.hex(",", 4).split(",")] if count else []


def utc_now() -> datetime:
    """The present moment, UTC-aware."""
    return datetime.now(UTC)
