"""The tree of logistic units of a despatch advice: pallets, the boxes on them, and which line is in which."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

from adapters.edi.finding import Place
from adapters.edi.reading import Reading

__all__ = ["Node", "Packing"]


class Node(Struct):
    """A level of the packing (EDIFACT CPS, X12 HL): the units that are packed alike in it."""

    number: str
    parent: str
    place: Place
    package: str = ""
    weight: dict[str, str] | None = None
    units: list[str] = field(default_factory=list)


class Packing:
    """The nodes of one despatch advice, by their numbers."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._nodes: dict[str, Node] = {}

    def open(self, node: Node) -> Node:
        """Takes a node; a number that is there twice, or a parent that is not there yet, is an error."""
        if node.number in self._nodes:
            self._fault(f"level {node.number!r} of the packing is there twice", node)
        elif node.parent and node.parent not in self._nodes:
            self._fault(f"level {node.number!r} is in {node.parent!r}, which has not come before it", node)
        self._nodes.setdefault(node.number, node)
        return node

    def _fault(self, text: str, node: Node) -> None:
        self._reading.note("error", "packing", text, node.place)

    def add(self, node: Node, code: str, place: Place) -> str | None:
        """Puts a unit into a node; returns its SSCC, None if it is none."""
        sscc = self._reading.sscc(code, place)
        if sscc and any(sscc in other.units for other in self._nodes.values()):
            self._reading.note("warning", "sscc_repeated", f"SSCC {sscc} is there twice", place)
        elif sscc:
            node.units.append(sscc)
        return sscc

    def unit_around(self, node: Node, place: Place) -> str | None:
        """The one unit that what stands in a node is packed in: its own, else that of what is around it."""
        seen: set[str] = set()
        while node.number not in seen:
            seen.add(node.number)
            if len(node.units) > 1:
                text = "which of several logistic units holds a line is not told"
                self._reading.once("info", "packing_ambiguous", text, place)
                return None
            if node.units:
                return node.units[0]
            node = self._nodes.get(node.parent, node)
        return None

    def tree(self) -> list[dict[str, Any]]:
        """The logistic units, each with the one that it stands on or in."""
        found = []
        for node in self._nodes.values():
            outer = self._nodes.get(node.parent)
            parent = self.unit_around(outer, node.place) if outer else None
            for sscc in node.units:
                unit: dict[str, Any] = {"sscc": sscc}
                if parent and parent != sscc:
                    unit["parent"] = parent
                if node.package:
                    unit["package"] = node.package
                if node.weight and len(node.units) == 1:
                    unit["weight"] = node.weight
                found.append(unit)
        return found
