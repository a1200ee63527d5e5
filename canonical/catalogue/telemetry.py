"""What sensors and controllers measure, and whether they can be heard at all."""

from typing import Annotated, Literal

from msgspec import Meta, field

from canonical.catalogue.entry import EventType
from canonical.values import Code, EquipmentCode, Instant, UomCode, Value

__all__ = ["TYPES", "Gap", "MeasurementRecorded", "SourceChanged"]

Scalar = str | int | float | bool | None


class MeasurementRecorded(Value, frozen=True, kw_only=True):
    """One value of one tag, at the time its source gave it (OPC UA DataValue, Sparkplug metric).

    `value` is a number, a text, a boolean, null (no value: see `quality`), or an array of these, of one or
    two dimensions. A number that JSON cannot write (NaN, infinity) is null with quality `bad`. `uom` is C62
    (one) where the value has no unit. `status_code` is the OPC UA StatusCode, an unsigned 32-bit number.
    `historical`: read from the source's history or its buffer, not live.
    """

    tag: Code
    value: Scalar | list[Scalar | list[Scalar]]
    uom: UomCode
    quality: Literal["good", "uncertain", "bad", "stale"]
    source_time: Instant
    status_code: Annotated[int, Meta(ge=0, le=0xFFFFFFFF)] | None = None
    historical: bool | None = None
    equipment: EquipmentCode | None = None


class Gap(Value, frozen=True, kw_only=True):
    """Values that are lost, or may be: between when and when, and why. `tags`: which, if not all of them."""

    from_: Instant = field(name="from")
    to: Instant
    reason: Code
    tags: list[Code] | None = None


class SourceChanged(Value, frozen=True, kw_only=True):
    """A source of telemetry came, went, or fell silent (Sparkplug BIRTH and DEATH, OPC UA session).

    `session` names the connection that the status is about: bdSeq for Sparkplug, the session for OPC UA.
    `last_seq` is the last sequence number received; `gap`: values were lost, or may have been.
    """

    status: Literal["online", "offline", "stale"]
    session: Code
    last_seq: Annotated[int, Meta(ge=0)] | None = None
    gap: Gap | None = None
    equipment: EquipmentCode | None = None


TYPES = (
    EventType(
        suffix="telemetry.measurement.recorded",
        domain="telemetry",
        key="E",
        model=MeasurementRecorded,
        subject="equipment",
        ordered=False,
        summary="A tag has a new value.",
    ),
    EventType(
        suffix="telemetry.source.changed",
        domain="telemetry",
        key="E",
        model=SourceChanged,
        subject="equipment",
        ordered=False,
        summary="A source of telemetry went online, offline or stale.",
    ),
)
