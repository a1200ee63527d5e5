"""What machines do: states, stoppages, counts, alarms."""

from typing import Annotated, Literal

from msgspec import Meta

from canonical.catalogue.entry import EventType
from canonical.values import Code, EquipmentCode, Instant, Reason, Seconds, Text, Value

__all__ = [
    "TYPES",
    "AlarmChanged",
    "CountReported",
    "DowntimeEnded",
    "DowntimeStarted",
    "MachineState",
    "StateChanged",
]

MachineState = Literal[
    "aborted",
    "aborting",
    "clearing",
    "complete",
    "completing",
    "execute",
    "held",
    "holding",
    "idle",
    "resetting",
    "starting",
    "stopped",
    "stopping",
    "suspended",
    "suspending",
    "unholding",
    "unsuspending",
    "not_available",
    "not_executing",
    "out_of_service",
]
"""The states of PackML, and those of OPC UA for Machinery that PackML lacks (`executing` is `execute`)."""

Count = Annotated[int, Meta(ge=0, title="count of pieces")]


class StateChanged(Value, frozen=True, kw_only=True):
    """A machine entered another state (PackML StateCurrent, OPC UA Machinery item state).

    `previous` is null when it is not known. `raw_state` is what the machine itself said. `mode` is its mode
    of operation, `order` what it works on.
    """

    state: MachineState
    previous: MachineState | None
    entered_at: Instant
    mode: Code | None = None
    order: Code | None = None
    raw_state: str | int | None = None
    equipment: EquipmentCode | None = None


class DowntimeStarted(Value, frozen=True, kw_only=True):
    """A stoppage began (B2MML OperationsEvent). `downtime` identifies it; `estimated_duration` in seconds."""

    downtime: Code
    started_at: Instant
    planned: bool
    category: Code
    reason: Reason | None = None
    order: Code | None = None
    estimated_duration: Seconds | None = None
    equipment: EquipmentCode | None = None


class DowntimeEnded(Value, frozen=True, kw_only=True):
    """A stoppage is over (B2MML OperationsEvent). `duration` in seconds, whatever the calendar said."""

    downtime: Code
    started_at: Instant
    ended_at: Instant
    duration: Seconds
    planned: bool
    reason: Reason | None = None
    maintenance_order: Code | None = None
    equipment: EquipmentCode | None = None


class CountReported(Value, frozen=True, kw_only=True):
    """Pieces made in a window of time (PackML production counters): differences, not counter readings.

    `ideal_cycle`: seconds per piece at the ideal rate.
    """

    window_start: Instant
    window_end: Instant
    total: Count
    good: Count
    reject: Count
    order: Code | None = None
    ideal_cycle: Seconds | None = None
    equipment: EquipmentCode | None = None


class AlarmChanged(Value, frozen=True, kw_only=True):
    """An alarm came, went or was acknowledged (OPC UA Alarms and Conditions).

    `severity` from 1, for information, to 1000, catastrophic (OPC UA part 5, BaseEventType). `value` and
    `limit` are in the unit of the tag that the alarm watches.
    """

    alarm: Code
    active: bool
    severity: Annotated[int, Meta(ge=1, le=1000)]
    at: Instant
    message: Text | None = None
    value: str | int | float | bool | None = None
    limit: int | float | None = None
    acknowledged: bool | None = None
    equipment: EquipmentCode | None = None


TYPES = (
    EventType(
        suffix="equipment.state.changed",
        domain="equipment",
        key="E",
        model=StateChanged,
        subject="equipment",
        summary="A machine entered another state.",
    ),
    EventType(
        suffix="equipment.downtime.started",
        domain="equipment",
        key="E",
        model=DowntimeStarted,
        subject="equipment",
        summary="A stoppage began.",
    ),
    EventType(
        suffix="equipment.downtime.ended",
        domain="equipment",
        key="E",
        model=DowntimeEnded,
        subject="equipment",
        summary="A stoppage is over.",
    ),
    EventType(
        suffix="equipment.count.reported",
        domain="equipment",
        key="E",
        model=CountReported,
        subject="equipment",
        summary="Pieces were made in a window of time.",
    ),
    EventType(
        suffix="equipment.alarm.changed",
        domain="equipment",
        key="E",
        model=AlarmChanged,
        subject="equipment",
        summary="An alarm came, went or was acknowledged.",
    ),
)
