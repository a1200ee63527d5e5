"""Inspections, holds, nonconformances and what is done about them."""

from typing import Literal

from canonical.catalogue.entry import EventType
from canonical.values import (
    Code,
    Day,
    DecimalText,
    Instant,
    ItemCode,
    Location,
    PlantCode,
    Quantity,
    Reason,
    SupplierCode,
    UomCode,
    Value,
)

__all__ = [
    "TYPES",
    "CapaChanged",
    "Characteristic",
    "DriftDetected",
    "HoldContained",
    "HoldPlaced",
    "HoldReleased",
    "InspectionCompleted",
    "NonconformanceRaised",
]


class Characteristic(Value, frozen=True, kw_only=True):
    """One inspected property; `value` is a decimal number as text, or words where it was not measured.

    `lsl` and `usl` are the lower and upper specification limits, in the same unit as the value.
    """

    id: Code
    value: str
    uom: UomCode | None = None
    lsl: DecimalText | None = None
    usl: DecimalText | None = None


class InspectionCompleted(Value, frozen=True, kw_only=True):
    """A lot was inspected (B2MML TestResult; EDIFACT QALITY, X12 863)."""

    inspection: Code
    item: ItemCode
    lot: Code
    result: Literal["passed", "failed", "conditional"]
    at: Instant
    characteristics: tuple[Characteristic, ...] | None = None


class HoldPlaced(Value, frozen=True, kw_only=True):
    """Stock may not be used until someone decides (disposition Restricted)."""

    hold: Code
    item: ItemCode
    lots: tuple[Code, ...]
    quantity: Quantity
    reason: Reason
    placed_at: Instant
    by: Code
    locations: tuple[Location, ...] | None = None


class HoldContained(Value, frozen=True, kw_only=True):
    """Held stock is blocked wherever it lies; `escaped` is what had already left."""

    hold: Code
    contained_at: Instant
    blocked: Quantity
    escaped: Quantity
    sites: tuple[PlantCode, ...] | None = None


class HoldReleased(Value, frozen=True, kw_only=True):
    """A hold was decided on (disposition UnRestricted); `partial_quantity` when not all of it."""

    hold: Code
    decision: Literal["release", "rework", "scrap", "return", "use_as_is"]
    by: Code
    approval: Code
    at: Instant
    partial_quantity: Quantity | None = None


class NonconformanceRaised(Value, frozen=True, kw_only=True):
    """Something does not conform. `origin` says where it was found: a supplier, an operation, a customer."""

    nonconformance: Code
    item: ItemCode
    quantity: Quantity
    defect: Code
    severity: Literal["minor", "major", "critical"]
    origin: Code
    lot: Code | None = None
    supplier: SupplierCode | None = None


class CapaChanged(Value, frozen=True, kw_only=True):
    """A corrective or preventive action moved on."""

    capa: Code
    nonconformances: tuple[Code, ...]
    status: Literal["open", "in_progress", "verifying", "closed", "cancelled"]
    owner: Code
    due: Day
    effectiveness: Literal["pending", "effective", "ineffective"] | None = None


class DriftDetected(Value, frozen=True, kw_only=True):
    """A characteristic drifts (derived). `statistic` went past `limit`, both as `method` computes them."""

    characteristic: Code
    method: Code
    statistic: float
    limit: float
    model: Code | None = None
    item: ItemCode | None = None


TYPES = (
    EventType(
        suffix="quality.inspection.completed",
        domain="quality",
        key="H",
        model=InspectionCompleted,
        subject="inspection",
        summary="A lot was inspected.",
    ),
    EventType(
        suffix="quality.hold.placed",
        domain="quality",
        key="H",
        model=HoldPlaced,
        subject="hold",
        summary="Stock may not be used until someone decides.",
    ),
    EventType(
        suffix="quality.hold.contained",
        domain="quality",
        key="H",
        model=HoldContained,
        subject="hold",
        summary="Held stock is blocked wherever it lies.",
    ),
    EventType(
        suffix="quality.hold.released",
        domain="quality",
        key="H",
        model=HoldReleased,
        subject="hold",
        summary="A hold was decided on.",
    ),
    EventType(
        suffix="quality.nonconformance.raised",
        domain="quality",
        key="H",
        model=NonconformanceRaised,
        subject="nonconformance",
        summary="Something does not conform.",
    ),
    EventType(
        suffix="quality.capa.changed",
        domain="quality",
        key="H",
        model=CapaChanged,
        subject="capa",
        summary="A corrective or preventive action moved on.",
    ),
    EventType(
        suffix="quality.drift.detected",
        domain="quality",
        key="M",
        model=DriftDetected,
        subject="item",
        summary="A characteristic drifts.",
    ),
)
