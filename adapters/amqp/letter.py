"""From a delivery to an AMQP message in frames, ready to be written.

What is the same for all deliveries to one target, its validation above all, is done once and kept.
Source: AMQP 0-9-1, 4.2.3 (frames), 4.2.6 (content), 1.8.3.13 (basic.publish).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter
from struct import Struct as Layout
from typing import Any

import msgspec
from msgspec import Struct
from pamqp import encode
from pydantic import ValidationError

from adapters.amqp.config import AmqpTarget
from canonical.errors import Rejected
from canonical.event import Event, to_json
from canonical.ports import Delivery

__all__ = ["Envelope", "Writing"]

APP = b"\x0acrossplant"
CLOUDEVENTS = "cloudEvents:"
NOT_HEADERS = frozenset({"data", "data_base64", "datacontenttype"})
LARGEST = 2**63
SHORT_STRING_BYTES = 255
MOST_REMEMBERED = 1_000
PERSISTENT = b"\x02"
END = b"\xce"
METHOD, HEADER, BODY = 1, 2, 3
PUBLISH = b"\x00\x3c\x00\x28\x00\x00"
BASIC = 0x003C_0000  # class 60, weight 0
# Flags of the properties, in the order in which their values stand.
CONTENT_TYPE, HEADERS, DELIVERY_MODE, CORRELATION_ID = 1 << 15, 1 << 13, 1 << 12, 1 << 10
MESSAGE_ID, TIMESTAMP, TYPE, APP_ID = 1 << 7, 1 << 6, 1 << 5, 1 << 3
ALWAYS = DELIVERY_MODE | MESSAGE_ID | TYPE | APP_ID
_HEAD_BYTES = 14
_HEAD = Layout(">BHIIQH").pack
"""A content header up to its properties: kind, channel, size, class, body size, flags."""
_BODY = Layout(">BHI").pack

_EVENT, _PAYLOAD, _CONTENT_TYPE = map(attrgetter, ("event", "payload", "content_type"))
_KEY, _TYPE, _TIME, _CORRELATION = map(attrgetter, ("idempotency_key", "type", "time", "correlationid"))


class Envelope(Struct, frozen=True):
    """A target, validated, and what every message to it has: the frame before it, and its own headers."""

    target: AmqpTarget
    publish: bytes
    headers: bytes


class _Constant(Struct, frozen=True):
    """What all messages of one content type and event type to one target have, around what is their own."""

    flags: int
    before: bytes
    after: bytes


class Writing:
    """Writes the messages of one channel. Envelopes are kept by what the route wrote."""

    def __init__(self, channel: int, frame_max: int) -> None:
        """``frame_max``: bytes, as both sides agreed."""
        self._number = channel
        self._channel = channel.to_bytes(2, "big")
        self._most = frame_max - len(_frame(BODY, self._channel, b""))
        self._envelopes: dict[bytes, Envelope] = {}
        self._last: tuple[Mapping[str, Any], Envelope] | None = None
        self._constants: dict[tuple[int, str, str], _Constant] = {}

    def envelope(self, delivery: Delivery) -> Envelope:
        """The delivery's target. Raises Rejected for one that cannot be."""
        if self._last is not None and self._last[0] is delivery.target:
            return self._last[1]  # most routes have one target, and all their deliveries share it
        try:
            key = msgspec.json.encode(delivery.target)
        except (TypeError, ValueError, OverflowError, RecursionError):
            return _envelope(delivery.target, self._channel)  # which says what is wrong with it
        found = self._envelopes.get(key)
        if found is None:
            found = _envelope(delivery.target, self._channel)
            if len(self._envelopes) >= MOST_REMEMBERED:
                self._envelopes.clear()
                self._constants.clear()
            self._envelopes[key] = found
        self._last = (delivery.target, found)
        return found

    def frames(self, delivery: Delivery, envelope: Envelope) -> bytes:
        """A persistent message whose message-id is the idempotency key. Raises Rejected."""
        try:
            flags, properties = self._properties(delivery, envelope)
        except (ValueError, TypeError, OverflowError) as error:
            text = f"no AMQP message can be made of it: {error}"
            raise Rejected(text, code="invalid_message") from error
        payload, number = delivery.payload, self._number
        size = len(payload)
        head = _HEAD(HEADER, number, _HEAD_BYTES + len(properties), BASIC, size, flags)
        if 0 < size <= self._most:
            body = _BODY(BODY, number, size)
            return b"".join((envelope.publish, head, properties, END, body, payload, END))
        bodies = [
            _frame(BODY, self._channel, payload[at : at + self._most]) for at in range(0, size, self._most)
        ]
        return b"".join((envelope.publish, head, properties, END, *bodies))

    def frames_alike(self, deliveries: Sequence[Delivery], envelope: Envelope) -> list[bytes] | None:
        """``frames`` of each, where they differ in key, time and payload only; None where one has more."""
        events, payloads = list(map(_EVENT, deliveries)), list(map(_PAYLOAD, deliveries))
        keys, times = [key.encode() for key in map(_KEY, deliveries)], list(map(_TIME, events))
        sizes, lengths = list(map(len, payloads)), set(map(len, keys))
        if not _alike(deliveries, events) or envelope.target.cloudevents or None in times:
            return None
        if len(lengths) > 1 or max(lengths) > SHORT_STRING_BYTES or min(sizes) < 1 or max(sizes) > self._most:
            return None
        seconds = {time: int(time.timestamp()) for time in set(times)}
        if min(seconds.values()) < 0:
            return None
        stamps = {time: second.to_bytes(8, "big") for time, second in seconds.items()}
        constant, length, number = self._constant(deliveries[0], envelope), lengths.pop(), self._number
        before, after = constant.before + bytes([length]), constant.after + END
        room, flags = _HEAD_BYTES + len(before) + length + 8 + len(constant.after), constant.flags | TIMESTAMP
        begin = {
            size: envelope.publish + _HEAD(HEADER, number, room, BASIC, size, flags) + before
            for size in set(sizes)
        }
        middle = {size: after + _BODY(BODY, number, size) for size in begin}
        return [
            b"".join((begin[size], key, stamps[time], middle[size], payload, END))
            for size, key, time, payload in zip(sizes, keys, times, payloads, strict=True)
        ]

    def _properties(self, delivery: Delivery, envelope: Envelope) -> tuple[int, bytes]:
        """Which properties there are, and their values."""
        event = delivery.event
        constant = self._constant(delivery, envelope)
        flags, before = constant.flags, constant.before
        if envelope.target.cloudevents:
            flags |= HEADERS
            before = _before(delivery.content_type, _table({**envelope.target.headers, **_attributes(event)}))
        if event.correlationid:
            flags |= CORRELATION_ID
            before += _short(event.correlationid)
        identifier = delivery.idempotency_key.encode()
        if len(identifier) > SHORT_STRING_BYTES:
            _short(delivery.idempotency_key)  # which says so
        time = event.time
        if time is None or (seconds := int(time.timestamp())) < 0:
            return flags, b"%b%c%b%b" % (before, len(identifier), identifier, constant.after)
        values = (before, len(identifier), identifier, seconds.to_bytes(8, "big"), constant.after)
        return flags | TIMESTAMP, b"%b%c%b%b%b" % values

    def _constant(self, delivery: Delivery, envelope: Envelope) -> _Constant:
        place = (id(envelope), delivery.content_type, delivery.event.type)  # an envelope is kept as long
        found = self._constants.get(place)
        if found is None:
            flags = ALWAYS | (CONTENT_TYPE if delivery.content_type else 0)
            found = _Constant(
                flags | (HEADERS if envelope.headers else 0),
                _before(delivery.content_type, envelope.headers),
                _short(delivery.event.type) + APP,
            )
            if len(self._constants) >= MOST_REMEMBERED:
                self._constants.clear()
            self._constants[place] = found
        return found


def _alike(deliveries: Sequence[Delivery], events: Sequence[Event]) -> bool:
    """Whether they have target, content type and event type in common, and no correlation."""
    target = deliveries[0].target
    return (
        all(delivery.target is target for delivery in deliveries)
        and len(set(map(_CONTENT_TYPE, deliveries))) == len(set(map(_TYPE, events))) == 1
        and not any(map(_CORRELATION, events))
    )


def _before(content_type: str, headers: bytes) -> bytes:
    return (_short(content_type) if content_type else b"") + headers + PERSISTENT


def _envelope(fields: Mapping[str, Any], channel: bytes) -> Envelope:
    try:
        target = AmqpTarget.model_validate(fields)
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors(include_url=False)
        )
        raise Rejected(f"the target cannot be used: {wrong}", code="invalid_target") from error
    numbers = [value for value in target.headers.values() if isinstance(value, int)]
    if any(not -LARGEST <= value < LARGEST for value in numbers):
        raise Rejected("the target cannot be used: AMQP's integers have 64 bits", code="invalid_target")
    try:
        headers = _table(target.headers)
    except (ValueError, TypeError, OverflowError) as error:
        text = f"no AMQP message can be made of it: {error}"
        raise Rejected(text, code="invalid_message") from error
    publish = PUBLISH + _short(target.exchange) + _short(target.routing_key) + bytes([target.mandatory])
    return Envelope(target, _frame(METHOD, channel, publish), headers)


def _table(headers: Mapping[str, str | bool | int | float]) -> bytes:
    """A field table (4.2.5.5); nothing for none. Raises ValueError, TypeError."""
    return encode.field_table({**headers}) if headers else b""


def _short(text: str) -> bytes:
    """A short string (4.2.5.3). Raises ValueError."""
    encoded = text.encode()
    if len(encoded) > SHORT_STRING_BYTES:
        raise ValueError(f"{text[:40]!r}… has {len(encoded)} bytes, {SHORT_STRING_BYTES} are allowed")
    return bytes([len(encoded)]) + encoded


def _frame(kind: int, channel: bytes, body: bytes) -> bytes:
    return b"%c%b%b%b%b" % (kind, channel, len(body).to_bytes(4, "big"), body, END)


def _attributes(event: Event) -> dict[str, str]:
    """The event's attributes as the binary mode has them (CloudEvents AMQP binding 1.0.2, 3.1.3)."""
    return {
        f"{CLOUDEVENTS}{name}": str(value)
        for name, value in to_json(event).items()
        if name not in NOT_HEADERS and value is not None
    }
