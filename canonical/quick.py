"""The well-formed CloudEvents among what strangers send, read in a tenth of the time; no word about others.

What is read here is exactly what ``canonical.cloudevents`` reads, and most of what comes is. Whatever this
module is not sure of (faults, extensions, bytes, other zones, depth) it leaves to that one, which tells why.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, Literal

import msgspec
from msgspec import Raw, Struct

from canonical.attributes import is_reference, is_rfc3339
from canonical.event import Event
from canonical.jsontext import MAX_BYTES, MAX_DEPTH

__all__ = ["quick_batch", "quick_structured"]

_NUL: Final = rb"\u0000"
_JSON: Final = (None, "application/json")
_MICROSECONDS: Final = len("2026-03-31T10:00:00.123456Z")


class _Envelope(Struct):
    """What ``Event`` alone would not notice: what is missing, spelt in another way, or not meant for it."""

    specversion: Literal["1.0"]
    time: str | None = None
    recordedtime: str | None = None
    expirytime: str | None = None
    extensions: None = None


_envelope = msgspec.json.Decoder(_Envelope)
_event = msgspec.json.Decoder(Event)
_members = msgspec.json.Decoder(list[Raw])
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def quick_structured(body: bytes, *, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH) -> Event | None:
    """The event of a body in the JSON format, as ``parse_structured`` gives it; None: ask that one."""
    if len(body) > max_bytes or body.count(b"{") + body.count(b"[") > max_depth or _NUL in body:
        return None
    try:
        envelope, event = _envelope.decode(body), _event.decode(body)
    except _UNREADABLE:
        return None
    return event if _plain(event) and _timely(event, envelope) else None


def quick_batch(
    body: bytes, *, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH
) -> tuple[list[Event], list[bytes]] | None:
    """The events of a batch and the text of each; None as soon as one is not for this module."""
    if len(body) > max_bytes:
        return None
    try:
        texts = [bytes(member) for member in _members.decode(body)]
    except _UNREADABLE:
        return None
    events: list[Event] = []
    for text in texts:
        event = quick_structured(text, max_depth=max_depth)
        if event is None:
            return None
        events.append(event)
    return events, texts


def _plain(event: Event) -> bool:
    """Whether every attribute is text that any attribute may have, and the data are JSON."""
    if event.data_base64 is not None or event.datacontenttype not in _JSON:
        return False
    for text in (
        event.id,
        event.type,
        event.subject,
        event.plantid,
        event.domain,
        event.partitionkey,
        event.sequence,
        event.correlationid,
        event.causationid,
        event.severity,
        event.traceparent,
        event.correctsid,
        event.srcmsgid,
    ):
        if text is not None and not (text and text.isprintable()):
            return False
    return event.dataref is None and event.dataschema is None and is_reference(event.source)


def _timely(event: Event, envelope: _Envelope) -> bool:
    """Whether the times are written as RFC 3339 has it, in UTC, to the microsecond at most."""
    return (
        _is_time(event.time, envelope.time)
        and _is_time(event.recordedtime, envelope.recordedtime)
        and _is_time(event.expirytime, envelope.expirytime)
    )


def _is_time(moment: datetime | None, text: str | None) -> bool:
    if moment is None or text is None:
        return moment is None and text is None
    return moment.tzinfo is UTC and len(text) <= _MICROSECONDS and is_rfc3339(text)
