"""procurement.order.issued → ORDERS D.96A."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from adapters.edi.config import EdifactOptions
from adapters.edi.edifact.writer import Outgoing, Part, limited, write
from adapters.edi.outgoing import Envelope, checked_order, day_of, gtin_digits, refuse
from canonical.values import gln

__all__ = ["write_order"]

_VERSION: Final = ("D", "96A", "UN")
_ORIGINAL, _REPLACEMENT = "9", "5"
_GS1, _BUYER = "9", "92"


def write_order(payload: Mapping[str, Any], options: EdifactOptions) -> bytes:
    """The order as an interchange of one message. Raises Invalid when the payload is none."""
    envelope = Envelope.read(payload, options)
    data = checked_order(payload)
    body = list(_message(payload, data, envelope))
    return write(envelope, [Outgoing(type="ORDERS", version=_VERSION, body=body)], options)


def _message(payload: Mapping[str, Any], data: Mapping[str, Any], envelope: Envelope) -> Iterator[Part]:
    original = data["revision"] in (0, "0")
    number = limited(data["purchase_order"], 35, "/purchase_order")
    yield "BGM", "220", number, _ORIGINAL if original else _REPLACEMENT
    yield "DTM", ["137", day_of(payload, envelope), "102"]
    for function, code in (
        ("BY", payload.get("buyer") or envelope.sender.id),
        ("SU", data["supplier"]),
        ("DP", data.get("ship_to")),
    ):
        if code:
            yield _party(function, str(code))
    if currency := _currency(data):
        yield "CUX", ["2", currency, "9"]
    for at, line in enumerate(data["lines"]):
        yield from _line(line, f"/lines/{at}")
    yield "UNS", "S"
    if total := data.get("price"):
        yield "MOA", ["86", total["value"]]
    yield "CNT", ["2", str(len(data["lines"]))]


def _party(function: str, code: str) -> Part:
    """A NAD by its code: a GLN says so, any other code is the buyer's."""
    try:
        gln(code)
    except ValueError:
        agency = _BUYER
    else:
        agency = _GS1
    return "NAD", function, [limited(code, 17, f"/{function}"), "", agency]


def _currency(data: Mapping[str, Any]) -> str | None:
    """The one currency of all prices."""
    prices = [data.get("price"), *(line.get("price") for line in data["lines"])]
    found = sorted({price["currency"] for price in prices if price})
    if len(found) > 1:
        refuse("/lines", f"has prices in {' and '.join(found)}: an order has one currency")
    return found[0] if found else None


def _line(line: Mapping[str, Any], where: str) -> Iterator[Part]:
    number = line["line"]
    if not (number.isascii() and number.isdigit() and len(number) <= 6):
        refuse(f"{where}/line", "must be a number of six digits at most")
    item = [limited(line["item"], 35, f"{where}/item"), "IN"]
    others = [[limited(line["supplier_item"], 35, f"{where}/supplier_item"), "SA"]] if _has(line) else []
    if gtin := line.get("gtin"):
        yield "LIN", number, "", [gtin_digits(gtin), "EN"]
        yield "PIA", "1", item, *others
    else:
        yield "LIN", number, "", item
        if others:
            yield "PIA", "1", *others
    quantity = line["quantity"]
    yield "QTY", ["21", limited(quantity["value"], 15, f"{where}/quantity/value"), quantity["uom"]]
    if day := line.get("requested_date"):
        yield "DTM", ["2", str(day).replace("-", ""), "102"]
    if price := line.get("price"):
        yield "PRI", ["AAA", limited(price["value"], 15, f"{where}/price/value")]


def _has(line: Mapping[str, Any]) -> bool:
    return bool(line.get("supplier_item"))
