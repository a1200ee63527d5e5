"""From PUBLISH packets to RawMessages, a list at a time: this is the hot path."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from adapters.mqtt.connection import Connection
from adapters.mqtt.packets import Publish, PublishProperties, read_properties
from adapters.mqtt.redelivery import Window
from adapters.mqtt.topics import TopicFilter
from canonical.event import new_id
from canonical.ports import Attribute, RawMessage
from canonical.spec import AdapterContext

__all__ = ["Chunk", "Intake", "mids"]

PUBACK, PUBREC = b"\x40\x02", b"\x50\x02"
PACKET_BYTES = 4
DUP, QOS2, RETAIN = 0x08, 0x04, 0x01
MOST_REMEMBERED = 10_000
"""Topics, and sets of properties, whose meaning is kept; beyond that all are forgotten and read anew."""
MOST_WARNINGS = 20
NO_PROPERTIES = PublishProperties("", {})


class Chunk(NamedTuple):
    """What one read brought. ``acknowledgements``: the packets that acknowledge it, ready to be sent."""

    connection: Connection
    messages: list[RawMessage]
    acknowledgements: bytes
    size_bytes: int


class Intake:
    """Reads messages of the adapter's subscriptions; remembers what topics and properties mean."""

    def __init__(self, filters: Sequence[TopicFilter], context: AdapterContext, window: Window) -> None:
        self._filters = filters
        self._name = context.name
        self._clock = context.clock
        self._log = context.log
        self._window = window
        self._topics: dict[tuple[int, bytes], dict[str, Attribute]] = {}
        self._properties: dict[bytes, PublishProperties] = {b"": NO_PROPERTIES}
        self._warnings = 0

    def read(self, connection: Connection, publishes: Sequence[Publish]) -> Chunk:
        """The messages with their attributes and ids, in order."""
        now, window, name = self._clock(), self._window, self._name
        topics, known_properties, look_up = self._topics, self._properties, window.expects_unflagged
        messages: list[RawMessage] = []
        acknowledgements: list[bytes] = []
        seen: dict[bytes, tuple[bytes, int, str]] = {}
        size_bytes = 0
        for first, mid, topic, packed, payload in publishes:
            attributes = (topics.get((first, topic)) or self._topic(first, topic)).copy()
            properties = known_properties.get(packed) or self._read_properties(packed)
            if packed:
                attributes.update(properties.attributes)
            message_id = None
            if mid:
                attributes["mid"] = (mid[0] << 8) | mid[1]
                acknowledgements.append((PUBREC if first & QOS2 else PUBACK) + mid)
                if look_up or first & DUP:
                    message_id = window.known(mid, topic, payload, dup=bool(first & DUP))
                message_id = message_id or new_id()
                seen[mid] = (topic, hash(payload), message_id)
            messages.append(
                RawMessage(
                    adapter=name,
                    id=message_id or new_id(),
                    body=payload,
                    received_at=now,
                    content_type=properties.content_type,
                    attributes=attributes,
                )
            )
            size_bytes += len(payload)
        window.add(seen)
        return Chunk(connection, messages, b"".join(acknowledgements), size_bytes)

    def _topic(self, first: int, topic: bytes) -> dict[str, Attribute]:
        """The attributes that all messages with this topic and first byte have in common."""
        text = topic.decode("utf-8", "replace")
        attributes: dict[str, Attribute] = {
            "topic": text,
            "qos": (first >> 1) & 3,
            "retain": bool(first & RETAIN),
            "mid": 0,
            "dup": bool(first & DUP),
        }
        attributes.update(self._captures(text))
        if len(self._topics) >= MOST_REMEMBERED:
            self._topics.clear()
        self._topics[first, topic] = attributes
        return attributes

    def _captures(self, topic: str) -> dict[str, str]:
        levels = topic.split("/")
        for each in self._filters:
            if (found := each.match(levels)) is not None:
                return found
        if self._warnings < MOST_WARNINGS:
            self._warnings += 1
            self._log.warning(
                "mqtt_topic_not_subscribed",
                topic=topic,
                effect="taken in without captures",
                action="an older subscription is left in the session; delete the session at the broker",
            )
        return {}

    def _read_properties(self, packed: bytes) -> PublishProperties:
        properties = read_properties(packed)
        if len(self._properties) >= MOST_REMEMBERED:
            self._properties = {b"": NO_PROPERTIES}
        self._properties[packed] = properties
        return properties


def mids(acknowledgements: bytes) -> list[bytes]:
    """The packet identifiers in joined acknowledgements."""
    return [
        acknowledgements[at + 2 : at + PACKET_BYTES] for at in range(0, len(acknowledgements), PACKET_BYTES)
    ]
