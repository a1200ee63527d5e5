"""What customers order and will order."""

from typing import Literal

from canonical.catalogue.entry import EventType
from canonical.values import Code, CustomerCode, Day, ItemCode, Quantity, Revision, Value

__all__ = ["TYPES", "DemandBucket", "DemandChanged", "OrderChanged", "SalesOrderLine"]


class SalesOrderLine(Value, frozen=True, kw_only=True):
    """A line of a sales order: what the customer asked for, and what was promised."""

    line: Code
    item: ItemCode
    quantity: Quantity
    requested_date: Day | None = None
    promised_date: Day | None = None


class OrderChanged(Value, frozen=True, kw_only=True):
    """A sales order is new, different or cancelled (EDIFACT ORDERS, X12 850).

    `priority` counts from 1, the most urgent, or is the customer system's own word.
    """

    sales_order: Code
    revision: Revision
    customer: CustomerCode
    change: Literal["created", "changed", "cancelled"]
    lines: tuple[SalesOrderLine, ...]
    priority: int | str | None = None


class DemandBucket(Value, frozen=True, kw_only=True):
    """The demand of a day, or of the `period` that begins with it."""

    date: Day
    quantity: Quantity
    period: Literal["day", "week", "month", "flexible"] | None = None


class DemandChanged(Value, frozen=True, kw_only=True):
    """A new forecast for an item (EDIFACT SLSRPT, X12 852). `source` says who or what made it."""

    item: ItemCode
    version: Revision
    buckets: tuple[DemandBucket, ...]
    source: Code | None = None


TYPES = (
    EventType(
        suffix="sales.order.changed",
        domain="sales",
        key="D",
        model=OrderChanged,
        subject="sales_order",
        summary="A sales order is new, different or cancelled.",
    ),
    EventType(
        suffix="sales.demand.changed",
        domain="sales",
        key="M",
        model=DemandChanged,
        subject="item",
        summary="There is a new forecast for an item.",
    ),
)
