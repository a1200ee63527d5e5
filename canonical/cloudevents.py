"""CloudEvents 1.0.2 as strangers send them: read strictly, with every fault and its place.

Source: CloudEvents 1.0.2 core, its JSON format (structured and batch), and its HTTP protocol binding
(binary mode, in ``canonical.http_binding``). For our own journal there is ``event.decode``, which
trusts what it reads.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from canonical import event as events
from canonical.attributes import REQUIRED, Fault, is_json, not_valid, read_attributes
from canonical.errors import Invalid
from canonical.event import Event
from canonical.http_binding import parse_binary, to_binary
from canonical.jsontext import MAX_BYTES, MAX_DEPTH, NUL, has_nul, read_json

__all__ = [
    "BATCH",
    "STRUCTURED",
    "Mode",
    "event_of",
    "mode",
    "parse_batch",
    "parse_binary",
    "parse_structured",
    "to_batch",
    "to_binary",
    "to_structured",
]

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
Mode = Literal["structured", "batch", "binary"]

_DATA = frozenset({"data", "data_base64"})


def mode(content_type: str) -> Mode:
    """Which content mode an HTTP message is in (HTTP binding, 3). Raises Invalid for another event format."""
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type in (STRUCTURED, "application/cloudevents"):
        return "structured"
    if media_type == BATCH:
        return "batch"
    if media_type.startswith("application/cloudevents"):
        raise Invalid(
            f"{media_type} is an event format that is not known here; send {STRUCTURED} or {BATCH}",
            code="unsupported_format",
            errors=[("content-type", f"must be {STRUCTURED} or {BATCH}")],
        )
    return "binary"


def parse_structured(body: bytes, *, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH) -> Event:
    """The event of a body in the JSON format. Raises Invalid with all faults as (pointer, detail)."""
    return event_of(read_json(body, max_bytes=max_bytes, max_depth=max_depth, nul=True))


def parse_batch(
    body: bytes, *, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH
) -> list[Event | Invalid]:
    """The events of a body in the JSON batch format, in order, each fault in the place of its event.

    Pointers begin with the index (``/3/id``). Raises Invalid when the body is no JSON array.
    """
    members = read_json(body, max_bytes=max_bytes, max_depth=max_depth + 1, nul=True)
    if not isinstance(members, list):
        raise Invalid(
            "a batch of CloudEvents is a JSON array", code="not_a_batch", errors=[("", "must be an array")]
        )
    return [_event_or_fault(member, f"/{index}") for index, member in enumerate(members)]


def _event_or_fault(member: object, at: str) -> Event | Invalid:
    try:
        return event_of(member, at)
    except Invalid as fault:
        return fault


def event_of(member: object, at: str = "") -> Event:
    """The event of a JSON value. Raises Invalid with all faults; their pointers begin with ``at``."""
    if not isinstance(member, dict):
        raise not_valid([(at, "must be an object")])
    faults: list[Fault] = []
    data, encoded = member.get("data"), member.get("data_base64")
    attributes = {name: value for name, value in member.items() if name not in _DATA}
    fields = read_attributes(attributes.items(), faults, lambda name: f"{at}/{_escaped(name)}")
    faults += [(f"{at}/{name}", "is missing") for name in REQUIRED if member.get(name) is None]
    if encoded is not None:
        if "data" in member:
            faults.append((f"{at}/data_base64", "must not stand beside data"))
        fields["data_base64"] = _bytes(encoded, f"{at}/data_base64", faults)
    elif data is not None:
        fields["data"] = data
        if not isinstance(data, str) and not is_json(fields.get("datacontenttype")):
            faults.append((f"{at}/data", f"must be text, since its type is {fields['datacontenttype']}"))
        if has_nul(data):
            faults.append((f"{at}/data", NUL))
    if faults:
        raise not_valid(faults)
    return Event(**fields)


def _bytes(value: object, at: str, faults: list[Fault]) -> bytes | None:
    """The bytes of base64 text as RFC 4648 section 4 has it: padded, no white space."""
    try:
        return msgspec.convert(value, bytes) if isinstance(value, str) else _not_text()
    except ValueError:
        faults.append((at, "must be base64 (RFC 4648, padded)"))
        return None


def _not_text() -> bytes:
    raise ValueError


def _escaped(name: str) -> str:
    """A name as a step of a JSON pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")


def to_structured(event: Event) -> bytes:
    """The event as the body of a message of type STRUCTURED."""
    return events.encode(event)


def to_batch(batch: Iterable[Event]) -> bytes:
    """The events as the body of a message of type BATCH."""
    return b"[" + b",".join(events.encode(event) for event in batch) + b"]"
