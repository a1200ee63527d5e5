"""Holds, shipments, work orders and sales orders: services that are hardly more than their fields."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.projections.services.entry import Cell, Cells, seconds
from gateway.projections.services.fold import Fold
from gateway.projections.services.service import Filter, Part, Reads, Service, fields

__all__ = ["HOLDS", "MAINTENANCE_ORDERS", "SALES_ORDERS", "SHIPMENTS"]

_PLACED = Reads(
    "quality.hold.placed",
    fields("item", "lots", "quantity", "reason", "placed_at", "locations", placed_by="by"),
)
_CONTAINED = Reads("quality.hold.contained", fields("contained_at", "blocked", "escaped", "sites"))
_RELEASED = Reads(
    "quality.hold.released",
    fields("decision", "approval", "partial_quantity", released_by="by", released_at="at"),
)


def _hold(fold: Fold, cells: Cells) -> Iterator[tuple[str, Cells]]:
    released = fold.of(_RELEASED.type)
    whole = any(entry.data.get("partial_quantity") is None for entry in released)
    cells["open"] = Cell(not whole)
    cells["status"] = Cell(
        "released"
        if whole
        else "partly_released"
        if released
        else "contained"
        if fold.of(_CONTAINED.type)
        else "placed"
    )
    if whole:
        fold.use(next(entry for entry in released if entry.data.get("partial_quantity") is None))
    yield "", cells


HOLDS = Service(
    name="quality/holds",
    domain="quality",
    summary="Quality holds",
    rule="By position. Open until a release that is not partial: a hold never ends by itself.",
    identity=(Part("hold", ("hold", "subject")),),
    reads=(_PLACED, _CONTAINED, _RELEASED),
    derive=_hold,
    computed={
        "status": {"enum": ["placed", "contained", "partly_released", "released"]},
        "open": {"type": "boolean"},
    },
    example=(
        (
            "quality.hold.placed",
            {
                "hold": "H-9",
                "item": "100020",
                "lots": ["L-1"],
                "quantity": {"value": "40", "uom": "H87"},
                "reason": {"code": "surface"},
                "placed_at": "2026-03-31T09:00:00Z",
                "by": "qms",
            },
        ),
    ),
    columns={"hold": "hold", "item": "item", "status": "status", "is_open": "open", "lots": "lots"},
    filters=(
        Filter(name="hold", kind="text", about="The hold's number."),
        Filter(
            name="item", kind="code", domain="item", about="The item's canonical code, or the source's own."
        ),
        Filter(name="lot", kind="among", about="A lot that it concerns.", column="lots"),
        Filter(name="open", kind="flag", about="Whether it still holds.", column="is_open"),
    ),
)

SHIPMENTS = Service(
    name="shipments",
    domain="logistics",
    summary="Shipments",
    rule="The milestone with the latest `at`.",
    identity=(Part("shipment", ("shipment", "subject")),),
    reads=(
        Reads(
            "logistics.shipment.milestone", fields("milestone", "at", "eta", "carrier", "sscc", "un_locode")
        ),
    ),
    stamp="at",
    example=(
        (
            "logistics.shipment.milestone",
            {"shipment": "S-31", "milestone": "DEP", "at": "2026-03-31T08:00:00Z", "un_locode": "DEHAM"},
        ),
    ),
    columns={"shipment": "shipment", "milestone": "milestone", "carrier": "carrier"},
    filters=(
        Filter(name="shipment", kind="text", about="The shipment's number."),
        Filter(name="milestone", kind="text", about="The carrier's status code."),
        Filter(name="carrier", kind="code", domain="partner", about="The carrier."),
    ),
)

_WORK = Reads("maintenance.order.changed", fields("asset", "type", "status", "priority", "parts", "downtime"))
_WORKED = Reads(
    "maintenance.order.completed",
    fields("started_at", "completed_at", "failure_code", "labour", "cost", used_parts="parts"),
    {"status": "completed"},
)

MAINTENANCE_ORDERS = Service(
    name="maintenance-orders",
    domain="maintenance",
    summary="Maintenance orders",
    rule="By position.",
    identity=(Part("maintenance_order", ("maintenance_order",)),),
    reads=(_WORK, _WORKED),
    example=(
        (
            "maintenance.order.changed",
            {
                "maintenance_order": "M-88",
                "asset": "acme/aachen/press-shop/press-1",
                "type": "breakdown",
                "status": "running",
                "priority": 1,
            },
        ),
    ),
    columns={"maintenance_order": "maintenance_order", "asset": "asset", "status": "status"},
    filters=(
        Filter(name="maintenance_order", kind="text", about="The order's number."),
        Filter(name="asset", kind="path", domain="equipment", about="The equipment, or all below a path."),
        Filter(name="status", kind="text", about="A B2MML RequestState in lower case, such as `running`."),
    ),
)


def _sales(fold: Fold, cells: Cells) -> Iterator[tuple[str, Cells]]:
    lines = cells["lines"].value
    days = [day for line in lines if (day := line.get("promised_date") or line.get("requested_date"))]
    cells["_due"] = seconds(min(days)) if days else None
    cells["_open"] = cells["change"].value != "cancelled"
    yield "", cells


SALES_ORDERS = Service(
    name="sales-orders",
    domain="sales",
    summary="Sales orders",
    rule="By revision where it is a number, then by position.",
    identity=(Part("sales_order", ("sales_order", "subject")),),
    reads=(Reads("sales.order.changed", fields("revision", "customer", "change", "lines", "priority")),),
    stamp="revision",
    derive=_sales,
    example=(
        (
            "sales.order.changed",
            {
                "sales_order": "SO-7",
                "revision": 2,
                "customer": "C-100",
                "change": "changed",
                "lines": [
                    {
                        "line": "1",
                        "item": "100020",
                        "quantity": {"value": "5", "uom": "H87"},
                        "promised_date": "2026-04-20",
                    }
                ],
            },
        ),
    ),
    columns={"sales_order": "sales_order", "customer": "customer"},
    filters=(
        Filter(name="sales_order", kind="text", about="The order's number."),
        Filter(name="customer", kind="code", domain="customer", about="The customer."),
        Filter(name="due", kind="until", about="Promised, else requested, by then.", column="due"),
    ),
)
