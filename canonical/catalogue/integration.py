"""What the middleware itself did: interchanges, dead letters, replays, exceptions, service levels."""

from typing import Annotated, Any, Literal

from msgspec import Meta

from canonical.catalogue.entry import EventType
from canonical.values import Code, Instant, PlantCode, Seconds, Text, Value

__all__ = [
    "TYPES",
    "AggregateCompleted",
    "ExceptionChanged",
    "Finding",
    "InterchangeGroup",
    "InterchangeMessage",
    "InterchangeReceived",
    "MessageDeadLettered",
    "MessageReplayed",
    "SlaBreached",
]


class Finding(Value, frozen=True, kw_only=True):
    """A fault in an interchange; `position` counts segments or rows, `offset` bytes from the start."""

    code: Code
    severity: Literal["info", "warning", "error"]
    message: Text
    segment: str | None = None
    position: int | None = None
    line: int | None = None
    offset: int | None = None


class InterchangeMessage(Value, frozen=True, kw_only=True):
    """A message of an interchange (EDIFACT UNH, X12 ST), empty text where its header says nothing.

    `position` is that of its header among the segments of the file, `segments` how many it has.
    """

    type: str
    version: str
    reference: str
    position: int
    segments: int


class InterchangeGroup(Value, frozen=True, kw_only=True):
    """A functional group (EDIFACT UNG, X12 GS); an interchange without groups has one, which has no type."""

    messages: tuple[InterchangeMessage, ...]
    type: str | None = None
    reference: str | None = None
    version: str | None = None
    sender: str | None = None
    receiver: str | None = None


class InterchangeReceived(Value, frozen=True, kw_only=True):
    """An interchange came in and was judged (EDIFACT CONTRL; X12 TA1, 997).

    `sender` and `receiver` are as written in its envelope, `prepared` is its date and time there, digits
    only. `test`: it was marked as a test, which no live sink ever gets. An answer names the `groups`.
    """

    standard: Literal["edifact", "x12"]
    reference: Code
    sender: Code
    receiver: Code
    outcome: Literal["accepted", "rejected", "duplicate"]
    findings: tuple[Finding, ...] | None = None
    test: bool | None = None
    sender_qualifier: str | None = None
    receiver_qualifier: str | None = None
    prepared: str | None = None
    version: str | None = None
    groups: tuple[InterchangeGroup, ...] | None = None


class MessageDeadLettered(Value, frozen=True, kw_only=True):
    """A message could not be delivered and waits for people.

    `type` is null when it could not be read, `route` when it reached none. `payload_ref` finds what was sent.
    """

    message: Code
    type: Code | None
    route: Code | None
    stage: Literal["receiving", "processing", "sending"]
    error_class: Code
    error: Text
    attempts: Annotated[int, Meta(ge=0)]
    payload_ref: Code | None = None


class MessageReplayed(Value, frozen=True, kw_only=True):
    """Someone sent a dead letter on its way again; `edits` are JSON Patch operations (RFC 6902)."""

    message: Code
    by: Code
    reason: Text
    outcome: Code
    edits: tuple[dict[str, Any], ...] | None = None


class ExceptionChanged(Value, frozen=True, kw_only=True):
    """A business exception moved on; `priority` counts from 1, the most urgent, `summary` is for people."""

    exception: Code
    status: Literal["open", "assigned", "resolved", "reopened"]
    queue: Code
    priority: Annotated[int, Meta(ge=1)]
    resolution: Text | None = None
    summary: Text | None = None


class SlaBreached(Value, frozen=True, kw_only=True):
    """A service level was missed, or is kept again: `threshold` and `observed` in the metric's unit (a share,
    or seconds), `window` in seconds. Without `status` it was missed.
    """

    sla: Code
    metric: Code
    threshold: float
    observed: float
    window: Seconds
    plant: PlantCode | None = None
    domain: Code | None = None
    status: Literal["breached", "recovered"] | None = None


class AggregateCompleted(Value, frozen=True, kw_only=True):
    """A route has collected what belongs together, and delivers it as one.

    `items` are the data of the events, in the codes of the route's target, oldest first; `first_at` and
    `last_at` are when the first and the last was collected.
    """

    route: Code
    group: Code
    count: Annotated[int, Meta(ge=1)]
    why: Literal["count", "condition", "time"]
    first_at: Instant
    last_at: Instant
    items: tuple[Any, ...]


TYPES = (
    EventType(
        suffix="integration.interchange.received",
        domain="integration",
        key="D",
        model=InterchangeReceived,
        subject="sender/reference",
        summary="An interchange came in and was judged.",
    ),
    EventType(
        suffix="integration.message.dead_lettered",
        domain="integration",
        key="X",
        model=MessageDeadLettered,
        subject="message",
        summary="A message could not be delivered and waits for people.",
    ),
    EventType(
        suffix="integration.message.replayed",
        domain="integration",
        key="X",
        model=MessageReplayed,
        subject="message",
        summary="Someone sent a dead letter on its way again.",
    ),
    EventType(
        suffix="integration.exception.changed",
        domain="integration",
        key="X",
        model=ExceptionChanged,
        subject="exception",
        summary="A business exception moved on.",
    ),
    EventType(
        suffix="integration.sla.breached",
        domain="integration",
        key="X",
        model=SlaBreached,
        subject="sla",
        summary="A service level was missed, or is kept again.",
    ),
    EventType(
        suffix="integration.aggregate.completed",
        domain="integration",
        key="X",
        model=AggregateCompleted,
        subject="route/group",
        summary="A route has collected what belongs together, and delivers it as one.",
    ),
)
