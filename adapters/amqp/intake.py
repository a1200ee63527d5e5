"""From a delivery of the broker to a RawMessage: what of its properties becomes an attribute."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal

from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic

from adapters.amqp.redelivery import Window, fingerprint
from canonical.event import new_id
from canonical.ports import Attribute, RawMessage

__all__ = ["Intake"]

PROPERTIES = {
    "message_id": "message_id",
    "correlation_id": "correlation_id",
    "message_type": "type",
    "content_encoding": "content_encoding",
    "reply_to": "reply_to",
    "app_id": "app_id",
    "user_id": "user_id",
    "timestamp": "timestamp",
}
"""Property in the library → attribute."""
CLOUDEVENTS = ("cloudEvents:", "cloudEvents_")
"""Both prefixes of the CloudEvents AMQP binding 1.0.2, 3.1.3.1; they become ``ce-``, as in HTTP."""


class Intake:
    """Reads deliveries; gives those that come again the id that they had."""

    def __init__(
        self, name: str, window: Window, *, use_message_id: bool, clock: Callable[[], datetime]
    ) -> None:
        self._name = name
        self._window = window
        self._use_message_id = use_message_id
        self._clock = clock

    def read(self, message: DeliveredMessage) -> RawMessage:
        """The message with its attributes and id."""
        properties = message.header.properties
        attributes: dict[str, Attribute] = {
            "exchange": message.exchange or "",
            "routing_key": message.routing_key or "",
            "redelivered": bool(message.redelivered),
        }
        for name, attribute in PROPERTIES.items():
            if (value := _scalar(getattr(properties, name))) not in (None, ""):
                attributes[attribute] = value
        attributes.update(_headers(properties))
        raw = RawMessage(
            adapter=self._name,
            id=str(attributes.get("message_id", "")) if self._use_message_id else "",
            body=message.body,
            received_at=self._clock(),
            content_type=properties.content_type or "",
            attributes=attributes,
        )
        return raw if raw.id else self._identified(raw, message)

    def own_ids(self, raw: RawMessage) -> bool:
        """Whether the id of such a message is one that we gave."""
        return not (self._use_message_id and raw.attributes.get("message_id"))

    def _identified(self, raw: RawMessage, message: DeliveredMessage) -> RawMessage:
        print_ = fingerprint(raw)
        known = self._window.known(print_) if message.redelivered else None
        message_id = known or new_id()
        self._window.add(message.delivery_tag or 0, print_, message_id)
        return RawMessage(
            adapter=raw.adapter,
            id=message_id,
            body=raw.body,
            received_at=raw.received_at,
            content_type=raw.content_type,
            attributes=raw.attributes,
        )


def _headers(properties: Basic.Properties) -> Mapping[str, Attribute]:
    """The scalar ones; lists and tables (``x-death``) have no form as an attribute."""
    found: dict[str, Attribute] = {}
    for name, value in (properties.headers or {}).items():
        if (scalar := _scalar(value)) is not None:
            prefix = next((each for each in CLOUDEVENTS if name.startswith(each)), None)
            found[f"header.ce-{name.removeprefix(prefix)}" if prefix else f"header.{name}"] = scalar
    return found


def _scalar(value: object) -> Attribute | None:
    match value:
        case float() if not math.isfinite(value):
            return str(value)  # JSON has no such numbers
        case str() | bool() | int() | float():
            return value
        case bytes() | bytearray():
            return bytes(value).decode("utf-8", "replace")
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case Decimal():
            return str(value)
        case _:
            return None
