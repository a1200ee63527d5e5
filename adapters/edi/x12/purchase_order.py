"""850 → procurement.order.issued."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from adapters.edi.reading import Document, Reading, When
from adapters.edi.segment import Segment
from adapters.edi.x12.dates import read_when
from adapters.edi.x12.layout import dated, loops, parties, product, quantity

__all__ = ["read_purchase_order"]

_REQUESTED: Final = ("002", "010", "063", "064", "001")
_PER: Final = {"HP": "100", "TP": "1000", "CP": "100"}
"""Bases of prices (639) that are for more than one: per hundred, per thousand."""
_CANCELLATION, _CHANGES = ("01", "03"), ("04", "05")


def read_purchase_order(reading: Reading, segments: Iterator[Segment]) -> Iterator[Document]:
    """One event for the order."""
    stretches = loops(segments, "PO1")
    head = next(stretches)
    beg = next((one for one in head if one.tag == "BEG"), None)
    place = beg or head[0]
    number = reading.text(beg.text(3), beg) if beg else None
    if number is None:
        reading.missing("BEG03 names no order number", place)
    purpose = beg.text(1).strip() if beg else ""
    currency = next((one.text(2) for one in head if one.tag == "CUR"), "")
    requested = dated(reading, head, *_REQUESTED)
    lines = [_line(reading, loop, at, purpose, currency, requested) for at, loop in enumerate(stretches, 1)]
    if not lines:
        reading.missing("the order has no line (PO1)", place)
    data: dict[str, Any] = {
        "purchase_order": number,
        "revision": _revision(reading, beg, purpose),
        "supplier": _supplier(reading, head, place),
        "lines": lines,
    }
    if ship_to := parties(reading, head, "ST", "DP"):
        data["ship_to"] = ship_to.code
    if price := _total(reading, segments, currency):
        data["price"] = price
    written = read_when(reading, beg.text(5), "", "", beg) if beg else None
    yield Document(suffix="procurement.order.issued", data=data, place=place, at=reading.utc(written))


def _line(
    reading: Reading,
    loop: list[Segment],
    ordinal: int,
    purpose: str,
    currency: str,
    requested: When | None,
) -> dict[str, Any]:
    po1 = loop[0]
    number = reading.text(po1.text(1), po1) or str(ordinal)
    amount = quantity(reading, po1.text(2), po1.text(3), po1)
    if amount is None:
        reading.missing(f"line {number} has no quantity (PO102)", po1)
    when = _scheduled(reading, loop) or dated(reading, loop, *_REQUESTED) or requested
    data: dict[str, Any] = {
        "line": number,
        **product(reading, po1, 6).fields(reading, number),
        "quantity": amount,
        "requested_date": when.day if when else None,
        "price": None,
        "action": "delete" if purpose in _CANCELLATION else None,
    }
    if po1.text(4).strip():
        data["price"] = reading.price(po1.text(4), _PER.get(po1.text(5).strip(), ""), currency, po1)
    return {name: value for name, value in data.items() if value is not None}


def _scheduled(reading: Reading, loop: list[Segment]) -> When | None:
    """The first date of a line's schedule (SCH05 to SCH07)."""
    sch = next((one for one in loop if one.tag == "SCH" and one.text(5).strip() in _REQUESTED), None)
    return read_when(reading, sch.text(6), sch.text(7), "", sch) if sch else None


def _revision(reading: Reading, beg: Segment | None, purpose: str) -> str | int:
    """The release number (BEG04); an order is its revision 0 unless it says otherwise."""
    told = reading.text(beg.text(4), beg) if beg else None
    if told is None and beg is not None and purpose in (*_CANCELLATION, *_CHANGES):
        text = f"the set changes an order (BEG01 {purpose}) without a release number"
        reading.note("warning", "revision_missing", text, beg)
    return told or 0


def _supplier(reading: Reading, head: list[Segment], place: Segment) -> str | None:
    """Who the order went to: as named, as agreed, else the receiver of the interchange."""
    party = parties(reading, head, "SU", "SE", "VN")
    if party:
        return party.code
    if not reading.options.supplier:
        text = "no supplier is named (N1 SU, SE, VN); it is the receiver of the interchange"
        reading.note("info", "supplier_from_envelope", text, place)
    return reading.options.supplier or reading.interchange.receiver or None


def _total(reading: Reading, summary: Iterator[Segment], currency: str) -> dict[str, str] | None:
    """The total of the order (AMT TT)."""
    amt = next((one for one in summary if one.tag == "AMT" and one.text(1).strip() == "TT"), None)
    return reading.money(reading.decimal(amt.text(2), amt), currency, amt) if amt else None
