"""INVRPT (BGM 35) → inventory.balance.reported, one event for each balance of each line.

In D.96A a QTY opens a balance and INV follows it; in D.01B INV opens it and QTY follows. The quantities that
are balances are 145 (actual stock) and 17 (inventory on hand); movements and goods in transit are none.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from msgspec import Struct

from adapters.edi.edifact.dates import Dates
from adapters.edi.edifact.layout import Header, Line, named_party, parts
from adapters.edi.reading import Document, Reading, When
from adapters.edi.segment import Segment

__all__ = ["read_invrpt"]

_BALANCES: Final = ("145", "17")
_AS_OF: Final = ("366", "179", "7")
_STATUS: Final = {"1": "unrestricted", "2": "nonconforming"}
"""The canonical stock status of a type of inventory (7491): accepted, damaged. Others are told by none."""
_RESERVED: Final = "4"
_BATCH: Final = "BX"


def read_invrpt(reading: Reading, segments: Iterator[Segment]) -> Iterator[Document]:
    """The events of the report, line by line, so that a long one is never held as a whole."""
    stretches = parts(segments, "LIN")
    header = Header.read(reading, next(stretches))
    report = _Report(reading, header)
    for at, stretch in enumerate(stretches, start=1):
        yield from report.line(stretch, at)
    if not report.lines:
        reading.missing("the report has no line", header.place)


class _Balance(Struct):
    """A quantity with what qualifies it."""

    segments: list[Segment]

    def _first(self, tag: str) -> Segment | None:
        return next((segment for segment in self.segments if segment.tag == tag), None)

    @property
    def qty(self) -> Segment | None:
        """The QTY that states a balance, if one does."""
        return next((one for one in self.segments if one.tag == "QTY" and one.text(1) in _BALANCES), None)

    @property
    def kind(self) -> str:
        """The type of inventory (INV 7491)."""
        inv = self._first("INV")
        return inv.text(2) if inv else ""

    @property
    def storage(self) -> Segment | None:
        """The place that it names."""
        return self._first("LOC") or self._first("NAD")

    @property
    def batch(self) -> Segment | None:
        """The GIN that names its batch (BX)."""
        gin = self._first("GIN")
        return gin if gin and gin.text(1) == _BATCH else None

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes it another balance than the others of its line."""
        storage, batch = (one.text(2) if one else "" for one in (self.storage, self.batch))
        return self.kind, storage, batch


class _Report:
    """A stock report: what its header says counts for every line."""

    def __init__(self, reading: Reading, header: Header) -> None:
        self._reading, self._header = reading, header
        self._owner = header.party("GY", "WH", "ST", "SU", "BY")
        self._as_of = header.date(*_AS_OF, "137")
        self.lines = 0

    def line(self, stretch: list[Segment], ordinal: int) -> Iterator[Document]:
        """The balances of a line."""
        self.lines += 1
        head, balances = self._split(stretch)
        line = Line.read(self._reading, head, ordinal)
        product = line.product.fields(self._reading, line.number)
        lot = line.product.lot
        reserved = [one for one in balances if one.kind == _RESERVED]
        stock = [one for one in balances if one.kind != _RESERVED]
        if not stock:
            text = f"line {line.number} states no stock (QTY 145 or 17), and gives no event"
            self._reading.note("warning", "no_balance", text, line.lin)
        for balance in stock:
            at = self._moment(line, balance)
            data: dict[str, Any] = {
                "location": self._location(line, head, balance),
                "item": product.get("item"),
                "on_hand": self._quantity(balance),
                "as_of": at.instant if at else None,
                "lot": lot or self._lot(balance),
                "status": _STATUS.get(balance.kind),
                "reserved": self._quantity(reserved[0]) if len(stock) == len(reserved) == 1 else None,
            }
            yield Document(
                suffix="inventory.balance.reported",
                data={name: value for name, value in data.items() if value is not None},
                place=line.lin,
                at=self._reading.utc(at),
            )

    def _split(self, stretch: list[Segment]) -> tuple[list[Segment], list[_Balance]]:
        """What comes before the balances of a line, and those of them that state stock, each once."""
        begin = next((one.tag for one in stretch if one.tag in ("QTY", "INV")), "")
        head: list[Segment] = []
        groups: list[list[Segment]] = []
        for segment in stretch:
            if segment.tag == begin:
                groups.append([])
            (groups[-1] if groups else head).append(segment)
        found: dict[Any, _Balance] = {}
        for balance in sorted((_Balance(group) for group in groups), key=_rank):
            if balance.qty is None:
                continue
            if balance.key in found:
                text = "a second balance of the same stock is left out"
                self._reading.note("info", "balance_repeated", text, balance.qty)
            found.setdefault(balance.key, balance)
        return head, list(found.values())

    def _quantity(self, balance: _Balance) -> dict[str, str] | None:
        qty = balance.qty
        return self._reading.quantity(qty.text(1, 2), qty.text(1, 3), qty) if qty else None

    def _lot(self, balance: _Balance) -> str | None:
        gin = balance.batch
        return self._reading.text(gin.text(2), gin) if gin else None

    def _moment(self, line: Line, balance: _Balance) -> When | None:
        """As of when: as the balance, its line, or the report says."""
        dates = Dates(self._reading)
        for segment in balance.segments:
            if segment.tag == "DTM":
                dates.take(segment)
        found = dates.first(*_AS_OF) or line.dates.first(*_AS_OF) or self._as_of
        if found is None:
            text = "the report does not say as of when it is (DTM 366 or 137)"
            self._reading.once("error", "value_missing", text, self._header.place)
        return found

    def _location(self, line: Line, head: list[Segment], balance: _Balance) -> dict[str, str] | None:
        """Where the stock lies: at the place of the balance, of its line, or of the report."""
        places = [balance.storage, *(one for one in head if one.tag == "LOC"), *self._header.places.values()]
        place = next((one for one in places if one is not None and one.text(2)), None)
        owner = self._owner.code if self._owner else ""
        storage = self._code(place) if place else owner
        if not storage:
            text = f"line {line.number} does not say where the stock lies (NAD GY, LOC)"
            self._reading.missing(text, line.lin)
            return None
        return {"plant": self._reading.plant or owner or storage, "storage": storage}

    def _code(self, place: Segment) -> str:
        party = named_party(self._reading, place) if place.tag == "NAD" else None
        return party.code if party else self._reading.text(place.text(2), place) or ""


def _rank(balance: _Balance) -> int:
    """Actual stock comes before what is said to be on hand."""
    return _BALANCES.index(balance.qty.text(1)) if balance.qty else len(_BALANCES)
