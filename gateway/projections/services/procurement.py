"""What is bought: purchase orders with what became of their lines, despatch advices, receipts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from canonical.event import Event
from gateway.projections.services.amounts import added, at_least
from gateway.projections.services.entry import Cell, Cells, Entry, seconds
from gateway.projections.services.fold import Fold
from gateway.projections.services.service import Filter, Part, Reads, Service, fields

__all__ = ["ASNS", "PURCHASE_ORDERS", "RECEIPTS"]

_SUPPLIER = Filter(
    name="supplier",
    kind="code",
    domain="supplier",
    about="The supplier's canonical code, or the source's own.",
)
_ISSUED = Reads(
    "procurement.order.issued", fields("revision", "supplier", "price", "ship_to"), keep=("lines",)
)
_RESPONDED = Reads("procurement.order.responded", fields(response_reason="reason"), keep=("lines",))
_LINE_DELAYED = Reads("procurement.asn.delayed", keep=("line", "new_eta"))
_RECEIVED = Reads("procurement.receipt.posted", keep=("lines", "purchase_order"))


def _orders(event: Event) -> Iterator[tuple[str, dict[str, Any]]]:
    """The purchase orders that an event is about; a receipt's lines may name several."""
    data = event.data
    named = {data.get("purchase_order")}
    if event.type == _RECEIVED.type:
        named |= {line.get("purchase_order") for line in data["lines"]}
    reads = next(each for each in PURCHASE_ORDERS.reads if each.type == event.type)
    wanted = {*reads.keep, *reads.fields.values()}
    for number in sorted(name for name in named if name):
        yield number, {name: value for name, value in data.items() if name in wanted}


def _order(fold: Fold, cells: Cells) -> Iterator[tuple[str, Cells]]:
    lines = _lines(fold)
    _answered(fold, lines)
    _delayed(fold, lines)
    _received(fold, lines)
    due = [day for line in lines.values() if line["open"].value and (day := _due(line)) is not None]
    cells["lines"] = [lines[number] for number in sorted(lines)]
    is_open = any(line["open"].value for line in lines.values())
    cells["open"] = Cell(is_open)
    cells["_due"] = min(due, default=None)
    cells["_open"] = is_open
    yield "", cells


def _lines(fold: Fold) -> dict[str, Cells]:
    """The lines: those of the last order that is whole, and what changes since then did to them."""
    lines: dict[str, Cells] = {}
    for entry in fold.of(_ISSUED.type):
        if not any(line.get("action") for line in entry.data["lines"]):
            lines = {}
        for line in entry.data["lines"]:
            number = line["line"]
            known = lines.get(number, {})
            lines[number] = known | {
                name: fold.cell(entry, f"lines[].{name}", value)
                for name, value in line.items()
                if value is not None and name != "action"
            }
            deleted = line.get("action") == "delete"
            lines[number] |= {"cancelled": Cell(deleted), "open": Cell(not deleted)}
    return lines


def _answered(fold: Fold, lines: dict[str, Cells]) -> None:
    """The supplier's last word on each line."""
    for entry in fold.of(_RESPONDED.type):
        for line in entry.data["lines"]:
            into = lines.setdefault(line["line"], {"line": Cell(line["line"]), "open": Cell(True)})
            for name in ("confirmed_quantity", "confirmed_date"):
                into.pop(name, None)
            into["answer"] = fold.cell(entry, "lines[].action", line["action"])
            if line["action"] == "rejected":
                into["open"] = Cell(False)
            into |= {
                name: fold.cell(entry, f"lines[].{name}", line[name])
                for name in ("confirmed_quantity", "confirmed_date")
                if line.get(name) is not None
            }


def _delayed(fold: Fold, lines: dict[str, Cells]) -> None:
    for entry in fold.of(_LINE_DELAYED.type):
        number = entry.data.get("line")
        if number in lines:
            lines[number]["eta"] = fold.cell(entry, "new_eta")


def _received(fold: Fold, lines: dict[str, Cells]) -> None:
    """What has come, by order line; where a receipt names none, by the item if only one line has it."""
    come: dict[str, list[dict[str, Any]]] = {}
    where: dict[str, Entry] = {}
    for entry in fold.of(_RECEIVED.type):
        for line in entry.data["lines"]:
            mine = line.get("purchase_order") or entry.data.get("purchase_order")
            number = line.get("purchase_order_line") or _by_item(lines, line["item"])
            if mine == fold.identity[0] and number in lines:
                come.setdefault(number, []).append(line["received"])
                where[number] = entry
                fold.use(entry)
    for number, quantities in come.items():
        total, line = added(quantities), lines[number]
        if total is not None:
            line["received"] = fold.cell(where[number], "lines[].received", total)
            wanted = line.get("confirmed_quantity") or line.get("quantity")
            if wanted and at_least(total, wanted.value):
                line["open"] = Cell(False)


def _by_item(lines: dict[str, Cells], item: str) -> str | None:
    found = [number for number, line in lines.items() if "item" in line and line["item"].value == item]
    return found[0] if len(found) == 1 else None


def _due(line: Cells) -> float | None:
    """The moment after which a line is late; of a day, its end in UTC."""
    if "eta" in line:
        return seconds(line["eta"].value)
    day = line.get("confirmed_date") or line.get("requested_date")
    if day is None:
        return None
    start = datetime.fromisoformat(day.value).replace(tzinfo=UTC)
    return (start + timedelta(days=1)).timestamp()


PURCHASE_ORDERS = Service(
    name="purchase-orders",
    domain="procurement",
    summary="Purchase orders",
    rule="By revision where it is a number, then by position. An order whose lines have no `action` replaces "
    "all lines, a change only those that it names. On top: the supplier's last answer per line, announced "
    "delays, and what receipts say has come. `late`: an open line's expected arrival (else confirmed, else "
    "requested day, which ends at midnight UTC) has passed.",
    identity=(Part("purchase_order", ("purchase_order", "subject")),),
    reads=(_ISSUED, _RESPONDED, _LINE_DELAYED, _RECEIVED),
    stamps={"procurement.order.issued": "revision"},
    families=_orders,
    derive=_order,
    computed={"lines": {"type": "array"}, "open": {"type": "boolean"}},
    example=(
        (
            "procurement.order.issued",
            {
                "purchase_order": "4500017",
                "revision": 1,
                "supplier": "nordstahl",
                "lines": [
                    {
                        "line": "10",
                        "item": "100020",
                        "quantity": {"value": "40", "uom": "H87"},
                        "requested_date": "2026-04-10",
                    }
                ],
            },
        ),
        (
            "procurement.order.responded",
            {
                "purchase_order": "4500017",
                "lines": [
                    {
                        "line": "10",
                        "action": "changed",
                        "confirmed_quantity": {"value": "40", "uom": "H87"},
                        "confirmed_date": "2026-04-13",
                    }
                ],
            },
        ),
    ),
    late=True,
    columns={"purchase_order": "purchase_order", "supplier": "supplier", "is_open": "open"},
    filters=(
        Filter(name="purchase_order", kind="text", about="The order's number."),
        _SUPPLIER,
        Filter(name="open", kind="flag", about="Whether a line is still to come.", column="is_open"),
    ),
)

_ASN = Reads(
    "procurement.asn.received", fields("supplier", "ship_to", "shipped_at", "eta", "lines", "weight")
)
_ASN_DELAYED = Reads(
    "procurement.asn.delayed",
    fields("supplier", "delay", "detected_by", delay_reason="reason"),
    keep=("new_eta",),
)
_ASN_RECEIPT = Reads("procurement.receipt.posted", fields("receipt", received_at="at"))


def _asn(fold: Fold, cells: Cells) -> Iterator[tuple[str, Cells]]:
    advised, delayed, received = (fold.of(each.type) for each in (_ASN, _ASN_DELAYED, _ASN_RECEIPT))
    announced = bool(delayed) and (not advised or delayed[-1].position > advised[-1].position)
    if announced:
        cells["announced_eta"] = cells.get("eta") or Cell(None)
        cells["eta"] = fold.cell(delayed[-1], "new_eta")
    expected = cells.get("eta")
    cells["status"] = Cell("received" if received else "delayed" if announced else "announced")
    cells["_due"] = seconds(expected.value) if expected else None
    cells["_open"] = not received
    cells["_delayed"] = announced
    yield "", cells


ASNS = Service(
    name="asns",
    domain="procurement",
    summary="Despatch advices (ASNs)",
    rule="By position. A delay counts until the ASN is sent anew. Received once a receipt names the ASN. "
    "`late`: not received, and a delay is announced or the expected arrival has passed.",
    identity=(Part("asn", ("asn",)),),
    reads=(_ASN, _ASN_DELAYED, _ASN_RECEIPT),
    derive=_asn,
    computed={
        "status": {"enum": ["announced", "delayed", "received"]},
        "announced_eta": {"type": ["string", "null"], "format": "date-time"},
    },
    example=(
        (
            "procurement.asn.received",
            {
                "asn": "DN-1001",
                "supplier": "nordstahl",
                "ship_to": "0001",
                "shipped_at": "2026-03-30T16:00:00Z",
                "eta": "2026-03-31T08:00:00Z",
                "lines": [{"item": "100020", "quantity": {"value": "40", "uom": "H87"}}],
            },
        ),
    ),
    late=True,
    columns={"asn": "asn", "supplier": "supplier", "status": "status", "ship_to": "ship_to"},
    filters=(
        Filter(name="asn", kind="text", about="The ASN's number."),
        _SUPPLIER,
        Filter(
            name="status", kind="text", about="How far it is.", choices=("announced", "delayed", "received")
        ),
    ),
)

RECEIPTS = Service(
    name="receipts",
    domain="procurement",
    summary="Goods receipts",
    rule="By position.",
    identity=(Part("receipt", ("receipt", "subject")),),
    reads=(
        Reads(
            "procurement.receipt.posted",
            fields("purchase_order", "asn", "supplier", "at", "lines", "lots"),
        ),
    ),
    example=(
        (
            "procurement.receipt.posted",
            {
                "receipt": "R-5001",
                "asn": "DN-1001",
                "at": "2026-03-31T09:30:00Z",
                "lines": [
                    {
                        "item": "100020",
                        "received": {"value": "40", "uom": "H87"},
                        "rejected": {"value": "0", "uom": "H87"},
                    }
                ],
            },
        ),
    ),
    columns={"receipt": "receipt", "purchase_order": "purchase_order", "asn": "asn", "supplier": "supplier"},
    filters=(
        Filter(name="receipt", kind="text", about="The receipt's number."),
        Filter(name="purchase_order", kind="text", about="A purchase order."),
        Filter(name="asn", kind="text", about="An ASN."),
        _SUPPLIER,
    ),
)
