"""procurement.order.issued → 850, version 004010."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from adapters.edi.config import X12Options
from adapters.edi.outgoing import Envelope, checked_order, day_of, gtin_digits, refuse
from adapters.edi.x12.units import from_rec20
from adapters.edi.x12.writer import Group, Part, write
from canonical.values import gln

__all__ = ["write_order"]

_VERSION: Final = "004010"
_ORIGINAL, _REPLACEMENT = "00", "05"
_GLN, _BUYERS_CODE = "UL", "92"
_GTIN_QUALIFIERS: Final = {12: "UP", 13: "EN", 14: "UK"}


def write_order(payload: Mapping[str, Any], options: X12Options) -> bytes:
    """The order as an interchange of one transaction set. Raises Invalid when the payload is none."""
    envelope = Envelope.read(payload, options)
    data = checked_order(payload)
    body = list(_set(payload, data, envelope))
    return write(envelope, [Group(kind="PO", set_type="850", version=_VERSION, sets=[body])], options)


def _set(payload: Mapping[str, Any], data: Mapping[str, Any], envelope: Envelope) -> Iterator[Part]:
    first = data["revision"] in (0, "0")
    release = "" if first else str(data["revision"])
    purpose = _ORIGINAL if first else _REPLACEMENT
    yield "BEG", purpose, "SA", _fits(data["purchase_order"], 22, ""), release, day_of(payload, envelope)
    prices = [data.get("price"), *(line.get("price") for line in data["lines"])]
    currencies = sorted({price["currency"] for price in prices if price})
    if len(currencies) > 1:
        refuse("/lines", f"has prices in {' and '.join(currencies)}: an order has one currency")
    if currencies:
        yield "CUR", "BY", currencies[0]
    for role, code in (("BY", payload.get("buyer")), ("SE", data["supplier"]), ("ST", data.get("ship_to"))):
        if code:
            yield "N1", role, "", _kind(str(code)), str(code)
    for at, line in enumerate(data["lines"]):
        yield from _line(line, f"/lines/{at}")
    yield "CTT", str(len(data["lines"]))
    if total := data.get("price"):
        yield "AMT", "TT", total["value"]


def _fits(text: str, size: int, where: str) -> str:
    if len(text) > size:
        refuse(where or "/purchase_order", f"has {len(text)} characters, its element has {size} at most")
    return text


def _kind(code: str) -> str:
    """The qualifier of a party's code: a GLN, else the buyer's own."""
    try:
        gln(code)
    except ValueError:
        return _BUYERS_CODE
    return _GLN


def _line(line: Mapping[str, Any], where: str) -> Iterator[Part]:
    quantity = line["quantity"]
    unit = from_rec20(quantity["uom"])
    if unit is None:
        refuse(f"{where}/quantity/uom", f"is {quantity['uom']!r}, for which X12 has no unit that we know")
    price = line.get("price")
    codes = [("BP", line["item"]), ("VP", line.get("supplier_item"))]
    if gtin := line.get("gtin"):
        digits = gtin_digits(gtin)
        codes.append((_GTIN_QUALIFIERS[len(digits)], digits))
    pairs = [part for qualifier, code in codes if code for part in (qualifier, code)]
    yield (
        "PO1",
        _fits(line["line"], 20, f"{where}/line"),
        quantity["value"],
        unit,
        price["value"] if price else "",
        "",
        *pairs,
    )
    if day := line.get("requested_date"):
        yield "DTM", "002", str(day).replace("-", "")
