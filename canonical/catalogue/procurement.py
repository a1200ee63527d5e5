"""What is bought: orders, schedules, despatch advices, receipts, invoices.

A `price` is for one unit of the line's own quantity; the `price` of an order is its total.
"""

from typing import ClassVar, Literal

from canonical.catalogue.entry import EventType
from canonical.values import (
    Code,
    Day,
    Gtin,
    Instant,
    ItemCode,
    Money,
    Quantity,
    Reason,
    Revision,
    Seconds,
    Sscc,
    StorageCode,
    SupplierCode,
    Value,
)

__all__ = [
    "TYPES",
    "AsnDelayed",
    "AsnLine",
    "AsnReceived",
    "Bucket",
    "InvoiceLine",
    "InvoiceReceived",
    "LogisticUnit",
    "OrderIssued",
    "OrderLine",
    "OrderResponded",
    "ReceiptLine",
    "ReceiptPosted",
    "ResponseLine",
    "ScheduleReleased",
]


def _one_of(value: Value, choices: tuple[tuple[str, ...], ...]) -> None:
    """Raises ValueError unless all fields of at least one of `choices` are given."""
    if not any(all(getattr(value, name) is not None for name in choice) for choice in choices):
        raise ValueError("needs " + ", or ".join(" and ".join(choice) for choice in choices))


class OrderLine(Value, frozen=True, kw_only=True):
    """A line of an order; `action` is what a change order does to it (EDIFACT 1229, X12 670)."""

    line: Code
    item: ItemCode
    quantity: Quantity
    supplier_item: Code | None = None
    gtin: Gtin | None = None
    requested_date: Day | None = None
    price: Money | None = None
    action: Literal["add", "change", "delete"] | None = None


class OrderIssued(Value, frozen=True, kw_only=True):
    """An order, or a change to one, went to a supplier (EDIFACT ORDERS, ORDCHG; X12 850, 860)."""

    purchase_order: Code
    revision: Revision
    supplier: SupplierCode
    lines: tuple[OrderLine, ...]
    price: Money | None = None
    ship_to: StorageCode | None = None


class ResponseLine(Value, frozen=True, kw_only=True):
    """What a supplier says to a line; a rejected one has no confirmed quantity or date."""

    line: Code
    action: Literal["accepted", "changed", "rejected", "backordered"]
    item: ItemCode | None = None
    confirmed_quantity: Quantity | None = None
    confirmed_date: Day | None = None
    reason: Reason | None = None


class OrderResponded(Value, frozen=True, kw_only=True):
    """A supplier answered an order (EDIFACT ORDRSP, X12 855)."""

    purchase_order: Code
    lines: tuple[ResponseLine, ...]
    reason: Reason | None = None
    supplier: SupplierCode | None = None


class Bucket(Value, frozen=True, kw_only=True):
    """A quantity for a day, or for the `period` that begins with it; `firmness` is how binding it is.

    EDIFACT 4017: 1 firm, 2 manufacture and material, 3 material, 4 forecast.
    """

    date: Day
    quantity: Quantity
    firmness: Literal["immediate", "firm", "manufacture_and_material", "material", "forecast"]
    period: Literal["day", "week", "month", "flexible"] | None = None


class ScheduleReleased(Value, frozen=True, kw_only=True):
    """A delivery schedule for an item (EDIFACT DELFOR, DELJIT; X12 830, 862).

    `cumulative_received` is what the customer had received in all when the schedule was made.
    """

    schedule: Code
    item: ItemCode
    buckets: tuple[Bucket, ...]
    cumulative_received: Quantity | None = None
    supplier: SupplierCode | None = None
    ship_to: StorageCode | None = None


class LogisticUnit(Value, frozen=True, kw_only=True):
    """A pallet, box or other unit with an SSCC; `parent` is the unit that it stands on or in.

    `package` is its kind, a UN/ECE Rec 21 code.
    """

    sscc: Sscc
    parent: Sscc | None = None
    package: Code | None = None
    weight: Quantity | None = None


class AsnLine(Value, frozen=True, kw_only=True):
    """An item of a despatch advice; `sscc` is the logistic unit that it is packed in."""

    item: ItemCode
    quantity: Quantity
    line: Code | None = None
    supplier_item: Code | None = None
    gtin: Gtin | None = None
    purchase_order: Code | None = None
    purchase_order_line: Code | None = None
    lot: Code | None = None
    sscc: Sscc | None = None


class AsnReceived(Value, frozen=True, kw_only=True):
    """A supplier says what is on its way (EDIFACT DESADV, X12 856).

    `sscc_tree` lists the logistic units (EDIFACT CPS and PAC, X12 HL levels T and P), each naming its parent.
    """

    asn: Code
    supplier: SupplierCode
    ship_to: StorageCode
    shipped_at: Instant
    eta: Instant
    lines: tuple[AsnLine, ...]
    sscc_tree: tuple[LogisticUnit, ...] | None = None
    weight: Quantity | None = None


class AsnDelayed(Value, frozen=True, kw_only=True):
    """A delivery comes later than announced (EDIFACT IFTSTA, X12 214, or derived).

    It is an ASN, or a line of an order that has none yet. `delay` in seconds; `score` from 0 to 1 where a
    model foresaw it. `detected_by` names who or what noticed.
    """

    ANY_OF: ClassVar[tuple[tuple[str, ...], ...]] = (("asn",), ("purchase_order", "line"))

    old_eta: Instant
    new_eta: Instant
    delay: Seconds
    detected_by: Code
    asn: Code | None = None
    purchase_order: Code | None = None
    line: Code | None = None
    reason: Reason | None = None
    score: float | None = None
    supplier: SupplierCode | None = None

    def __post_init__(self) -> None:
        _one_of(self, self.ANY_OF)


class ReceiptLine(Value, frozen=True, kw_only=True):
    """An item of a receipt; `rejected` is apart from `received`, which is accepted."""

    item: ItemCode
    received: Quantity
    rejected: Quantity
    line: Code | None = None
    purchase_order: Code | None = None
    purchase_order_line: Code | None = None
    lot: Code | None = None
    reason: Reason | None = None


class ReceiptPosted(Value, frozen=True, kw_only=True):
    """Goods were received against an order or an ASN (EDIFACT RECADV, X12 861)."""

    ANY_OF: ClassVar[tuple[tuple[str, ...], ...]] = (("purchase_order",), ("asn",))

    receipt: Code
    lines: tuple[ReceiptLine, ...]
    at: Instant
    purchase_order: Code | None = None
    asn: Code | None = None
    lots: tuple[Code, ...] | None = None
    supplier: SupplierCode | None = None

    def __post_init__(self) -> None:
        _one_of(self, self.ANY_OF)


class InvoiceLine(Value, frozen=True, kw_only=True):
    """A line of an invoice; `amount` is for the whole line."""

    item: ItemCode
    quantity: Quantity
    line: Code | None = None
    price: Money | None = None
    amount: Money | None = None
    purchase_order_line: Code | None = None


class InvoiceReceived(Value, frozen=True, kw_only=True):
    """A supplier's invoice (EDIFACT INVOIC, X12 810). `match` is how it compares with order and receipt."""

    invoice: Code
    purchase_order: Code
    lines: tuple[InvoiceLine, ...]
    total: Money
    match: Literal["matched", "price_variance", "quantity_variance", "unmatched"] | None = None
    supplier: SupplierCode | None = None


TYPES = (
    EventType(
        suffix="procurement.order.issued",
        domain="procurement",
        key="D",
        model=OrderIssued,
        subject="purchase_order",
        summary="An order, or a change to one, went to a supplier.",
    ),
    EventType(
        suffix="procurement.order.responded",
        domain="procurement",
        key="D",
        model=OrderResponded,
        subject="purchase_order",
        summary="A supplier answered an order.",
    ),
    EventType(
        suffix="procurement.schedule.released",
        domain="procurement",
        key="D",
        model=ScheduleReleased,
        subject="schedule",
        summary="A delivery schedule was released.",
    ),
    EventType(
        suffix="procurement.asn.received",
        domain="procurement",
        key="D",
        model=AsnReceived,
        subject="asn",
        summary="A supplier says what is on its way.",
    ),
    EventType(
        suffix="procurement.asn.delayed",
        domain="procurement",
        key="D",
        model=AsnDelayed,
        subject="asn | purchase_order",
        summary="A delivery comes later than announced.",
    ),
    EventType(
        suffix="procurement.receipt.posted",
        domain="procurement",
        key="D",
        model=ReceiptPosted,
        subject="receipt",
        summary="Goods were received.",
    ),
    EventType(
        suffix="procurement.invoice.received",
        domain="procurement",
        key="D",
        model=InvoiceReceived,
        subject="invoice",
        summary="A supplier's invoice came in.",
    ),
)
