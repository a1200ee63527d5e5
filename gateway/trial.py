"""What stands in for the hub when a message is only tried: nothing is kept, nothing is sent.

The way is the hub's own: ``router.ingest`` takes the message in, over a journal that forgets, and what a
route makes of an event is what it would hand to its sink.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, cast

import msgspec
from msgspec import Struct

from canonical.errors import Invalid
from canonical.event import Event
from canonical.ports import Delivery, Outcome, RawMessage
from gateway.comparing import Text
from router.aggregating import Collected
from router.crosswalk import Crosswalk
from router.enrichment import Bare, ReadModels
from router.ingest import Ingest, Intake
from router.journal import IngestBatch, Journal, Message
from router.numbering import Unnumbered
from router.routes import Route
from router.splitting import Parts

__all__ = ["Made", "Silent", "made", "made_each", "taken"]

_REFERENCE: Final = "1"
"""The control reference of interchanges, which the hub would count up."""


class Made(Struct, frozen=True, kw_only=True):
    """A delivery that a route would make. ``value`` is its payload as JSON, or as ``Text``."""

    route: str
    value: Any
    payload: bytes
    content_type: str
    target: Mapping[str, Any]

    @property
    def text(self) -> str:
        """The payload for people."""
        return self.payload.decode("utf-8", errors="replace")


async def taken(
    intake: Intake, raw: RawMessage, clock: Callable[[], datetime]
) -> tuple[list[Event], list[Invalid]]:
    """(events, faults) of a message, as if it came in now. The ledgers are not asked."""
    journal = _Forgetful()
    ingest = Ingest(cast(Journal, journal), journal, clock, Silent())
    ingest.add(intake)
    await ingest.submit(intake.name, [raw])
    events = [event for message in journal.messages for event in message.events]
    return events, [fault for message in journal.messages for fault in message.invalid]


async def made(
    route: Route, event: Event, crosswalk: Crosswalk, models: ReadModels, clock: Callable[[], datetime]
) -> Made | None:
    """What the route would send, or None where its condition leaves the event out; the parts of one that
    splits as a list.

    Raises Unresolved, or another PermanentError when the mapping fails; NotKnown where it would wait for what
    the read models do not know yet, and TransientError when they cannot be asked.
    """
    each = await made_each(route, event, crosswalk, models, clock)
    if len(each) < 2:
        return each[0] if each else None
    return Made(
        route=route.name,
        value=[part.value for part in each],
        payload=b"\n".join(part.payload for part in each),
        content_type=each[0].content_type,
        target=each[0].target,
    )


async def made_each(
    route: Route, event: Event, crosswalk: Crosswalk, models: ReadModels, clock: Callable[[], datetime]
) -> list[Made]:
    """The deliveries that the route would make: one, none, or one per part; none of an event that
    is collected. Raises like ``made``."""
    delivery = route.deliver(event, crosswalk)
    if isinstance(delivery, Bare):
        questions = {question for question in delivery.questions if question is not None}
        delivery = route.complete(delivery, await models.find(questions), crosswalk)
    if delivery is None or isinstance(delivery, Collected):
        return []
    parts = delivery.parts if isinstance(delivery, Parts) else (delivery,)
    return [_shown(route, part, clock) for part in parts]


def _shown(route: Route, delivery: Delivery, clock: Callable[[], datetime]) -> Made:
    payload = delivery.payload
    value: Any = None
    if isinstance(route.formatter, Unnumbered):
        value = msgspec.json.decode(payload)
        payload = route.formatter.formatter.interchange(value, _REFERENCE, clock())
    elif "json" in delivery.content_type:
        value = msgspec.json.decode(payload)
    return Made(
        route=route.name,
        value=Text(payload.decode("utf-8", errors="replace")) if value is None else value,
        payload=payload,
        content_type=delivery.content_type,
        target=delivery.target,
    )


class _Forgetful:
    """A journal for one message: takes it, and counts nothing."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    async def append(self, batch: IngestBatch, *, urgent: bool = False) -> Sequence[Outcome]:
        """Keeps the messages until somebody looks."""
        self.messages += batch.messages
        return [Outcome(status="accepted" if message.events else "ignored") for message in batch.messages]

    def ingested(self, adapter: str, messages: Sequence[Message], outcomes: Sequence[Outcome]) -> None:
        """Nobody counts."""


class Silent:
    """A log of nothing: what is wrong is told otherwise."""

    def debug(self, event: str, **fields: Any) -> None:
        """Says nothing."""

    info = warning = error = debug
