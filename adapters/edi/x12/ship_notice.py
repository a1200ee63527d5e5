"""856 → procurement.asn.received, with its tree of levels: HL S → O → T, P → I, each naming its parent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from msgspec import Struct

from adapters.edi.arrival import arrival, despatch
from adapters.edi.packing import Node, Packing
from adapters.edi.reading import Document, Reading
from adapters.edi.segment import Segment
from adapters.edi.x12.dates import read_when
from adapters.edi.x12.layout import dated, loops, parties, product, quantity

__all__ = ["read_ship_notice"]

_SHIPMENT, _ORDER, _ITEM = "S", "O", "I"
_LEVELS: Final = frozenset({"S", "O", "T", "P", "I", "Q", "D", "K", "F", "E"})
_SSCC: Final = ("GM", "AA")


def read_ship_notice(reading: Reading, segments: Iterator[Segment]) -> Iterator[Document]:
    """One event for the ship notice."""
    stretches = loops(segments, "HL")
    head = next(stretches)
    notice = _Notice(reading, head)
    for stretch in stretches:
        notice.take(stretch)
    yield notice.document()


class _Level(Struct):
    """An HL with what belongs to it."""

    kind: str
    node: Node
    segments: list[Segment]


class _Notice:
    """A ship notice as its levels come."""

    def __init__(self, reading: Reading, head: list[Segment]) -> None:
        self._reading, self._head = reading, head
        self._bsn = next((one for one in head if one.tag == "BSN"), None)
        self._place = self._bsn or head[0]
        self._packing = Packing(reading)
        self._levels: dict[str, _Level] = {}

    def take(self, stretch: list[Segment]) -> None:
        """Takes what stands from an HL up to the next one."""
        hl = stretch[0]
        number, parent, kind = (hl.text(element).strip() for element in (1, 2, 3))
        if kind not in _LEVELS:
            self._reading.note("warning", "level_unknown", f"HL level {kind!r} is not known", hl)
        node = self._packing.open(Node(number=number, parent=parent, place=hl))
        self._levels.setdefault(number, _Level(kind, node, stretch))
        for segment in stretch:
            match segment.tag:
                case "MAN" if segment.text(1).strip() in _SSCC:
                    self._packing.add(node, segment.text(2), segment)
                case "PO4" if segment.text(6).strip():
                    node.weight = quantity(self._reading, segment.text(6), segment.text(7), segment)
                case _:
                    pass

    def document(self) -> Document:
        """The event's data, once all is read."""
        reading = self._reading
        top = [one for kind in (_SHIPMENT, _ORDER) for level in self._of(kind) for one in level.segments]
        bsn = self._bsn
        number = reading.text(bsn.text(2), bsn) if bsn else None
        if number is None:
            reading.missing("BSN02 names no shipment", self._place)
        written = read_when(reading, bsn.text(3), bsn.text(4), "", bsn) if bsn else None
        shipped = despatch(reading, dated(reading, top, "011"), written, self._place)
        eta = arrival(reading, dated(reading, top, "017", "067", "002"), shipped, self._place)
        data: dict[str, Any] = {
            "asn": number,
            "supplier": self._supplier(top),
            "ship_to": self._ship_to(top),
            "shipped_at": shipped.instant if shipped else None,
            "eta": eta.instant if eta else None,
            "lines": [self._line(level, at) for at, level in enumerate(self._of(_ITEM), start=1)],
        }
        if not data["lines"]:
            reading.missing("the ship notice has no item (HL level I)", self._place)
        if tree := self._packing.tree():
            data["sscc_tree"] = tree
        if weight := self._weight(top):
            data["weight"] = weight
        at = reading.utc(written or shipped)
        return Document(suffix="procurement.asn.received", data=data, place=self._place, at=at)

    def _of(self, kind: str) -> list[_Level]:
        return [level for level in self._levels.values() if level.kind == kind]

    def _supplier(self, top: list[Segment]) -> str | None:
        party = parties(self._reading, top, "SU", "SE", "VN", "SF", "SH")
        if party:
            return party.code
        options = self._reading.options
        if not options.supplier:
            text = "no supplier is named (N1 SU, SF); it is the sender of the interchange"
            self._reading.note("info", "supplier_from_envelope", text, self._place)
        return options.supplier or self._reading.interchange.sender or None

    def _ship_to(self, top: list[Segment]) -> str | None:
        party = parties(self._reading, top, "ST", "DP")
        found = party.code if party else self._reading.options.ship_to
        if found is None:
            self._reading.missing("no place of delivery is named (N1 ST)", self._place)
        return found

    def _weight(self, top: list[Segment]) -> dict[str, str] | None:
        """The gross weight of the shipment (TD106 to TD108)."""
        td1 = next((one for one in top if one.tag == "TD1" and one.text(7).strip()), None)
        return quantity(self._reading, td1.text(7), td1.text(8), td1) if td1 else None

    def _line(self, level: _Level, ordinal: int) -> dict[str, Any]:
        reading, hl = self._reading, level.segments[0]
        lin = next((one for one in level.segments if one.tag == "LIN"), None)
        sn1 = next((one for one in level.segments if one.tag == "SN1"), None)
        told = (lin.text(1) if lin else "") or (sn1.text(1) if sn1 else "")
        number = reading.text(told, hl) or str(ordinal)
        if lin is None:
            reading.missing(f"item {number} names no product (LIN)", hl)
        goods = product(reading, lin, 2) if lin else None
        amount = quantity(reading, sn1.text(2), sn1.text(3), sn1) if sn1 else None
        if amount is None:
            reading.missing(f"item {number} has no quantity (SN102)", sn1 or hl)
        data: dict[str, Any] = {
            "line": number,
            **(goods.fields(reading, number) if goods else {}),
            "quantity": amount,
            "purchase_order": self._order(level),
            "purchase_order_line": goods.codes.get("PL") if goods else None,
            "lot": (goods.lot if goods else None) or self._reference(level.segments, "LT"),
            "sscc": self._unit(level),
        }
        return {name: value for name, value in data.items() if value is not None}

    def _order(self, level: _Level) -> str | None:
        """The order (PRF01) of the level around an item."""
        seen: set[str] = set()
        here: _Level | None = level
        while here is not None and here.node.number not in seen:
            prf = next((one for one in here.segments if one.tag == "PRF"), None)
            if prf is not None and prf.text(1).strip():
                return self._reading.text(prf.text(1), prf)
            seen.add(here.node.number)
            here = self._levels.get(here.node.parent)
        return None

    def _reference(self, segments: list[Segment], qualifier: str) -> str | None:
        """The reference of a qualifier (REF01)."""
        ref = next((one for one in segments if one.tag == "REF" and one.text(1).strip() == qualifier), None)
        return self._reading.text(ref.text(2), ref) if ref else None

    def _unit(self, level: _Level) -> str | None:
        """The unit around an item, or the only one within it (structure S, O, I, P)."""
        around = self._packing.unit_around(level.node, level.node.place)
        if around:
            return around
        within = [
            sscc
            for inner in self._levels.values()
            if inner.node.parent == level.node.number and inner is not level
            for sscc in inner.node.units
        ]
        return within[0] if len(within) == 1 else None
