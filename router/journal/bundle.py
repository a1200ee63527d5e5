"""A bundle: one commit's events and raw messages as a row, with a header and a hash.

Events are NDJSON in the CloudEvents JSON format, so that the journal can be read without us. Raw
messages are MessagePack, since bodies are arbitrary bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import msgspec

from canonical.event import Event, decode, encode_lines
from canonical.ports import RawMessage, Recorded
from router.journal import Header, JournalCorrupt

__all__ = ["FORMAT", "Row", "events_of", "header_of", "pack", "raws_of"]

FORMAT = 1

Row = tuple[int, int, bytes, bytes, bytes, bytes]
"""(first position, last position, header, events, raws, hash), the columns of ``bundles``."""

_header = msgspec.json.Decoder(Header)
_raws = msgspec.msgpack.Decoder(list[RawMessage])


def pack(first: int, events: Sequence[Event], raws: Sequence[RawMessage]) -> Row:
    """The row of events that take the positions from ``first`` on, without a gap."""
    counts: dict[str, dict[str, int]] = {}
    for event in events:
        types = counts.setdefault(event.plantid or "-", {})
        types[event.type] = types.get(event.type, 0) + 1
    adapters: dict[str, int] = {}
    for raw in raws:
        adapters[raw.adapter] = adapters.get(raw.adapter, 0) + 1
    oldest = min((e.recordedtime.timestamp() for e in events if e.recordedtime), default=0.0)
    header = msgspec.json.encode(Header(format=FORMAT, counts=counts, adapters=adapters, recorded_at=oldest))
    lines, bodies = encode_lines(events), msgspec.msgpack.encode(list(raws))
    last = first + len(events) - 1
    return first, last, header, lines, bodies, _hash(first, last, header, lines, bodies)


def _hash(first: int, last: int, header: bytes, events: bytes, raws: bytes) -> bytes:
    digest = blake2b(digest_size=16)
    for part in (b"%d-%d" % (first, last), header, events, raws):
        digest.update(b"%d:" % len(part))
        digest.update(part)
    return digest.digest()


def header_of(header: bytes) -> Header:
    """The decoded header."""
    return _header.decode(header)


def events_of(row: Row) -> list[Recorded]:
    """The events with their positions. Raises JournalCorrupt when the row is not what was written."""
    _verify(row)
    return [Recorded(row[0] + index, decode(line)) for index, line in enumerate(row[3].splitlines())]


def raws_of(row: Row) -> list[RawMessage]:
    """The raw messages, in the order in which they came. Raises JournalCorrupt."""
    _verify(row)
    return _raws.decode(row[4])


def _verify(row: Row) -> None:
    if _hash(*row[:5]) != row[5]:
        raise JournalCorrupt(row[0], row[1])
