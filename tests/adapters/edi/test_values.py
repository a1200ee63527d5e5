"""Dates, numbers, units and prices as messages write them."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from adapters.edi.config import EdifactOptions
from adapters.edi.edifact.dates import read_date
from adapters.edi.finding import Finding, Findings, Lines, Spot
from adapters.edi.interchange import Interchange, Message
from adapters.edi.reading import Reading, When
from adapters.edi.x12.dates import read_when
from adapters.edi.x12.units import from_rec20, to_rec20
from canonical.units import normalise

BERLIN = ZoneInfo("Europe/Berlin")
PLACE = Spot("QTY", 7, 70)


def reading(**options: Any) -> Reading:
    findings = Findings(Lines(""))
    message = Message(type="X", version="", reference="1", place=PLACE, start=0, end=1, position=1)
    one = Interchange(standard="edifact", findings=findings)
    return Reading(one, message, EdifactOptions(**options), BERLIN)


def told(of: Reading) -> list[tuple[str, str]]:
    found: list[Finding] = of.interchange.findings.all
    assert all((one.segment, one.position) == ("QTY", 7) for one in found)
    return [(one.severity, one.code) for one in found]


@pytest.mark.parametrize(
    ("value", "form", "expected"),
    [
        ("20260302", "102", "2026-03-01T23:00:00Z"),
        ("260302", "101", "2026-03-01T23:00:00Z"),
        ("202607021430", "203", "2026-07-02T12:30:00Z"),
        ("20260702143059", "204", "2026-07-02T12:30:59Z"),
        ("2603021430", "201", "2026-03-02T13:30:00Z"),
        ("020326", "2", "2026-03-01T23:00:00Z"),
        ("202603021430+0530", "205", "2026-03-02T09:00:00Z"),
        ("202603021430UTC", "303", "2026-03-02T14:30:00Z"),
        ("20260302143000GMT", "304", "2026-03-02T14:30:00Z"),
        ("202610", "616", "2026-03-01T23:00:00Z"),
        ("202603", "610", "2026-02-28T23:00:00Z"),
        ("20260302-20260306", "718", "2026-03-01T23:00:00Z"),
        ("2026030220260306", "718", "2026-03-01T23:00:00Z"),
        ("202603021430202603021500", "719", "2026-03-02T13:30:00Z"),
    ],
)
def test_a_date_is_read_by_its_format_in_the_partners_zone(value: str, form: str, expected: str) -> None:
    assert When(read_date(value, form, BERLIN)).instant == expected


@pytest.mark.parametrize(
    ("value", "form"),
    [
        ("20260230", "102"),
        ("2026030", "102"),
        ("202553", "616"),
        ("x", "102"),
        ("", ""),
        ("20260302", "999"),
        ("202603022430", "203"),
        ("202603021430CET", "303"),
        ("٢٠٢٦٠٣٠٢", "102"),
    ],
)
def test_what_is_no_date_is_told(value: str, form: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read_date(value, form, BERLIN)


@pytest.mark.parametrize(
    ("day", "time", "zone", "expected"),
    [
        ("20260302", "", "", "2026-03-01T23:00:00Z"),
        ("260302", "", "ET", "2026-03-01T23:00:00Z"),
        ("20260302", "0930", "", "2026-03-02T08:30:00Z"),
        ("20260302", "093015", "LT", "2026-03-02T08:30:15Z"),
        ("20260302", "09301599", "UT", "2026-03-02T09:30:15Z"),
        ("20260702", "0930", "ET", "2026-07-02T13:30:00Z"),
        ("20260702", "0930", "ES", "2026-07-02T14:30:00Z"),
        ("20260302", "0930", "ZZ", "2026-03-02T08:30:00Z"),
    ],
)
def test_a_date_of_x12_is_read_with_its_time_and_zone(day: str, time: str, zone: str, expected: str) -> None:
    one = reading()
    found = read_when(one, day, time, zone, PLACE)
    assert found is not None
    assert found.instant == expected
    assert told(one) == ([("warning", "zone_unknown")] if zone == "ZZ" else [])


@pytest.mark.parametrize(
    ("day", "time"), [("20260230", ""), ("2026", ""), ("20260302", "2460"), ("20260302", "9")]
)
def test_what_is_no_date_of_x12_is_told(day: str, time: str) -> None:
    one = reading()
    assert read_when(one, day, time, "", PLACE) is None
    assert told(one) == [("error", "date")]


def test_a_date_keeps_its_day() -> None:
    assert When(datetime(2026, 3, 2, tzinfo=BERLIN)).day == "2026-03-02"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("5", "5"),
        ("12.50", "12.50"),
        ("12,50", "12.50"),
        ("-3", "-3"),
        ("3-", "-3"),
        ("+3", "3"),
        ("007", "7"),
        (".5", "0.5"),
        ("5.", "5"),
        (" 5 ", "5"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
    ],
)
def test_a_number_keeps_its_digits(written: str, expected: str) -> None:
    assert reading().decimal(written, PLACE) == expected


@pytest.mark.parametrize("written", ["x", "1.000,5", "1 000", "1e5", "NaN", "1,2,3", "--1", "٣", "1" * 61])
def test_what_is_no_number_is_an_error(written: str) -> None:
    one = reading()
    assert one.decimal(written, PLACE) is None
    assert told(one) == [("error", "number")]


@pytest.mark.parametrize(
    ("unit", "uom", "findings"),
    [
        ("KGM", "KGM", []),
        ("PCE", "H87", [("info", "uom_alias")]),
        ("", "C62", [("warning", "uom_missing")]),
        ("XYZ", "XYZ", [("warning", "uom_unknown")]),
        ("CT", "CT", []),
    ],
)
def test_a_quantity_has_a_unit_of_rec_20(unit: str, uom: str, findings: list[tuple[str, str]]) -> None:
    one = reading()
    for _ in range(3):  # the same finding is told once
        assert one.quantity("2", unit, PLACE) == {"value": "2", "uom": uom}
    assert told(one) == findings


def test_units_of_x12_are_translated_there_and_back() -> None:
    for code in ("LB", "KG", "PC", "FT", "GA", "CA", "EA", "BX"):
        rec20 = to_rec20(code) or code
        assert normalise(rec20) == (rec20, None)
        assert from_rec20(rec20) == code
    assert from_rec20("XYZ") is None


@pytest.mark.parametrize(
    ("value", "per", "expected"),
    [("3630.1724", "100", "36.301724"), ("1", "", "1"), ("1", "3", "0.3333333333333333333333333333333333")],
)
def test_a_price_is_for_one_unit(value: str, per: str, expected: str) -> None:
    assert reading().price(value, per, "EUR", PLACE) == {"value": expected, "currency": "EUR"}


@pytest.mark.parametrize(
    ("currency", "agreed", "expected"),
    [("EUR", "USD", "EUR"), ("", "USD", "USD"), ("", None, None), ("EU", None, None)],
)
def test_a_price_needs_a_currency(currency: str, agreed: str | None, expected: str | None) -> None:
    one = reading(currency=agreed)
    found = one.money("1", currency, PLACE)
    assert (found and found["currency"]) == expected
    assert told(one) == ([] if expected else [("warning", "currency_missing")])


@pytest.mark.parametrize(
    ("key", "value", "expected", "findings"),
    [
        ("gtin", "4060000010016", "04060000010016", []),
        ("gtin", "012345678905", "00012345678905", []),
        ("gtin", "4060000010012", "04060000010012", [("warning", "check_digit")]),
        ("gtin", "ABC", None, [("warning", "key_invalid")]),
        ("sscc", "340600001000000008", "340600001000000008", []),
        ("sscc", "00340600001000000008", "340600001000000008", []),
        ("sscc", "(00)340600001000000008", "340600001000000008", []),
        ("sscc", "00340600001000000001", "340600001000000001", [("warning", "check_digit")]),
        ("sscc", "3406", None, [("warning", "key_invalid")]),
    ],
)
def test_a_wrong_check_digit_is_told_and_kept(
    key: str, value: str, expected: str | None, findings: list[tuple[str, str]]
) -> None:
    one = reading()
    assert getattr(one, key)(value, PLACE) == expected
    assert told(one) == findings


def test_control_characters_in_a_text_are_an_error() -> None:
    one = reading()
    assert one.text(" A\x07B ", PLACE) == "AB"
    assert told(one) == [("error", "control_character")]
