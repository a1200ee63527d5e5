"""X12 as Lakeshore writes and reads it: 856 and 846 out, 850 and TA1 in, 997 both ways."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from simulator.trade import Answer, Balance, Order, Shipment, Unreadable

__all__ = ["X12"]

_DUPLICATE: Final = "025"
_UNITS: Final = {"H87": "EA", "KGM": "KG"}
_KINDS: Final = {"856": "SH", "846": "IB", "997": "FA"}

Segment = list[str]


class X12:
    """Version 004010; ``us`` and ``them`` are ids with the qualifier ZZ."""

    kind = "x12"
    suffix = ".x12"

    def __init__(self, *, us: str, them: str) -> None:
        self._us, self._them = us, them

    def name(self, reference: int) -> str:
        """Nine digits."""
        return f"{reference:09d}"

    def despatch_advice(self, reference: int, at: datetime, shipment: Shipment) -> bytes:
        """An 856 of one pallet: shipment, order, pack, item."""
        body = [
            f"BSN*00*{shipment.asn}*{at:%Y%m%d}*{at:%H%M%S}*0001",
            "HL*1**S",
            f"DTM*011*{shipment.shipped_at:%Y%m%d}*{shipment.shipped_at:%H%M}",
            f"DTM*017*{shipment.eta:%Y%m%d}*{shipment.eta:%H%M}",
            f"N1*SU**92*{self._us}",
            f"N1*ST**92*{shipment.ship_to}",
            "HL*2*1*O",
            f"PRF*{shipment.purchase_order}",
            "HL*3*2*P",
            f"MAN*GM*{shipment.sscc}",
            "HL*4*3*I",
            f"LIN*1*VP*{shipment.code}",
            f"SN1*1*{shipment.quantity}*{_UNITS[shipment.unit]}",
            "CTT*4",
        ]
        return self._interchange(reference, at, "856", body)

    def stock_report(self, reference: int, at: datetime, balances: list[Balance]) -> bytes:
        """An 846 as of now."""
        body = [
            f"BIA*00*SI*STOCK-{reference}*{at:%Y%m%d}*{at:%H%M%S}",
            f"N1*WH**92*{self._us}",
        ]
        for number, one in enumerate(balances, start=1):
            body += [f"LIN*{number}*VP*{one.code}", f"QTY*17*{one.quantity}*{_UNITS[one.unit]}"]
        body.append(f"CTT*{len(balances)}")
        return self._interchange(reference, at, "846", body)

    def acknowledgement(self, reference: int, at: datetime, order: Order) -> bytes:
        """A 997 that takes the order."""
        group, _, message = order.message.partition("/")
        body = [f"AK1*PO*{group}", f"AK2*850*{message}", "AK5*A", "AK9*A*1*1*1"]
        return self._interchange(reference, at, "997", body)

    def _interchange(self, reference: int, at: datetime, kind: str, body: list[str]) -> bytes:
        name = self.name(reference)
        ids = f"ZZ*{self._us:<15}*ZZ*{self._them:<15}"
        segments = [
            f"ISA*00*{'':10}*00*{'':10}*{ids}*{at:%y%m%d}*{at:%H%M}*U*00401*{name}*0*P*>",
            f"GS*{_KINDS[kind]}*{self._us}*{self._them}*{at:%Y%m%d}*{at:%H%M}*{reference}*X*004010",
            f"ST*{kind}*0001",
            *body,
            f"SE*{len(body) + 2}*0001",
            f"GE*1*{reference}",
            f"IEA*1*{name}",
        ]
        return "".join(f"{segment}~\n" for segment in segments).encode("ascii")

    def read(self, content: bytes) -> Order | Answer:
        """850, 997 or TA1. Raises Unreadable."""
        segments = _segments(content)
        for segment in segments:
            if segment[0] == "TA1":
                return Answer(
                    reference=_at(segment, 1),
                    outcome="duplicate" if _at(segment, 5) == _DUPLICATE else "rejected",
                )
        kind = _at(_first(segments, "ST"), 1)
        if kind == "997":
            accepted = _at(_first(segments, "AK9"), 1) == "A"
            number = _at(_first(segments, "AK1"), 2)
            return Answer(reference=number.zfill(9), outcome="accepted" if accepted else "rejected")
        if kind != "850":
            raise Unreadable(f"{kind} is none that we expect")
        line = _first(segments, "PO1")
        codes = dict(zip(line[6::2], line[7::2], strict=False))
        return Order(
            reference=_at(segments[0], 13),
            message=f"{_at(_first(segments, 'GS'), 6)}/{_at(_first(segments, 'ST'), 2)}",
            purchase_order=_at(_first(segments, "BEG"), 3),
            code=codes.get("VP") or codes.get("BP") or "",
            quantity=_at(line, 2),
        )


def _segments(content: bytes) -> list[Segment]:
    text = content.decode("utf-8")
    if not text.startswith("ISA") or len(text) < 106:
        raise Unreadable(f"it begins with {text[:9]!r}, not with ISA")
    element, end = text[3], text[105]
    found = [part.strip().split(element) for part in text.split(end) if part.strip()]
    if found[-1][0] != "IEA" or _at(found[-1], 2) != _at(found[0], 13):
        raise Unreadable("it does not end with its IEA")
    return found


def _first(segments: list[Segment], tag: str) -> Segment:
    for segment in segments:
        if segment[0] == tag:
            return segment
    raise Unreadable(f"it has no {tag}")


def _at(segment: Segment, element: int) -> str:
    try:
        return segment[element]
    except IndexError:
        raise Unreadable(f"{segment[0]} has no element {element}") from None
