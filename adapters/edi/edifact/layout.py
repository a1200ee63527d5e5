"""What messages of EDIFACT have in common: header and lines, parties, products, quantities."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct, field

from adapters.edi.edifact.dates import Dates
from adapters.edi.finding import Place
from adapters.edi.naming import Party, Product
from adapters.edi.reading import Reading, When
from adapters.edi.segment import Segment

__all__ = ["Header", "Line", "named_party", "parts"]


def parts(segments: Iterator[Segment], *begins: str) -> Iterator[list[Segment]]:
    """The header, then each stretch that begins with one of some tags, up to UNS+S.

    What follows that, the summary, is what is left of ``segments`` afterwards.
    """
    part: list[Segment] = []
    for segment in segments:
        if segment.tag == "UNS" and segment.text(1) == "S":
            break
        if segment.tag in begins:
            yield part
            part = []
        part.append(segment)
    yield part


def named_party(reading: Reading, nad: Segment) -> Party | None:
    """The party of a NAD: C082 with the responsible agency 9 is a GLN; its name is in C080 or C058."""
    name = nad.text(4) or nad.text(3)
    return Party.read(reading, nad.text(2), name, nad, gln=nad.text(2, 3) == "9")


class Header(Struct):
    """The header of a message, as far as mappers read it. The first of a kind counts."""

    reading: Reading
    dates: Dates
    bgm: Segment | None = None
    parties: dict[str, Segment] = field(default_factory=dict)
    references: dict[str, Segment] = field(default_factory=dict)
    places: dict[str, Segment] = field(default_factory=dict)
    currency: str = ""

    @classmethod
    def read(cls, reading: Reading, segments: list[Segment]) -> Header:
        """The header of some segments, up to the first line."""
        header = cls(reading, Dates(reading))
        for segment in segments:
            header.take(segment)
        return header

    def take(self, segment: Segment) -> None:
        """Takes a segment of the header."""
        match segment.tag:
            case "BGM":
                self.bgm = self.bgm or segment
            case "DTM":
                self.dates.take(segment)
            case "NAD":
                self.parties.setdefault(segment.text(1), segment)
            case "RFF":
                self.references.setdefault(segment.text(1), segment)
            case "LOC":
                self.places.setdefault(segment.text(1), segment)
            case "CUX":
                self.currency = self.currency or segment.text(1, 2)
            case _:
                pass

    @property
    def place(self) -> Place:
        """Where faults of the whole message are told."""
        return self.bgm or self.reading.message.place

    def document(self, what: str) -> str | None:
        """The number of the document (BGM C106 1004); a missing one is an error."""
        number = self.reading.text(self.bgm.text(2), self.bgm) if self.bgm else None
        if number is None:
            self.reading.missing(f"BGM names no {what}", self.place)
        return number

    def party(self, *functions: str) -> Party | None:
        """The first party of some functions (3035) that is there, in the order asked for."""
        for function in functions:
            nad = self.parties.get(function)
            found = named_party(self.reading, nad) if nad else None
            if found:
                return found
        return None

    def reference(self, qualifier: str) -> str | None:
        """The number of the first reference of a qualifier (1153)."""
        rff = self.references.get(qualifier)
        return self.reading.text(rff.text(1, 2), rff) if rff else None

    def date(self, *functions: str) -> When | None:
        """The first date of some functions (2005) that is there."""
        return self.dates.first(*functions)


class Line(Struct):
    """A LIN with what belongs to it."""

    reading: Reading
    lin: Segment
    number: str
    product: Product
    dates: Dates
    quantities: list[Segment] = field(default_factory=list)
    prices: list[Segment] = field(default_factory=list)
    references: list[Segment] = field(default_factory=list)

    @classmethod
    def read(cls, reading: Reading, segments: list[Segment], ordinal: int) -> Line:
        """The line that begins with the first segment, a LIN."""
        lin = segments[0]
        number = reading.text(lin.text(1), lin) or str(ordinal)
        line = cls(reading, lin, number, Product(lin), Dates(reading))
        line.product.take(reading, lin.text(3, 2), lin.text(3), lin)
        for segment in segments[1:]:
            line.take(segment)
        return line

    def take(self, segment: Segment) -> None:
        """Takes a segment of the line."""
        match segment.tag:
            case "PIA":
                for element in range(2, len(segment.elements) + 1):
                    self.product.take(self.reading, segment.text(element, 2), segment.text(element), segment)
            case "QTY":
                self.quantities.append(segment)
            case "DTM":
                self.dates.take(segment)
            case "PRI":
                self.prices.append(segment)
            case "RFF":
                self.references.append(segment)
            case _:
                pass

    def quantity(self, *qualifiers: str) -> dict[str, str] | None:
        """The quantity of the first of some qualifiers (6063) that is there; None is an error, and noted."""
        for qualifier in qualifiers:
            for qty in self.quantities:
                if qty.text(1) == qualifier and qty.text(1, 2).strip():
                    return self.reading.quantity(qty.text(1, 2), qty.text(1, 3), qty)
        self.reading.missing(f"line {self.number} has no quantity (QTY {qualifiers[0]})", self.lin)
        return None

    def reference(self, qualifier: str) -> Segment | None:
        """The first reference of a qualifier (1153)."""
        return next((rff for rff in self.references if rff.text(1) == qualifier), None)
