"""846 → inventory.balance.reported, one event for each balance of each line.

The balance is QTY 17 (on hand). Where a line has only 33 (available for sale), that is taken, with a warning.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from adapters.edi.reading import Document, Reading, When
from adapters.edi.segment import Segment
from adapters.edi.x12.dates import read_when
from adapters.edi.x12.layout import dated, loops, parties, product, quantity

__all__ = ["read_inventory_advice"]

_ON_HAND, _AVAILABLE = "17", "33"
_AS_OF: Final = ("366", "514", "090")
_PLACES: Final = ("WH", "LC", "ST", "IR", "SF")


def read_inventory_advice(reading: Reading, segments: Iterator[Segment]) -> Iterator[Document]:
    """The events of the advice, line by line."""
    stretches = loops(segments, "LIN")
    head = next(stretches)
    bia = next((one for one in head if one.tag == "BIA"), None)
    as_of = dated(reading, head, *_AS_OF)
    if as_of is None and bia is not None:
        as_of = read_when(reading, bia.text(4), bia.text(5), "", bia)
    found = False
    for at, loop in enumerate(stretches, start=1):
        found = True
        yield from _line(reading, head, loop, at, as_of)
    if not found:
        reading.missing("the advice has no line (LIN)", bia or head[0])


def _line(
    reading: Reading, head: list[Segment], loop: list[Segment], ordinal: int, as_of: When | None
) -> Iterator[Document]:
    lin = loop[0]
    number = reading.text(lin.text(1), lin) or str(ordinal)
    goods = product(reading, lin, 2)
    fields = goods.fields(reading, number)
    at = dated(reading, loop, *_AS_OF) or as_of
    if at is None:
        reading.once("error", "value_missing", "the advice does not say as of when it is (BIA04, DTM)", lin)
    qty = _balance(reading, number, loop)
    if qty is None:
        return
    data: dict[str, Any] = {
        "location": _location(reading, head, loop, number),
        "item": fields.get("item"),
        "on_hand": _quantity(reading, qty, loop),
        "as_of": at.instant if at else None,
        "lot": goods.lot,
    }
    plain = {name: value for name, value in data.items() if value is not None}
    yield Document(suffix="inventory.balance.reported", data=plain, place=lin, at=reading.utc(at))


def _balance(reading: Reading, number: str, loop: list[Segment]) -> Segment | None:
    """The QTY that states the balance."""
    told = {one.text(1).strip(): one for one in reversed(loop) if one.tag == "QTY"}
    if _ON_HAND in told:
        return told[_ON_HAND]
    if _AVAILABLE in told:
        text = "stock on hand is not told (QTY 17); it is read from what is available (QTY 33)"
        reading.once("warning", "balance_assumed", text, told[_AVAILABLE])
        return told[_AVAILABLE]
    text = f"line {number} states no stock (QTY 17 or 33), and gives no event"
    reading.note("warning", "no_balance", text, loop[0])
    return None


def _quantity(reading: Reading, qty: Segment, loop: list[Segment]) -> dict[str, str] | None:
    """The amount, in the unit of QTY03, else of UIT01."""
    unit = qty.text(3) or next((one.text(1) for one in loop if one.tag == "UIT"), "")
    return quantity(reading, qty.text(2), unit, qty)


def _location(
    reading: Reading, head: list[Segment], loop: list[Segment], number: str
) -> dict[str, str] | None:
    """Where the stock lies: the place of the line, else of the advice."""
    place = parties(reading, loop, *_PLACES) or parties(reading, head, *_PLACES)
    if place is None:
        reading.missing(f"line {number} does not say where the stock lies (N1 WH)", loop[0])
        return None
    return {"plant": reading.plant or place.code, "storage": place.code}
