"""Cutting a stream of bytes into MQTT packets, many at once; PUBLISH is read right here.

The reason is speed: a 256 KB read holds a thousand messages, and everything that is done once per
message in Python shows. Pure functions. Source: MQTT 5.0 and 3.1.1, 2.1 (fixed header) and 3.3
(PUBLISH).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from canonical.ports import Attribute

__all__ = [
    "MalformedPacketError",
    "Puback",
    "PublishProperties",
    "Publishes",
    "Split",
    "disconnect_reason",
    "read_properties",
    "read_puback",
    "split",
    "write_properties",
    "write_publish",
]

SHORTEST = 2
PUBLISH, PUBACK, DISCONNECT = 0x30, 0x40, 0xE0
LONGEST_STRING_BYTES = 65_535


class MalformedPacketError(Exception):
    """Bytes that no MQTT peer may send. The connection is of no use any more."""


class Publishes(NamedTuple):
    """PUBLISH packets as they came, a list for each field: lists are read, and built, faster than rows.

    ``firsts`` are their first bytes (DUP, QoS, RETAIN); a mid is 0 at QoS 0.
    """

    firsts: bytearray
    mids: list[int]
    topics: list[bytes]
    properties: list[bytes]
    payloads: list[bytes]

    def part(self, start: int, end: int) -> Publishes:
        """Some of them, in order."""
        firsts, mids, topics, sets, payloads = self
        cut = slice(start, end)
        return Publishes(firsts[cut], mids[cut], topics[cut], sets[cut], payloads[cut])


class Split(NamedTuple):
    """What a piece of the stream holds; from ``used`` on, ``needed`` bytes make one more packet."""

    publishes: Publishes
    others: list[bytes]
    used: int
    needed: int


def split(data: bytes, *, properties: bool) -> Split:  # noqa: C901 - a call per message would show
    """All whole packets in ``data``; ``properties``: PUBLISH has them, as in MQTT 5.

    Raises MalformedPacketError.
    """
    publishes, others = Publishes(bytearray(), [], [], [], []), list[bytes]()
    firsts, mids, topics, sets, payloads = publishes
    position, needed, end = 0, SHORTEST, len(data)
    try:
        while position + SHORTEST <= end:
            first, length, at = data[position], data[position + 1], position + 2
            if length & 0x80:
                if at < end and data[at] < 0x80:  # most have two bytes of it
                    length, at = length - 0x80 + (data[at] << 7), at + 1
                else:
                    length, at = _length(data, position + 1)
                    if length < 0:
                        needed = end - position + 1
                        break
            after = at + length
            if after > end:
                needed = after - position
                break
            if first & 0xF0 != PUBLISH:
                others.append(data[position:after])
                position = after
                continue
            topic_at, at = at + 2, at + 2 + ((data[at] << 8) | data[at + 1])
            topic, mid, packed = data[topic_at:at], 0, b""
            if first & 0x06:
                mid, at = (data[at] << 8) | data[at + 1], at + 2
                if not mid or first & 0x06 == 0x06:
                    raise MalformedPacketError("PUBLISH with QoS 3, or without its packet identifier")
            if properties:
                length, at = data[at], at + 1
                if length:
                    if length & 0x80:
                        length, at = _length(data, at - 1)
                    packed = data[at : at + length]
                    at += length
            if at > after or not topic:
                raise MalformedPacketError("PUBLISH with fields beyond its end, or without a topic")
            firsts.append(first)
            mids.append(mid)
            topics.append(topic)
            sets.append(packed)
            payloads.append(data[at:after])
            position = after
    except IndexError as error:
        raise MalformedPacketError("a packet is shorter than its own fields") from error
    return Split(publishes, others, position, needed)


def disconnect_reason(packet: bytes) -> int | None:
    """The reason code of a DISCONNECT; None for any other packet. Source: MQTT 5.0, 3.14."""
    if packet[0] != DISCONNECT:
        return None
    length, start = _length(packet, 1)
    return packet[start] if length else 0


class Puback(NamedTuple):
    """A broker's answer to our PUBLISH: its mid, a reason code, and the broker's own words."""

    mid: int
    reason: int
    text: str


def read_puback(packet: bytes) -> Puback | None:
    """The acknowledgement; None for any other packet. Source: MQTT 5.0, 3.4."""
    if packet[0] != PUBACK:
        return None
    length, at = _length(packet, 1)
    mid, reason, text = (packet[at] << 8) | packet[at + 1], packet[at + 2] if length > 2 else 0, ""
    if length > 4:
        said = read_properties(packet[_length(packet, at + 3)[1] :])
        text = str(said.attributes.get("reason_string", ""))
    return Puback(mid, reason, text)


def _length(data: bytes, at: int) -> tuple[int, int]:
    """A variable byte integer and where it ends; (-1, …) when its end has not come yet."""
    value = 0
    for index in range(4):
        if at + index >= len(data):
            return -1, at
        byte = data[at + index]
        value |= (byte & 0x7F) << (7 * index)
        if not byte & 0x80:
            return value, at + index + 1
    raise MalformedPacketError("a length has more than four bytes")


class PublishProperties(NamedTuple):
    """What a message's MQTT 5 properties say, in the terms of RawMessage."""

    content_type: str
    attributes: dict[str, Attribute]


CONTENT_TYPE, CORRELATION_DATA, MESSAGE_EXPIRY, USER_PROPERTY = 0x03, 0x09, 0x02, 0x26
NAMES = {0x08: "response_topic", 0x1F: "reason_string"}
FIXED_BYTES = {0x01: 1, MESSAGE_EXPIRY: 4, 0x23: 2}
SUBSCRIPTION_IDENTIFIER = 0x0B
COUNTED = (CONTENT_TYPE, CORRELATION_DATA, *NAMES)


def read_properties(packed: bytes) -> PublishProperties:
    """Content type, and attributes: ``property.NAME`` for each user property, ``response_topic``,
    ``correlation_data`` (hexadecimal) and ``message_expiry`` (seconds). Source: MQTT 5.0, 3.3.2.3.

    A name that occurs twice keeps its last value. What does not read as MQTT 5 is left out, with
    all behind it: the message itself is whole, and refusing it would bring it back for ever.
    """
    content_type, attributes, at = "", dict[str, Attribute](), 0
    try:
        while at < len(packed):
            kind, at = packed[at], at + 1
            if kind in COUNTED:
                value, at = _counted(packed, at)
                if kind == CONTENT_TYPE:
                    content_type = _text(value)
                elif kind == CORRELATION_DATA:
                    attributes["correlation_data"] = value.hex()
                else:
                    attributes[NAMES[kind]] = _text(value)
            elif kind == USER_PROPERTY:
                name, at = _counted(packed, at)
                value, at = _counted(packed, at)
                attributes[f"property.{_text(name)}"] = _text(value)
            elif kind == SUBSCRIPTION_IDENTIFIER:
                at = _length(packed, at)[1]
            else:
                value, at = packed[at : at + FIXED_BYTES[kind]], at + FIXED_BYTES[kind]
                if kind == MESSAGE_EXPIRY and at <= len(packed):
                    attributes["message_expiry"] = int.from_bytes(value, "big")
    except (IndexError, KeyError, MalformedPacketError):
        pass
    return PublishProperties(content_type, attributes)


def write_properties(content_type: str, user: Mapping[str, str]) -> bytes:
    """A PUBLISH's properties behind their length: content type, unless empty, and user properties.

    Raises ValueError for text of more than 65,535 bytes, or that UTF-8 cannot carry.
    """
    parts = [bytes([CONTENT_TYPE]) + _string(content_type)] if content_type else []
    parts += [bytes([USER_PROPERTY]) + _string(name) + _string(value) for name, value in user.items()]
    packed = b"".join(parts)
    return _counter(len(packed)) + packed


def write_publish(
    topic: bytes, payload: bytes, *, mid: int, qos: int, retain: bool, properties: bytes
) -> bytes:
    """A PUBLISH; ``properties`` as ``write_properties`` gives them, empty for MQTT 3.1.1."""
    first = bytes([PUBLISH | qos << 1 | retain])
    head = len(topic).to_bytes(2, "big") + topic + (mid.to_bytes(2, "big") if qos else b"") + properties
    return first + _counter(len(head) + len(payload)) + head + payload


def _counter(value: int) -> bytes:
    """A variable byte integer."""
    encoded = bytearray()
    while True:
        value, low = divmod(value, 128)
        encoded.append(low | 0x80 if value else low)
        if not value:
            return bytes(encoded)


def _string(text: str) -> bytes:
    encoded = text.encode()
    if len(encoded) > LONGEST_STRING_BYTES:
        raise ValueError(f"text of {len(encoded)} bytes does not fit into an MQTT property")
    return len(encoded).to_bytes(2, "big") + encoded


def _counted(packed: bytes, at: int) -> tuple[bytes, int]:
    """Bytes behind their two-byte length, and where they end. Raises IndexError when they are cut short."""
    start = at + 2
    end = start + ((packed[at] << 8) | packed[at + 1])
    if end > len(packed):
        raise IndexError
    return packed[start:end], end


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
