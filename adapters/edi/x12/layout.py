"""What transaction sets have in common: loops, parties, products, dates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from adapters.edi.naming import Party, Product
from adapters.edi.reading import Reading, When
from adapters.edi.segment import Segment
from adapters.edi.x12.dates import read_when
from adapters.edi.x12.units import to_rec20

__all__ = ["dated", "loops", "parties", "product", "quantity"]

_GLN = "UL"


def loops(segments: Iterator[Segment], *begins: str) -> Iterator[list[Segment]]:
    """The header, then each loop that begins with one of some tags, up to CTT.

    What follows that, the summary, is what is left of ``segments`` afterwards.
    """
    loop: list[Segment] = []
    for segment in segments:
        if segment.tag in ("CTT", "SE"):
            break
        if segment.tag in begins:
            yield loop
            loop = []
        loop.append(segment)
    yield loop


def parties(reading: Reading, segments: Iterable[Segment], *roles: str) -> Party | None:
    """The party of the first of some roles (N101) that is named, in the order asked for."""
    named: dict[str, Segment] = {}
    for segment in segments:
        if segment.tag == "N1":
            named.setdefault(segment.text(1).strip(), segment)
    for role in roles:
        n1 = named.get(role)
        if n1 is None:
            continue
        gln = n1.text(3).strip() == _GLN
        party = Party.read(reading, n1.text(4), n1.text(2), n1, gln=gln)
        if party:
            return party
    return None


def product(reading: Reading, segment: Segment, first: int) -> Product:
    """The product whose codes stand in pairs from an element on."""
    found = Product(segment)
    for qualifier, value in segment.pairs(first):
        found.take(reading, qualifier, value, segment)
    return found


def dated(reading: Reading, segments: Iterable[Segment], *qualifiers: str) -> When | None:
    """The first date of some qualifiers (DTM01) that is there, in the order asked for."""
    told: dict[str, Segment] = {}
    for segment in segments:
        if segment.tag == "DTM":
            told.setdefault(segment.text(1).strip(), segment)
    for qualifier in qualifiers:
        dtm = told.get(qualifier)
        found = read_when(reading, dtm.text(2), dtm.text(3), dtm.text(4), dtm) if dtm else None
        if found:
            return found
    return None


def quantity(reading: Reading, value: str, unit: str, place: Segment) -> dict[str, str] | None:
    """A Quantity of an amount and a unit of X12."""
    return reading.quantity(value, unit, place, to_rec20)
