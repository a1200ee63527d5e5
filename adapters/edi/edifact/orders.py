"""ORDERS (BGM 220 …) → procurement.order.issued."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from adapters.edi.edifact.layout import Header, Line, parts
from adapters.edi.reading import Document, Reading
from adapters.edi.segment import Segment
from canonical import units

__all__ = ["read_orders"]

_ORDERED: Final = ("21", "1", "113", "131")
_REQUESTED: Final = ("2", "63", "69", "64", "10")
_NET_PRICE: Final = ("AAA", "CAL", "INV")
_TOTALS: Final = ("86", "128", "79")
_PIECES: Final = frozenset({"C62", "EA", "H87", "NAR"})
_CANCELLATION, _CHANGES = "1", ("3", "4", "5", "36")
_ACTIONS: Final = {"1": "add", "2": "delete", "3": "change"}


def read_orders(reading: Reading, segments: Iterator[Segment]) -> Iterator[Document]:
    """One event for the order."""
    stretches = parts(segments, "LIN")
    header = Header.read(reading, next(stretches))
    function = header.bgm.text(3) if header.bgm else ""
    lines = [
        _line(Line.read(reading, stretch, at), header, function)
        for at, stretch in enumerate(stretches, start=1)
    ]
    if not lines:
        reading.missing("the order has no line", header.place)
    data: dict[str, Any] = {
        "purchase_order": header.document("order number"),
        "revision": _revision(header, function),
        "supplier": _supplier(header),
        "lines": lines,
    }
    ship_to = header.party("DP", "ST", "CN", "UC")
    if ship_to:
        data["ship_to"] = ship_to.code
    if price := _total(reading, segments, header.currency):
        data["price"] = price
    at = reading.utc(header.date("137", "4"))
    yield Document(suffix="procurement.order.issued", data=data, place=header.place, at=at)


def _line(line: Line, header: Header, function: str) -> dict[str, Any]:
    """A line; its action only where the message changes an order that is there already."""
    data: dict[str, Any] = {"line": line.number, **line.product.fields(line.reading, line.number)}
    data["quantity"] = line.quantity(*_ORDERED)
    requested = line.dates.first(*_REQUESTED) or header.date(*_REQUESTED)
    if requested:
        data["requested_date"] = requested.day
    if price := _price(line, data["quantity"], header.currency):
        data["price"] = price
    action = "delete" if function == _CANCELLATION else _ACTIONS.get(line.lin.text(2))
    if action and (function == _CANCELLATION or function in _CHANGES):
        data["action"] = action
    return {name: value for name, value in data.items() if value is not None}


def _price(line: Line, quantity: dict[str, str] | None, currency: str) -> dict[str, str] | None:
    """The net price for one unit of the line's quantity (PRI: 5284 units of 6411 are what it is for)."""
    for qualifier in _NET_PRICE:
        for pri in line.prices:
            if pri.text(1) == qualifier and pri.text(1, 2).strip():
                unit = units.normalise(pri.text(1, 6))[0]
                if unit and quantity and unit != quantity["uom"] and not _counted(unit, quantity["uom"]):
                    text = f"a price per {unit} of a quantity in {quantity['uom']} is left out"
                    line.reading.note("warning", "price_unit", text, pri)
                    return None
                return line.reading.price(pri.text(1, 2), pri.text(1, 5), currency, pri)
    return None


def _counted(*codes: str) -> bool:
    """Whether all units count pieces, which prices of one and quantities of another always mean alike."""
    return set(codes) <= _PIECES


def _revision(header: Header, function: str) -> str | int:
    """The revision (C106 1060 or 1056); an order is its revision 0 unless it says otherwise."""
    bgm = header.bgm
    told = header.reading.text(bgm.text(2, 3) or bgm.text(2, 2), bgm) if bgm else None
    if told is None and bgm is not None and function in (_CANCELLATION, *_CHANGES):
        text = f"the message changes an order (BGM {function}) without a revision number"
        header.reading.note("warning", "revision_missing", text, bgm)
    return told or 0


def _supplier(header: Header) -> str | None:
    """Who the order went to: as named, as agreed, else the receiver of the interchange."""
    party = header.party("SU", "SE")
    if party:
        return party.code
    agreed, reading = header.reading.options.supplier, header.reading
    if not agreed:
        text = "no supplier is named (NAD SU); it is the receiver of the interchange"
        reading.note("info", "supplier_from_envelope", text, header.place)
    return agreed or reading.interchange.receiver or None


def _total(reading: Reading, summary: Iterator[Segment], currency: str) -> dict[str, str] | None:
    """The total of the order, from the amounts behind UNS."""
    amounts: dict[str, Segment] = {}
    for segment in summary:
        if segment.tag == "MOA":
            amounts.setdefault(segment.text(1), segment)
    moa = next((amounts[qualifier] for qualifier in _TOTALS if qualifier in amounts), None)
    if moa is None:
        return None
    return reading.money(reading.decimal(moa.text(1, 2), moa), moa.text(1, 3) or currency, moa)
