"""Stock: balances, movements, transfers between plants, shortages."""

from msgspec import field

from canonical.catalogue.entry import EventType
from canonical.values import (
    Code,
    Day,
    Instant,
    ItemCode,
    Location,
    Money,
    PlantCode,
    Quantity,
    Reason,
    Sscc,
    StatusCode,
    Value,
)

__all__ = [
    "TYPES",
    "Adjusted",
    "BalanceReported",
    "Moved",
    "ReorderTriggered",
    "ShortageDetected",
    "TransferLine",
    "TransferReceived",
    "TransferReceivedLine",
    "TransferRequested",
    "TransferShipped",
]


class BalanceReported(Value, frozen=True, kw_only=True):
    """How much of an item lies at a place (EDIFACT INVRPT, X12 846). `reserved` is part of `on_hand`."""

    location: Location
    item: ItemCode
    on_hand: Quantity
    as_of: Instant
    lot: Code | None = None
    status: StatusCode | None = None
    reserved: Quantity | None = None


class Adjusted(Value, frozen=True, kw_only=True):
    """Stock was corrected by `delta`, which may be negative (cycle count). `count_ref` names the count."""

    location: Location
    item: ItemCode
    delta: Quantity
    reason: Reason
    posted_at: Instant
    lot: Code | None = None
    count_ref: Code | None = None


class Moved(Value, frozen=True, kw_only=True):
    """Stock went from one place to another (B2MML MaterialActual)."""

    from_: Location = field(name="from")
    to: Location
    item: ItemCode
    quantity: Quantity
    at: Instant
    lot: Code | None = None


class TransferLine(Value, frozen=True, kw_only=True):
    """An item of a transfer, as requested or as shipped."""

    item: ItemCode
    quantity: Quantity
    line: Code | None = None
    lot: Code | None = None


class TransferReceivedLine(Value, frozen=True, kw_only=True):
    """An item of a transfer as it arrived; `damaged` is apart from `received`, which is good."""

    item: ItemCode
    received: Quantity
    damaged: Quantity
    line: Code | None = None
    lot: Code | None = None


class TransferRequested(Value, frozen=True, kw_only=True):
    """One plant asks another for stock (stock transfer order); `approval` names the decision to allow it."""

    transfer: Code
    from_plant: PlantCode
    to_plant: PlantCode
    lines: tuple[TransferLine, ...]
    required_by: Instant
    approval: Code | None = None
    cost: Money | None = None


class TransferShipped(Value, frozen=True, kw_only=True):
    """A transfer left the giving plant (EPCIS business step shipping)."""

    transfer: Code
    lines: tuple[TransferLine, ...]
    shipped_at: Instant
    sscc: tuple[Sscc, ...] | None = None
    eta: Instant | None = None


class TransferVariance(Value, frozen=True, kw_only=True):
    """What differs between shipped and received, item by item; negative: less arrived."""

    item: ItemCode
    delta: Quantity
    lot: Code | None = None


class TransferReceived(Value, frozen=True, kw_only=True):
    """A transfer reached the asking plant (EPCIS business step receiving)."""

    transfer: Code
    lines: tuple[TransferReceivedLine, ...]
    received_at: Instant
    variance: tuple[TransferVariance, ...] | None = None


class ShortageDetected(Value, frozen=True, kw_only=True):
    """A plant will lack an item on a day (derived). `orders` are those that it stops."""

    item: ItemCode
    short_quantity: Quantity
    need_date: Day
    orders: tuple[Code, ...] | None = None


class ReorderTriggered(Value, frozen=True, kw_only=True):
    """An item's position fell to its reorder point (derived).

    `position` = on hand + inbound - reserved. `source` is where the replenishment should come from.
    """

    item: ItemCode
    position: Quantity
    reorder_point: Quantity
    suggested_quantity: Quantity
    source: Code | None = None


TYPES = (
    EventType(
        suffix="inventory.balance.reported",
        domain="inventory",
        key="M",
        model=BalanceReported,
        subject="item",
        summary="A stock balance was stated.",
    ),
    EventType(
        suffix="inventory.adjusted",
        domain="inventory",
        key="M",
        model=Adjusted,
        subject="item",
        summary="Stock was corrected.",
    ),
    EventType(
        suffix="inventory.moved",
        domain="inventory",
        key="M",
        model=Moved,
        subject="item",
        summary="Stock went from one place to another.",
    ),
    EventType(
        suffix="inventory.transfer.requested",
        domain="inventory",
        key="D",
        model=TransferRequested,
        subject="transfer",
        summary="One plant asks another for stock.",
    ),
    EventType(
        suffix="inventory.transfer.shipped",
        domain="inventory",
        key="D",
        model=TransferShipped,
        subject="transfer",
        summary="A transfer left the giving plant.",
    ),
    EventType(
        suffix="inventory.transfer.received",
        domain="inventory",
        key="D",
        model=TransferReceived,
        subject="transfer",
        summary="A transfer reached the asking plant.",
    ),
    EventType(
        suffix="inventory.shortage.detected",
        domain="inventory",
        key="M",
        model=ShortageDetected,
        subject="item",
        summary="A plant will lack an item.",
    ),
    EventType(
        suffix="inventory.reorder.triggered",
        domain="inventory",
        key="M",
        model=ReorderTriggered,
        subject="item",
        summary="An item's position fell to its reorder point.",
    ),
)
