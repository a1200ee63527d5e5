"""From a delivery to an AMQP message in frames, ready to be written.

What is the same for all deliveries to one target, its validation above all, is done once and kept.
Source: AMQP 0-9-1, 4.2.3 (frames), 4.2.6 (content), 1.8.3.13 (basic.publish).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Struct
from pamqp import encode
from pydantic import ValidationError

from adapters.amqp.config import AmqpTarget
from canonical.errors import Rejected
from canonical.event import Event, to_json
from canonical.ports import Delivery

__all__ = ["Envelope", "Letter", "Writing"]

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
BASIC = b"\x00\x3c\x00\x00"
# Flags of the properties, in the order in which their values stand.
CONTENT_TYPE, HEADERS, DELIVERY_MODE, CORRELATION_ID = 1 << 15, 1 << 13, 1 << 12, 1 << 10
MESSAGE_ID, TIMESTAMP, TYPE, APP_ID = 1 << 7, 1 << 6, 1 << 5, 1 << 3
ALWAYS = DELIVERY_MODE | MESSAGE_ID | TYPE | APP_ID


class Envelope(Struct, frozen=True):
    """A target, validated, and what every message to it has: the frame before it, and its own headers."""

    target: AmqpTarget
    publish: bytes
    headers: bytes


class Letter(Struct, frozen=True):
    """A message: its frames, where it goes, and the id under which it would come back."""

    target: AmqpTarget
    frames: bytes
    message_id: str


class Writing:
    """Writes the letters of one channel. Envelopes are kept by what the route wrote."""

    def __init__(self, channel: int, frame_max: int) -> None:
        """``frame_max``: bytes, as both sides agreed."""
        self._channel = channel.to_bytes(2, "big")
        self._most = frame_max - len(_frame(BODY, self._channel, b""))
        self._envelopes: dict[bytes, Envelope] = {}

    def envelope(self, delivery: Delivery) -> Envelope:
        """The delivery's target. Raises Rejected for one that cannot be."""
        try:
            key = msgspec.json.encode(delivery.target)
        except (TypeError, ValueError, OverflowError, RecursionError):
            return _envelope(delivery.target, self._channel)  # which says what is wrong with it
        found = self._envelopes.get(key)
        if found is None:
            found = _envelope(delivery.target, self._channel)
            if len(self._envelopes) >= MOST_REMEMBERED:
                self._envelopes.clear()
            self._envelopes[key] = found
        return found

    def letter(self, delivery: Delivery, envelope: Envelope) -> Letter:
        """A persistent message whose message-id is the idempotency key. Raises Rejected."""
        try:
            properties = _properties(delivery, envelope)
        except (ValueError, TypeError, OverflowError) as error:
            text = f"no AMQP message can be made of it: {error}"
            raise Rejected(text, code="invalid_message") from error
        payload, channel, most = delivery.payload, self._channel, self._most
        head = _frame(HEADER, channel, BASIC + len(payload).to_bytes(8, "big") + properties)
        bodies = [
            _frame(BODY, channel, payload if len(payload) <= most else payload[at : at + most])
            for at in range(0, len(payload), most)
        ]
        frames = b"".join([envelope.publish, head, *bodies])
        return Letter(envelope.target, frames, delivery.idempotency_key)


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


def _properties(delivery: Delivery, envelope: Envelope) -> bytes:
    event, flags = delivery.event, ALWAYS
    values = [b""]  # the flags
    if delivery.content_type:
        flags |= CONTENT_TYPE
        values.append(_known(delivery.content_type))
    headers = envelope.headers
    if envelope.target.cloudevents:
        headers = _table({**envelope.target.headers, **_attributes(event)})
    if headers:
        flags |= HEADERS
        values.append(headers)
    values.append(PERSISTENT)
    if event.correlationid:
        flags |= CORRELATION_ID
        values.append(_short(event.correlationid))
    values.append(_short(delivery.idempotency_key))
    if event.time is not None and (seconds := int(event.time.timestamp())) >= 0:
        flags |= TIMESTAMP
        values.append(seconds.to_bytes(8, "big"))
    values.append(_known(event.type))
    values.append(APP)
    values[0] = flags.to_bytes(2, "big")
    return b"".join(values)


def _table(headers: Mapping[str, str | bool | int | float]) -> bytes:
    """A field table (4.2.5.5); nothing for none. Raises ValueError, TypeError."""
    return encode.field_table({**headers}) if headers else b""


def _short(text: str) -> bytes:
    """A short string (4.2.5.3). Raises ValueError."""
    encoded = text.encode()
    if len(encoded) > SHORT_STRING_BYTES:
        raise ValueError(f"{text[:40]!r}… has {len(encoded)} bytes, {SHORT_STRING_BYTES} are allowed")
    return bytes([len(encoded)]) + encoded


_known = lru_cache(maxsize=1_000)(_short)
"""Of texts that come again and again: event types and content types."""


def _frame(kind: int, channel: bytes, body: bytes) -> bytes:
    return b"%c%b%b%b%b" % (kind, channel, len(body).to_bytes(4, "big"), body, END)


def _attributes(event: Event) -> dict[str, str]:
    """The event's attributes as the binary mode has them (CloudEvents AMQP binding 1.0.2, 3.1.3)."""
    return {
        f"{CLOUDEVENTS}{name}": str(value)
        for name, value in to_json(event).items()
        if name not in NOT_HEADERS and value is not None
    }
