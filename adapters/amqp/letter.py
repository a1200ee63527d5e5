"""From a delivery to an AMQP message: its properties and headers."""

from __future__ import annotations

import aio_pika
from aiormq import spec
from msgspec import Struct
from pydantic import ValidationError

from adapters.amqp.config import AmqpTarget
from canonical.errors import Rejected
from canonical.event import Event, to_json
from canonical.ports import Delivery

__all__ = ["Letter", "letter_of"]

APP = "crossplant"
CLOUDEVENTS = "cloudEvents:"
NOT_HEADERS = frozenset({"data", "data_base64", "datacontenttype"})
LARGEST = 2**63


class Letter(Struct, frozen=True):
    """A message and where it goes."""

    target: AmqpTarget
    properties: spec.Basic.Properties
    body: bytes


def letter_of(delivery: Delivery) -> Letter:
    """The delivery as a persistent message whose message-id is the idempotency key.

    Raises Rejected for what no broker takes.
    """
    try:
        target = AmqpTarget.model_validate(delivery.target)
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors(include_url=False)
        )
        raise Rejected(f"the target cannot be used: {wrong}", code="invalid_target") from error
    headers: dict[str, str | bool | int | float] = dict(target.headers)
    if any(isinstance(value, int) and not -LARGEST <= value < LARGEST for value in headers.values()):
        raise Rejected("the target cannot be used: AMQP's integers have 64 bits", code="invalid_target")
    if target.cloudevents:
        headers.update(_attributes(delivery.event))
    message = aio_pika.Message(
        body=b"",
        headers={**headers},
        content_type=delivery.content_type or None,
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        message_id=delivery.idempotency_key,
        correlation_id=delivery.event.correlationid,
        type=delivery.event.type,
        timestamp=delivery.event.time,
        app_id=APP,
    )
    return Letter(target, message.properties, delivery.payload)


def _attributes(event: Event) -> dict[str, str]:
    """The event's attributes as the binary mode has them (CloudEvents AMQP binding 1.0.2, 3.1.3)."""
    return {
        f"{CLOUDEVENTS}{name}": str(value)
        for name, value in to_json(event).items()
        if name not in NOT_HEADERS and value is not None
    }
