"""A bundle: one commit's events and raw messages as a row, with a header and a hash.

Events are NDJSON in the CloudEvents JSON format, so that the journal can be read without us. Raw
messages are MessagePack, since bodies are arbitrary bytes; large ones lie elsewhere (``claimcheck``).
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from hashlib import blake2b, sha256
from typing import Protocol
from zlib import crc32

import msgspec

from canonical.event import Event, decode_lines, encode_lines
from canonical.ports import RawMessage, Recorded
from router.journal import Header, JournalCorrupt
from router.journal.claimcheck import Kept

__all__ = ["FORMAT", "Row", "encode_raws", "events_of", "header_for", "header_of", "pack", "raws_of"]

FORMAT = 3
"""1 was hashed with BLAKE2b; 2 is with SHA-256, for which processors have instructions; in 3 the
body of a raw message may be a claim check. Else alike."""

HASH_BYTES = 16

Row = tuple[int, int, bytes, bytes, bytes, bytes]
"""(first position, last position, header, events, raws, hash), the columns of ``bundles``."""

_MARK = b',"check":"'
_CHECK = _MARK + b'%08x"}'
_header = msgspec.json.Decoder(Header)


class _Hash(Protocol):
    def update(self, part: bytes, /) -> None: ...
    def digest(self) -> bytes: ...


_encoder = msgspec.msgpack.Encoder()
_raws = msgspec.msgpack.Decoder(list[Kept])


def pack(
    first: int,
    events: Sequence[Event],
    raws: Sequence[RawMessage],
    *,
    large_from: int = sys.maxsize,
    check_in: Callable[[Sequence[RawMessage]], Sequence[RawMessage | Kept]] = lambda raws: raws,
) -> Row:
    """The row of events that take the positions from ``first`` on, without a gap.

    Raws that take more than ``large_from`` bytes together are shown to ``check_in`` first.
    """
    header = _checked(header_for(events, raws))
    lines, bodies = encode_lines(events), encode_raws(raws)
    if len(bodies) > large_from:
        bodies = encode_raws(check_in(raws))
    row = (first, first + len(events) - 1, header, lines, bodies)
    return *row, _hash(row, sha256())


def encode_raws(raws: Sequence[RawMessage | Kept]) -> bytes:
    """The raw messages as a bundle keeps them."""
    return _encoder.encode(raws)


def header_for(events: Sequence[Event], raws: Sequence[RawMessage]) -> Header:
    """What a bundle of them says of itself."""
    counts: dict[str, dict[str, int]] = {}
    plants, types = {event.plantid for event in events}, {event.type for event in events}
    if len(plants) == len(types) == 1:  # as most bundles are
        counts[plants.pop() or "-"] = {types.pop(): len(events)}
    else:
        for (plant, type_), number in Counter([(event.plantid, event.type) for event in events]).items():
            at_plant = counts.setdefault(plant or "-", {})
            at_plant[type_] = at_plant.get(type_, 0) + number
    moments = {event.recordedtime for event in events}  # few: a batch shares one
    oldest = min((moment.timestamp() for moment in moments if moment), default=0.0)
    names = {raw.adapter for raw in raws}
    adapters = (
        dict.fromkeys(names, len(raws)) if len(names) == 1 else dict(Counter(raw.adapter for raw in raws))
    )
    return Header(format=FORMAT, counts=counts, adapters=adapters, recorded_at=oldest)


def _hash(row: tuple[int, int, bytes, bytes, bytes], digest: _Hash) -> bytes:
    first, last, *parts = row
    for part in (b"%d-%d" % (first, last), *parts):
        digest.update(b"%d:" % len(part))
        digest.update(part)
    return digest.digest()[:HASH_BYTES]


def _checked(header: Header) -> bytes:
    """Encoded, with a checksum of its own at the end: bundles are passed over by their header alone."""
    text = msgspec.json.encode(header)
    return text[:-1] + _CHECK % crc32(text)


def header_of(first: int, last: int, header: bytes) -> Header:
    """The decoded header of the bundle with these positions. Raises JournalCorrupt."""
    text, mark, _ = header.rpartition(_MARK)
    if mark and header[len(text) :] != _CHECK % crc32(text + b"}"):  # journals of format 1 have none
        raise JournalCorrupt(first, last)
    try:
        return _header.decode(header)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise JournalCorrupt(first, last) from error


def events_of(row: Row) -> list[Recorded]:
    """The events with their positions. Raises JournalCorrupt when the row is not what was written."""
    _verify(row)
    return [Recorded(position, event) for position, event in enumerate(decode_lines(row[3]), start=row[0])]


def raws_of(row: Row) -> list[Kept]:
    """The raw messages, in the order in which they came. Raises JournalCorrupt."""
    _verify(row)
    return _raws.decode(row[4])


def _verify(row: Row) -> None:
    content, digest = row[:5], row[5]
    if _hash(content, sha256()) != digest and _hash(content, blake2b(digest_size=HASH_BYTES)) != digest:
        raise JournalCorrupt(row[0], row[1])
