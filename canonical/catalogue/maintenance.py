"""Work orders on equipment, and the parts they need."""

from typing import Annotated, Literal

from msgspec import Meta

from canonical.catalogue.entry import EventType
from canonical.values import (
    Code,
    EquipmentCode,
    Instant,
    ItemCode,
    Money,
    PlantCode,
    Quantity,
    Seconds,
    Value,
)

__all__ = ["TYPES", "OrderChanged", "OrderCompleted", "PartRequested", "SparePart"]


class SparePart(Value, frozen=True, kw_only=True):
    """A part that a work order needs or used."""

    item: ItemCode
    quantity: Quantity


class OrderChanged(Value, frozen=True, kw_only=True):
    """A work order was opened or moved on (B2MML WorkRequest).

    `asset` is the equipment. `status` is a B2MML RequestState, in lower case. `priority` counts from 1, the
    most urgent. `downtime` names the stoppage that it answers.
    """

    maintenance_order: Code
    asset: EquipmentCode
    type: Code
    status: Literal[
        "forecast",
        "released",
        "waiting",
        "cancelled",
        "ready",
        "running",
        "completed",
        "aborted",
        "held",
        "suspended",
        "closed",
    ]
    priority: Annotated[int, Meta(ge=1)]
    parts: tuple[SparePart, ...] | None = None
    downtime: Code | None = None


class OrderCompleted(Value, frozen=True, kw_only=True):
    """A work order is done. `labour` is working time in seconds, summed over the people."""

    maintenance_order: Code
    started_at: Instant
    completed_at: Instant
    failure_code: Code
    labour: Seconds | None = None
    parts: tuple[SparePart, ...] | None = None
    cost: Money | None = None
    asset: EquipmentCode | None = None


class PartRequested(Value, frozen=True, kw_only=True):
    """A work order needs a part; `source_plant` is where it should come from."""

    maintenance_order: Code
    item: ItemCode
    quantity: Quantity
    required_by: Instant
    source_plant: PlantCode | None = None


TYPES = (
    EventType(
        suffix="maintenance.order.changed",
        domain="maintenance",
        key="E",
        model=OrderChanged,
        subject="asset",
        summary="A work order was opened or moved on.",
    ),
    EventType(
        suffix="maintenance.order.completed",
        domain="maintenance",
        key="E",
        model=OrderCompleted,
        subject="asset",
        summary="A work order is done.",
    ),
    EventType(
        suffix="maintenance.part.requested",
        domain="maintenance",
        key="M",
        model=PartRequested,
        subject="item",
        summary="A work order needs a part.",
    ),
)
