"""Production orders from plan to confirmation, with their material and capacity.

The order's number may be left to the event's subject where the domain's table names no field for it.
"""

from typing import Annotated, Literal

from msgspec import Meta, field

from canonical.catalogue.entry import EventType
from canonical.values import (
    Code,
    Instant,
    ItemCode,
    Quantity,
    Reason,
    Revision,
    Seconds,
    StorageCode,
    Text,
    Value,
    WorkCentreCode,
)

__all__ = [
    "TYPES",
    "BatchCompleted",
    "CapacityChanged",
    "Component",
    "MaterialConsumed",
    "MaterialProduced",
    "Operation",
    "OperationCompleted",
    "OperationStarted",
    "OrderCompleted",
    "OrderCreated",
    "OrderReleased",
    "OrderRescheduled",
    "OrderStatusChanged",
]

Percent = Annotated[float, Meta(ge=0, title="percentage", extra_json_schema={"x-unit": "%"})]


class Component(Value, frozen=True, kw_only=True):
    """Material that an order needs; `operation` where it is used, `storage` where it is drawn from."""

    item: ItemCode
    quantity: Quantity
    line: Code | None = None
    operation: Code | None = None
    storage: StorageCode | None = None
    lot: Code | None = None


class Operation(Value, frozen=True, kw_only=True):
    """A step of an order; planned `setup_time` and `run_time` in seconds, for the whole order."""

    operation: Code
    work_centre: WorkCentreCode | None = None
    text: Text | None = None
    setup_time: Seconds | None = None
    run_time: Seconds | None = None


class OrderCreated(Value, frozen=True, kw_only=True):
    """An order was planned (B2MML OperationsRequest)."""

    order: Code
    item: ItemCode
    quantity: Quantity
    planned_start: Instant
    planned_end: Instant
    bom_revision: Revision | None = None
    routing_revision: Revision | None = None
    sales_order: Code | None = None


class OrderReleased(OrderCreated, frozen=True, kw_only=True):
    """An order may be worked on, at a work centre (B2MML JobOrder)."""

    work_centre: WorkCentreCode
    components: tuple[Component, ...] | None = None
    operations: tuple[Operation, ...] | None = None


class OrderRescheduled(Value, frozen=True, kw_only=True):
    """An order's planned times moved (B2MML JobOrder change)."""

    old_start: Instant
    old_end: Instant
    new_start: Instant
    new_end: Instant
    reason: Reason
    cause: Code | None = None
    order: Code | None = None


class OrderStatusChanged(Value, frozen=True, kw_only=True):
    """An order was held, resumed, cancelled or closed (B2MML RequestState)."""

    status: Literal["held", "resumed", "cancelled", "closed"]
    reason: Reason
    by: Code | None = None
    order: Code | None = None


class OrderCompleted(Value, frozen=True, kw_only=True):
    """An order is done, with its yield and scrap (B2MML OperationsResponse)."""

    item: ItemCode
    good: Quantity
    scrap: Quantity
    completed_at: Instant
    lots: tuple[Code, ...] | None = None
    order: Code | None = None


class OperationStarted(Value, frozen=True, kw_only=True):
    """Work on a step of an order began (B2MML JobResponse)."""

    operation: Code
    work_centre: WorkCentreCode
    started_at: Instant
    operator: Code | None = None
    order: Code | None = None


class OperationCompleted(Value, frozen=True, kw_only=True):
    """A step of an order is done (B2MML SegmentResponse); actual `setup_time` and `run_time` in seconds."""

    operation: Code
    good: Quantity
    scrap: Quantity
    rework: Quantity
    completed_at: Instant
    setup_time: Seconds | None = None
    run_time: Seconds | None = None
    order: Code | None = None


class BatchCompleted(Value, frozen=True, kw_only=True):
    """A batch is done (BatchML). `yield` is what came out of what was expected, in percent."""

    batch: Code
    order: Code
    item: ItemCode
    lot: Code
    quantity: Quantity
    completed_at: Instant
    recipe: Code | None = None
    yield_: Percent | None = field(name="yield", default=None)


class MaterialConsumed(Value, frozen=True, kw_only=True):
    """An order used material (B2MML MaterialActual). `backflush`: booked by plan, not as seen."""

    item: ItemCode
    quantity: Quantity
    consumed_at: Instant
    lot: Code | None = None
    bin: Code | None = None
    backflush: bool | None = None
    order: Code | None = None


class MaterialProduced(Value, frozen=True, kw_only=True):
    """An order made material (B2MML MaterialActual; EPCIS TransformationEvent).

    `use` says what it is: `produced`, or a by-product, co-product or scrap.
    """

    item: ItemCode
    quantity: Quantity
    lot: Code
    use: Literal["produced", "by_product", "co_product", "scrap"]
    serials: tuple[Code, ...] | None = None
    order: Code | None = None


class CapacityChanged(Value, frozen=True, kw_only=True):
    """A work centre can do more or less than planned, for a while (B2MML OperationsCapability)."""

    work_centre: WorkCentreCode
    from_: Instant = field(name="from")
    to: Instant
    available_percent: Percent
    reason: Reason | None = None


TYPES = (
    EventType(
        suffix="production.order.created",
        domain="production",
        key="O",
        model=OrderCreated,
        subject="order",
        summary="A production order was planned.",
    ),
    EventType(
        suffix="production.order.released",
        domain="production",
        key="O",
        model=OrderReleased,
        subject="order",
        summary="A production order may be worked on.",
    ),
    EventType(
        suffix="production.order.rescheduled",
        domain="production",
        key="O",
        model=OrderRescheduled,
        subject="order",
        summary="A production order's planned times moved.",
    ),
    EventType(
        suffix="production.order.status_changed",
        domain="production",
        key="O",
        model=OrderStatusChanged,
        subject="order",
        summary="A production order was held, resumed, cancelled or closed.",
    ),
    EventType(
        suffix="production.order.completed",
        domain="production",
        key="O",
        model=OrderCompleted,
        subject="order",
        summary="A production order is done.",
    ),
    EventType(
        suffix="production.operation.started",
        domain="production",
        key="O",
        model=OperationStarted,
        subject="order",
        summary="Work on a step of an order began.",
    ),
    EventType(
        suffix="production.operation.completed",
        domain="production",
        key="O",
        model=OperationCompleted,
        subject="order",
        summary="A step of an order is done.",
    ),
    EventType(
        suffix="production.batch.completed",
        domain="production",
        key="O",
        model=BatchCompleted,
        subject="order",
        summary="A batch is done.",
    ),
    EventType(
        suffix="production.material.consumed",
        domain="production",
        key="O",
        model=MaterialConsumed,
        subject="order",
        summary="An order used material.",
    ),
    EventType(
        suffix="production.material.produced",
        domain="production",
        key="O",
        model=MaterialProduced,
        subject="order",
        summary="An order made material.",
    ),
    EventType(
        suffix="production.capacity.changed",
        domain="production",
        key="E",
        model=CapacityChanged,
        subject="work_centre",
        summary="A work centre can do more or less than planned, for a while.",
    ),
)
