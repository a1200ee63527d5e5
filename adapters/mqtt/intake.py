"""From PUBLISH packets to RawMessages, a list at a time: this is the hot path."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import repeat
from struct import pack
from typing import NamedTuple

from adapters.mqtt.connection import Connection
from adapters.mqtt.packets import Publishes, PublishProperties, read_properties
from adapters.mqtt.redelivery import Window
from adapters.mqtt.topics import TopicFilter
from canonical.event import new_ids
from canonical.ports import Attribute, RawMessage
from canonical.spec import AdapterContext

__all__ = ["Chunk", "Intake"]

PUBACK, PUBREC = 0x40_02_0000, 0x50_02_0000
DUP, QOS2, RETAIN = 0x08, 0x04, 0x01
MOST_REMEMBERED = 10_000
"""Topics, and sets of properties, whose meaning is kept; beyond that all are forgotten and read anew."""
MOST_WARNINGS = 20
NO_PROPERTIES = PublishProperties("", {})


class Chunk(NamedTuple):
    """What one read brought. ``acknowledgements``: the packets that acknowledge it, ready to be sent;
    ``mids``: the packet identifiers in them."""

    connection: Connection
    messages: list[RawMessage]
    acknowledgements: bytes
    mids: list[int]
    size_bytes: int


class Intake:
    """Reads messages of the adapter's subscriptions; remembers what topics and properties mean."""

    def __init__(self, filters: Sequence[TopicFilter], context: AdapterContext, window: Window) -> None:
        self._filters = filters
        self._name = context.name
        self._clock = context.clock
        self._log = context.log
        self._window = window
        self._topics: defaultdict[int, dict[bytes, dict[str, Attribute]]] = defaultdict(dict)
        self._properties: dict[bytes, PublishProperties] = {b"": NO_PROPERTIES}
        self._warnings = 0

    def read(self, connection: Connection, publishes: Publishes) -> Chunk:
        """The messages with their attributes and ids, in order."""
        firsts, mids, topics, packed, payloads = publishes
        now, name, ids = self._clock(), self._name, self._ids(publishes)
        attributes = self._attributes(firsts, topics, mids)
        types = self._types(packed, attributes) if any(packed) else repeat("")
        messages = [
            RawMessage(
                adapter=name, id=known, body=body, received_at=now, content_type=content_type, attributes=said
            )
            for known, body, content_type, said in zip(ids, payloads, types, attributes, strict=False)
        ]
        # By the C code of zip and map: a loop here would cost a quarter of the whole way in.
        seen = dict(zip(mids, zip(topics, map(hash, payloads), ids, strict=True), strict=True))
        seen.pop(0, None)
        self._window.add(seen)
        return Chunk(connection, messages, *_acknowledgements(firsts, mids), sum(map(len, payloads)))

    def _ids(self, publishes: Publishes) -> list[str]:
        """An id for each message: a new one, or that which it had before."""
        firsts, mids, topics, _, payloads = publishes
        ids, window = new_ids(len(mids)), self._window
        if window.expects_unflagged or any(first & DUP for first in set(firsts)):
            for index, (first, mid) in enumerate(zip(firsts, mids, strict=True)):
                if mid:
                    dup = bool(first & DUP)
                    ids[index] = window.known(mid, topics[index], payloads[index], dup=dup) or ids[index]
        return ids

    def _attributes(
        self, firsts: bytearray, topics: Sequence[bytes], mids: Sequence[int]
    ) -> list[dict[str, Attribute]]:
        known, read = self._topics, self._topic
        copies = [
            (known[first].get(topic) or read(first, topic)).copy()
            for first, topic in zip(firsts, topics, strict=True)
        ]
        for attributes, mid in zip(copies, mids, strict=True):
            attributes["mid"] = mid
        return copies

    def _types(self, packed: Sequence[bytes], attributes: Sequence[dict[str, Attribute]]) -> list[str]:
        """The content types; what else the properties say goes to the attributes."""
        types = []
        for each, said in zip(packed, attributes, strict=True):
            properties = self._properties.get(each) or self._read_properties(each)
            said.update(properties.attributes)
            types.append(properties.content_type)
        return types

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
        if len(self._topics[first]) >= MOST_REMEMBERED:
            self._topics[first].clear()
        self._topics[first][topic] = attributes
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


def _acknowledgements(firsts: bytearray, mids: Sequence[int]) -> tuple[bytes, list[int]]:
    """The packets that acknowledge all that are to be, joined, and the packet identifiers in them."""
    asked = [
        (PUBREC if first & QOS2 else PUBACK) | mid for first, mid in zip(firsts, mids, strict=True) if mid
    ]
    return pack(f">{len(asked)}I", *asked), [mid for mid in mids if mid]
