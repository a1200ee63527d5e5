"""DESADV (BGM 351) → procurement.asn.received, with its tree of packages: CPS → PAC → PCI → GIN, and LIN."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from adapters.edi.arrival import arrival, despatch
from adapters.edi.edifact.layout import Header, Line, parts
from adapters.edi.packing import Node, Packing
from adapters.edi.reading import Document, Reading
from adapters.edi.segment import Segment
from canonical.values import sscc

__all__ = ["read_desadv"]

_DESPATCHED: Final = ("12", "1", "113", "46")
_SSCC: Final = ("BJ", "AW")
_BATCH: Final = "BX"
_GROSS: Final = ("G", "AAD", "AAB")
_RANGE_MAX: Final = 10_000


def read_desadv(reading: Reading, segments: Iterator[Segment]) -> Iterator[Document]:
    """One event for the despatch advice."""
    stretches = parts(segments, "CPS", "LIN")
    head = next(stretches)
    header = Header.read(reading, head)
    advice = _Advice(reading, header)
    for stretch in stretches:
        advice.take(stretch)
    yield advice.document(head)


class _Advice:
    """A despatch advice as its stretches come: CPS opens a level, LIN is a line in it."""

    def __init__(self, reading: Reading, header: Header) -> None:
        self._reading, self._header = reading, header
        self._packing = Packing(reading)
        self._level: Node | None = None
        self._lines: list[dict[str, Any]] = []
        self._inside: list[tuple[dict[str, Any], Node]] = []

    def take(self, stretch: list[Segment]) -> None:
        """Takes what stands from a CPS or LIN up to the next one."""
        first = stretch[0]
        if first.tag == "CPS":
            node = Node(number=first.text(1), parent=first.text(2), place=first)
            self._level = self._packing.open(node)
            self._packages(stretch, node)
        else:
            self._line(stretch)

    def _packages(self, stretch: list[Segment], node: Node) -> None:
        for segment in stretch:
            match segment.tag:
                case "PAC":
                    node.package = node.package or self._reading.text(segment.text(3), segment) or ""
                case "MEA":
                    node.weight = node.weight or _weight(self._reading, segment)
                case "GIN" if segment.text(1) in _SSCC:
                    for code in _identities(self._reading, segment):
                        self._packing.add(node, code, segment)
                case _:
                    pass

    def _line(self, stretch: list[Segment]) -> None:
        line = Line.read(self._reading, stretch, len(self._lines) + 1)
        data: dict[str, Any] = {"line": line.number, **line.product.fields(self._reading, line.number)}
        if quantity := line.quantity(*_DESPATCHED):
            data["quantity"] = quantity
        self._order(line, data)
        batch = next((gin for gin in stretch if gin.tag == "GIN" and gin.text(1) == _BATCH), None)
        lot = line.product.lot or (self._reading.text(batch.text(2), batch) if batch else None)
        if lot:
            data["lot"] = lot
        self._lines.append(data)
        self._pack(stretch, line, data)

    def _order(self, line: Line, data: dict[str, Any]) -> None:
        """The order, and the line of it, that a line belongs to; else the order of the header."""
        rff = line.reference("ON")
        order = self._reading.text(rff.text(1, 2), rff) if rff else None
        order = order or self._header.reference("ON")
        if order:
            data["purchase_order"] = order
        at = self._reading.text(rff.text(1, 3), rff) if rff else None
        if at:
            data["purchase_order_line"] = at

    def _pack(self, stretch: list[Segment], line: Line, data: dict[str, Any]) -> None:
        """Says which unit the line is in: one that is named with it, or the one of its level."""
        if self._level is None:
            self._level = self._packing.open(Node(number="", parent="", place=line.lin))
        own = [gin for gin in stretch if gin.tag == "GIN" and gin.text(1) in _SSCC]
        if not own:
            self._inside.append((data, self._level))
            return
        inner = Node(number=f"LIN {len(self._lines)}", parent=self._level.number, place=line.lin)
        self._packing.open(inner)
        for gin in own:
            for code in _identities(self._reading, gin):
                self._packing.add(inner, code, gin)
        self._inside.append((data, inner))

    def document(self, head: list[Segment]) -> Document:
        """The event's data, once all is read."""
        for line, node in self._inside:
            if unit := self._packing.unit_around(node, node.place):
                line["sscc"] = unit
        reading, header = self._reading, self._header
        if not self._lines:
            reading.missing("the despatch advice has no line", header.place)
        shipped = despatch(reading, header.date("11"), header.date("137"), header.place)
        eta = arrival(reading, header.date("132", "17", "358", "2"), shipped, header.place)
        supplier, ship_to = header.party("SU", "SE", "SF"), header.party("ST", "DP", "UC", "CN")
        data: dict[str, Any] = {
            "asn": header.document("despatch advice number"),
            "supplier": supplier.code if supplier else _sender(reading, header),
            "ship_to": ship_to.code if ship_to else reading.options.ship_to,
            "shipped_at": shipped.instant if shipped else None,
            "eta": eta.instant if eta else None,
            "lines": self._lines,
        }
        if data["ship_to"] is None:
            reading.missing("no place of delivery is named (NAD ST or DP)", header.place)
        if tree := self._packing.tree():
            data["sscc_tree"] = tree
        weight = next((found for mea in head if mea.tag == "MEA" and (found := _weight(reading, mea))), None)
        if weight:
            data["weight"] = weight
        at = reading.utc(header.date("137") or shipped)
        return Document(suffix="procurement.asn.received", data=data, place=header.place, at=at)


def _sender(reading: Reading, header: Header) -> str | None:
    if not reading.options.supplier:
        text = "no supplier is named (NAD SU); it is the sender of the interchange"
        reading.note("info", "supplier_from_envelope", text, header.place)
    return reading.options.supplier or reading.interchange.sender or None


def _weight(reading: Reading, mea: Segment) -> dict[str, str] | None:
    """The gross weight that a MEA states (6313 G or AAD; C174 unit and value)."""
    if mea.text(2) not in _GROSS or not mea.text(3, 2).strip():
        return None
    return reading.quantity(mea.text(3, 2), mea.text(3), mea)


def _identities(reading: Reading, gin: Segment) -> Iterator[str]:
    """The codes of a GIN (C208, up to five times): each alone, or a range from one to another."""
    for element in range(2, len(gin.elements) + 1):
        first, last = gin.text(element), gin.text(element, 2)
        if last and last != first:
            yield from _range(reading, first, last, gin)
        elif first:
            yield first


def _range(reading: Reading, first: str, last: str, gin: Segment) -> Iterator[str]:
    """All SSCCs from one to another: the 17 digits before the check digit are counted up."""
    try:
        begin, end = int(sscc(first)[:-1]), int(sscc(last)[:-1])
    except ValueError as error:
        reading.note("error", "sscc_range", f"the range from {first} to {last} cannot be read: {error}", gin)
        return
    if not 0 <= end - begin < _RANGE_MAX:
        reading.note("error", "sscc_range", f"from {first} to {last} is no range of SSCCs", gin)
        return
    for number in range(begin, end + 1):
        digits = f"{number:017}"
        total = sum(int(digit) * (3, 1)[at % 2] for at, digit in enumerate(digits))
        yield f"{digits}{-total % 10}"
