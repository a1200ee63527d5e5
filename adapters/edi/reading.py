"""Reading: how a mapper takes values out of a message, and notes what is wrong with them.

Values come out in the form that the catalogue has: decimal numbers as text, units as Rec 20 codes, moments in
UTC. What a source wrote is kept wherever it can be; what was read otherwise, or assumed, is a finding.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from decimal import Context, Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

from msgspec import Struct

from adapters.edi.config import EdiOptions
from adapters.edi.finding import Findings, Place, Severity
from adapters.edi.interchange import Interchange, Message
from canonical import units, values
from canonical.times import rfc3339

__all__ = ["Document", "Reading", "When"]

_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+(?:[.,][0-9]*)?|[.,][0-9]+)-?")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_NO_UNIT: Final = "C62"
_WIDE: Final = Context(prec=34)


class Document(Struct, kw_only=True):
    """What a message says, as data of one type of event; ``at`` is when it happened, UTC."""

    suffix: str
    data: dict[str, Any]
    place: Place
    at: datetime | None = None


class When(Struct, frozen=True):
    """A date or a moment that a message gives, in the zone of the partner unless it names its own.

    A date without a time is the begin of that day.
    """

    moment: datetime

    @property
    def day(self) -> str:
        """The calendar day, as written."""
        return self.moment.date().isoformat()

    @property
    def instant(self) -> str:
        """The moment, RFC 3339 in UTC."""
        return rfc3339(self.moment)

    @classmethod
    def of_day(cls, day: date, zone: ZoneInfo) -> When:
        """The begin of a day."""
        return cls(datetime(day.year, day.month, day.day, tzinfo=zone))


class Reading:
    """One message as it is read: its surroundings, and where findings go."""

    def __init__(
        self,
        interchange: Interchange,
        message: Message,
        options: EdiOptions,
        zone: ZoneInfo,
        plant: str | None = None,
    ) -> None:
        self.interchange, self.message, self.options = interchange, message, options
        self.zone, self.plant = zone, plant
        self._findings: Findings = interchange.findings
        self._told: set[str] = set()

    def note(self, severity: Severity, code: str, message: str, place: Place) -> None:
        """Notes a finding."""
        self._findings.add(severity, code, message, place)

    def missing(self, what: str, place: Place) -> None:
        """Notes that something is not there without which there is no event."""
        self.note("error", "value_missing", what, place)

    def once(self, severity: Severity, code: str, message: str, place: Place) -> None:
        """Notes a finding at its first place in the message only: it would be the same on every line."""
        if message not in self._told:
            self._told.add(message)
            self.note(severity, code, message, place)

    def text(self, value: str, place: Place) -> str | None:
        """A text without surrounding blanks, None for an empty one; control characters are an error."""
        value = value.strip()
        if _CONTROL.search(value):
            self.note("error", "control_character", f"{value!r} has a control character", place)
            value = _CONTROL.sub("", value)
        return value or None

    def decimal(self, value: str, place: Place) -> str | None:
        """A decimal number as text, whichever decimal mark it has; None for an empty one, or an error."""
        value = value.strip()
        if not value:
            return None
        if not _NUMBER.fullmatch(value) or len(value) > 60:
            self.note("error", "number", f"{value[:60]!r} is no decimal number", place)
            return None
        if value.endswith("-"):
            value = f"-{value.strip('+-')}"
        return values.decimal_text(value.replace(",", "."))

    def quantity(
        self,
        value: str,
        unit: str,
        place: Place,
        translate: Callable[[str], str | None] = lambda code: None,
    ) -> dict[str, str] | None:
        """A Quantity, or None when there is no number. ``translate`` knows units of the standard's own."""
        amount = self.decimal(value, place)
        if amount is None:
            return None
        return {"value": amount, "uom": self._unit(self.text(unit, place) or "", place, translate)}

    def _unit(self, unit: str, place: Place, translate: Callable[[str], str | None]) -> str:
        if not unit:
            self.once("warning", "uom_missing", f"a quantity without a unit is read as {_NO_UNIT}", place)
            return _NO_UNIT
        known = translate(unit.upper())
        if known is not None:
            if known != unit:
                self.once("info", "uom_alias", f"unit {unit!r} is read as {known}", place)
            return known
        code, finding = units.normalise(unit)
        if finding:
            self.once(
                "info" if finding.code == "uom_alias" else "warning", finding.code, finding.detail, place
            )
        return code

    def price(self, value: str, per: str, currency: str, place: Place) -> dict[str, str] | None:
        """The Money for one unit, of a price for ``per`` units; None without a number or a currency."""
        amount, basis = self.decimal(value, place), self.decimal(per or "1", place)
        if amount is None or basis is None:
            return None
        if Decimal(basis) <= 0:
            self.note("error", "number", f"a price for {basis} units", place)
            return None
        if Decimal(basis) != 1:
            amount = values.decimal_text(_WIDE.divide(Decimal(amount), Decimal(basis)))
        return self.money(amount, currency, place)

    def money(self, amount: str | None, currency: str, place: Place) -> dict[str, str] | None:
        """Money in the message's currency, or the agreed one; None without a number or a currency."""
        if amount is None:
            return None
        known = currency.strip() or self.options.currency or ""
        if not re.fullmatch("[A-Z]{3}", known):
            told = f"of currency {known!r}" if known else "without a currency"
            text = f"prices {told} are left out; `currency` in the options may name it"
            self.once("warning", "currency_missing", text, place)
            return None
        return {"value": amount, "currency": known}

    def gtin(self, value: str, place: Place) -> str | None:
        """A GTIN of 14 digits; one with a wrong check digit is kept, one of no GTIN's length is not."""
        return self._key(values.gtin14, value, (8, 12, 13, 14), 14, place)

    def sscc(self, value: str, place: Place) -> str | None:
        """An SSCC of 18 digits; one with a wrong check digit is kept, one of another length is not."""
        bare = value.strip().replace("(00)", "00", 1)
        return self._key(values.sscc, bare.removeprefix("00") if len(bare) == 20 else bare, (18,), 18, place)

    def gln(self, value: str, place: Place) -> None:
        """Notes a GLN whose check digit or length is wrong."""
        try:
            values.gln(value)
        except ValueError as error:
            self.note("warning", "check_digit", str(error), place)

    def _key(
        self,
        check: Callable[[str], str],
        value: str,
        sizes: Iterable[int],
        size: int,
        place: Place,
    ) -> str | None:
        try:
            return check(value)
        except ValueError as error:
            digits = value.strip()
            kept = digits.isascii() and digits.isdigit() and len(digits) in sizes
            self.note("warning", "check_digit" if kept else "key_invalid", str(error), place)
            return digits.zfill(size) if kept else None

    def utc(self, when: When | None) -> datetime | None:
        """The moment in UTC, for the time of an event."""
        return when.moment.astimezone(UTC) if when else None
