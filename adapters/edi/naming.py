"""Who and what a message names: parties and products, each under several codes."""

from __future__ import annotations

from typing import Final

from msgspec import Struct, field

from adapters.edi.finding import Place
from adapters.edi.reading import Reading

__all__ = ["BUYERS", "GTINS", "LOTS", "SUPPLIERS", "Party", "Product"]

# EDIFACT 7143 and X12 235 qualify with the same kind of code, and mostly the same ones.
BUYERS: Final = ("IN", "BP", "CB", "SK", "PI")
"""Codes that the buyer gave: item, part, catalogue number, stock keeping unit."""
SUPPLIERS: Final = ("SA", "VP", "VN", "VC", "VA", "MG", "MF")
"""Codes that the supplier, vendor or manufacturer gave."""
GTINS: Final = ("EN", "SRV", "UP", "UK", "EO", "UA", "EU")
LOTS: Final = ("NB", "LT", "B8")
_NO_PRODUCTS: Final = frozenset({"PL", "PO", "EC", "DR", "CL", "SZ", "PR", "DV", "RO"})
"""Codes that stand among those of products and name none: orders, their lines, drawings, colours, sizes."""
_KNOWN: Final = frozenset({*BUYERS, *SUPPLIERS, *GTINS, *LOTS, *_NO_PRODUCTS})


class Party(Struct, frozen=True):
    """A party by its code, and the segment that names it."""

    code: str
    place: Place

    @classmethod
    def read(cls, reading: Reading, code: str, name: str, place: Place, *, gln: bool) -> Party | None:
        """The party of a code, or where there is none, of its name; None for neither."""
        found = reading.text(code, place)
        if found is None:
            named = reading.text(name, place)
            if named is None:
                return None
            text = f"{place.tag} gives no code of {named!r}, which is known by its name"
            reading.note("warning", "party_by_name", text, place)
            return cls(named, place)
        if gln:
            reading.gln(found, place)
        return cls(found, place)


class Product(Struct):
    """The codes of one product as they are found; the first of a kind counts."""

    place: Place
    codes: dict[str, str] = field(default_factory=dict)

    def take(self, reading: Reading, qualifier: str, value: str, place: Place) -> None:
        """Notes a code."""
        found = reading.text(value, place)
        if found is not None:
            self.codes.setdefault(qualifier.strip().upper(), found)

    def _any(self, qualifiers: tuple[str, ...]) -> str | None:
        return next((self.codes[one] for one in qualifiers if one in self.codes), None)

    def fields(self, reading: Reading, line: str) -> dict[str, str]:
        """``item``, and ``supplier_item``, ``gtin`` where known.

        The item is the buyer's code; without one the supplier's, any other, or the GTIN. A line without any
        code is an error.
        """
        buyer, supplier, gtin = self._any(BUYERS), self._any(SUPPLIERS), self._any(GTINS)
        other = next((code for kind, code in self.codes.items() if kind not in _KNOWN), None)
        item = buyer or supplier or other or gtin
        if item is None:
            reading.missing(f"line {line} names no product", self.place)
            return {}
        found = {"item": item}
        if supplier:
            found["supplier_item"] = supplier
        digits = reading.gtin(gtin, self.place) if gtin else None
        if digits:
            found["gtin"] = digits
        return found

    @property
    def lot(self) -> str | None:
        """The batch that it is from."""
        return self._any(LOTS)
