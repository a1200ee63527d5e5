"""EDIFACT as Nordstahl writes and reads it: DESADV and INVRPT out, ORDERS in, CONTRL both ways."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

from simulator.trade import Answer, Balance, Order, Outcome, Shipment, Unreadable

__all__ = ["Edifact"]

_UNA: Final = "UNA:+.? '"
_GS1: Final = "9"
_SEGMENT: Final = re.compile(r"((?:\?.|[^?'])*)'\s*", re.DOTALL)
_DUPLICATE: Final = "26"

Segment = list[list[str]]
"""Elements of components; the first element is the tag."""


class Edifact:
    """D.96A in UNOC, version 3; ``us`` and ``them`` are GLNs."""

    kind = "edifact"
    suffix = ".edi"

    def __init__(self, *, us: str, them: str) -> None:
        self._us, self._them = us, them

    def name(self, reference: int) -> str:
        """NS and seven digits."""
        return f"NS{reference:07d}"

    def despatch_advice(self, reference: int, at: datetime, shipment: Shipment) -> bytes:
        """A DESADV of one pallet."""
        return self._interchange(
            reference,
            at,
            "DESADV:D:96A:UN",
            [
                f"BGM+351+{shipment.asn}+9",
                f"DTM+137:{_second(at)}:204",
                f"DTM+11:{_minute(shipment.shipped_at)}:203",
                f"DTM+132:{_minute(shipment.eta)}:203",
                f"NAD+SU+{self._us}::{_GS1}",
                f"NAD+ST+{shipment.ship_to}::{_GS1}",
                "CPS+1",
                "PAC+1++201",
                "PCI+33E",
                f"GIN+BJ+{shipment.sscc}",
                f"LIN+1++{shipment.code}:SA",
                f"QTY+12:{shipment.quantity}:{shipment.unit}",
                f"RFF+ON:{shipment.purchase_order}:10",
            ],
        )

    def stock_report(self, reference: int, at: datetime, balances: list[Balance]) -> bytes:
        """An INVRPT as of now."""
        body = [
            f"BGM+35+STOCK-{reference}+9",
            f"DTM+137:{_second(at)}:204",
            f"DTM+366:{_second(at)}:204",
            f"NAD+GY+{self._us}::{_GS1}",
        ]
        for number, one in enumerate(balances, start=1):
            body += [f"LIN+{number}++{one.code}:SA", f"QTY+145:{one.quantity}:{one.unit}"]
        return self._interchange(reference, at, "INVRPT:D:96A:UN", body)

    def acknowledgement(self, reference: int, at: datetime, order: Order) -> bytes:
        """A CONTRL that takes the order."""
        body = [
            f"UCI+{order.reference}+{self._them}:14+{self._us}:14+7",
            f"UCM+{order.message}+ORDERS:D:96A:UN+7",
        ]
        return self._interchange(reference, at, "CONTRL:D:3:UN", body)

    def _interchange(self, reference: int, at: datetime, message: str, body: list[str]) -> bytes:
        name = self.name(reference)
        segments = [
            f"UNB+UNOC:3+{self._us}:14+{self._them}:14+{at:%y%m%d:%H%M}+{name}",
            f"UNH+1+{message}",
            *body,
            f"UNT+{len(body) + 2}+1",
            f"UNZ+1+{name}",
        ]
        return (_UNA + "".join(f"{segment}'\n" for segment in segments)).encode("iso-8859-1")

    def read(self, content: bytes) -> Order | Answer:
        """ORDERS or CONTRL. Raises Unreadable."""
        segments = _segments(content)
        head, message = _first(segments, "UNB"), _first(segments, "UNH")
        kind = _at(message, 2)
        if kind == "CONTRL":
            return _answer(segments)
        if kind != "ORDERS":
            raise Unreadable(f"{kind} is none that we expect")
        line, quantity = _first(segments, "LIN"), _first(segments, "QTY")
        return Order(
            reference=_at(head, 5),
            message=_at(message, 1),
            purchase_order=_at(_first(segments, "BGM"), 2),
            code=_supplier_code(segments) or _at(line, 3),
            quantity=_at(quantity, 1, 1),
        )


def _second(moment: datetime) -> str:
    return moment.strftime("%Y%m%d%H%M%S")


def _minute(moment: datetime) -> str:
    return moment.strftime("%Y%m%d%H%M")


def _segments(content: bytes) -> list[Segment]:
    text = content.decode("iso-8859-1").strip()
    if not text.startswith(("UNA", "UNB")):
        raise Unreadable(f"it begins with {text[:9]!r}, not with UNA or UNB")
    if text.startswith("UNA") and text[:9] != _UNA:
        raise Unreadable(f"the separators {text[:9]!r} are not the usual ones")
    text = text.removeprefix(_UNA).lstrip()
    found, end = [], 0
    for match in _SEGMENT.finditer(text):
        found.append([_split(element, ":") for element in _split(match[1], "+", keep=True)])
        end = match.end()
    if end != len(text) or not found or found[-1][0] != ["UNZ"]:
        raise Unreadable("it does not end with UNZ")
    return found


def _split(text: str, separator: str, *, keep: bool = False) -> list[str]:
    """Splits where no release character stands before; ``keep`` leaves release characters for the next."""
    parts = re.findall(rf"((?:\?.|[^?{re.escape(separator)}])*)(?:{re.escape(separator)}|$)", text, re.DOTALL)
    parts = parts[:-1] if len(parts) > 1 and not text.endswith(separator) else parts
    return parts if keep else [re.sub(r"\?(.)", r"\1", part) for part in parts]


def _first(segments: list[Segment], tag: str) -> Segment:
    for segment in segments:
        if segment[0] == [tag]:
            return segment
    raise Unreadable(f"it has no {tag}")


def _at(segment: Segment, element: int, component: int = 0) -> str:
    try:
        return segment[element][component]
    except IndexError:
        raise Unreadable(f"{segment[0][0]} has no element {element}") from None


def _supplier_code(segments: list[Segment]) -> str:
    for segment in segments:
        for element in segment[2:] if segment[0] == ["PIA"] else ():
            if element[1:2] == ["SA"]:
                return element[0]
    return ""


def _answer(segments: list[Segment]) -> Answer:
    uci = _first(segments, "UCI")
    rejected = any(one[0] == ["UCM"] and _at(one, 3) == "4" for one in segments)
    outcome: Outcome = "rejected" if rejected or _at(uci, 4) == "4" else "accepted"
    if outcome == "rejected" and len(uci) > 5 and _at(uci, 5) == _DUPLICATE:
        outcome = "duplicate"
    return Answer(reference=_at(uci, 1), outcome=outcome)
