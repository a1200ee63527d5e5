"""Value types, decimal text and the check digits of GS1 keys."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.values import (
    CODE_DOMAINS,
    DecimalText,
    EquipmentPath,
    Instant,
    Item,
    Location,
    Money,
    Quantity,
    Reason,
    decimal_text,
    equipment_path,
    gln,
    gtin14,
    sscc,
)

DIGITS = st.text(alphabet="0123456789", min_size=17, max_size=17).filter(
    lambda text: text[:7].strip("0") != ""
)


def mod10(body: str) -> str:
    """The GS1 check digit, written a second time: weights 3, 1, 3 … from the right."""
    weighted = sum(int(digit) * (3 if place % 2 == 0 else 1) for place, digit in enumerate(body[::-1]))
    return str(-weighted % 10)


@given(DIGITS, st.sampled_from([7, 11, 12, 13]))
def test_a_right_gtin_of_any_length_becomes_14_digits(digits: str, size: int) -> None:
    written = digits[:size] + mod10(digits[:size])
    assert gtin14(written) == written.rjust(14, "0")


@given(DIGITS)
def test_sscc_is_the_same_with_and_without_its_application_identifier(digits: str) -> None:
    bare = digits + mod10(digits)
    assert sscc(bare) == sscc("00" + bare) == sscc(f"(00) {bare}") == bare


@given(DIGITS, st.integers(0, 17), st.integers(1, 9))
def test_one_wrong_digit_is_always_found(digits: str, place: int, shift: int) -> None:
    right = digits + mod10(digits)
    wrong = right[:place] + str((int(right[place]) + shift) % 10) + right[place + 1 :]
    with pytest.raises(ValueError, match=r"check digit|all zeros"):
        sscc(wrong)


@pytest.mark.parametrize(
    ("read", "text", "said"),
    [
        (gtin14, "4012345000008", "check digit 8, 9 is right"),
        (gtin14, "40123450000", "has 11 digits, not 8 or 12 or 13 or 14"),
        (gtin14, "40123450000A9", "characters other than digits"),
        (gtin14, "٤012345000009", "characters other than digits"),
        (gtin14, "", "characters other than digits"),
        (gtin14, "00000000", "all zeros"),
        (gln, "04012345000009", "has 14 digits, not 13"),
        (sscc, "10340123450000000000", "has 20 digits, not 18"),
    ],
)
def test_a_wrong_gs1_key_says_what_is_wrong(read: Callable[[str], str], text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read(text)


def test_gs1_keys_may_be_written_with_spaces_and_hyphens() -> None:
    assert gln("40 12345-00000 9") == "4012345000009"


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**15), max_value=10**15, places=6))
def test_decimal_text_is_what_a_quantity_takes_and_loses_nothing(number: Decimal) -> None:
    text = decimal_text(number)
    assert Decimal(text) == number
    assert msgspec.convert({"value": text, "uom": "KGM"}, Quantity).value == text


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("12.50", "12.50"),
        ("+7", "7"),
        (".5", "0.5"),
        ("007", "7"),
        ("1E+3", "1000"),
        (7, "7"),
        ("1E-7", "0.0000001"),
    ],
)
def test_decimal_text_is_plain(written: str | int, text: str) -> None:
    assert decimal_text(written) == text


@pytest.mark.parametrize("written", ["1,5", "twelve", "", "NaN", "Infinity"])
def test_what_is_no_decimal_number_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="is no"):
        decimal_text(written)


def test_decimal_text_does_not_come_from_a_float() -> None:
    with pytest.raises(TypeError, match="not from float"):
        decimal_text(0.1)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["1,5", "1e3", "+1", "01", ".5", "5.", "", "1\n", " 1", "NaN"])
def test_a_decimal_field_refuses_other_spellings(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(text, DecimalText)


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="timezone"):
        msgspec.convert("2026-03-31T12:00:00", Instant)
    assert msgspec.convert("2026-03-31T12:00:00Z", Instant) == datetime(2026, 3, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize("path", ["acme", "acme/aachen", "acme/aachen/press-shop/line-1/press-3"])
def test_an_equipment_path_has_one_to_five_levels(path: str) -> None:
    assert "/".join(equipment_path(path)) == msgspec.convert(path, EquipmentPath) == path


@pytest.mark.parametrize("path", ["", "a//c", "/a", "a/", "a/b/c/d/e/f", "a/b c", "a/+", "a/#", "a/b\n"])
def test_what_is_no_equipment_path_is_refused_by_function_and_field(path: str) -> None:
    with pytest.raises(ValueError, match="equipment path"):
        equipment_path(path)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(path, EquipmentPath)


def test_values_refuse_fields_that_they_do_not_know() -> None:
    with pytest.raises(msgspec.ValidationError, match="unknown field `unit`"):
        msgspec.convert({"value": "1", "uom": "EA", "unit": "EA"}, Quantity)


def test_values_leave_out_what_is_not_given() -> None:
    assert msgspec.to_builtins(Item(item="4711")) == {"item": "4711"}
    assert msgspec.to_builtins(Location(plant="aachen", storage="0001")) == {
        "plant": "aachen",
        "storage": "0001",
    }
    assert msgspec.to_builtins(Reason(code="scrap")) == {"code": "scrap"}


def test_values_cannot_be_changed() -> None:
    amount = Money(value="1.00", currency="EUR")
    with pytest.raises(AttributeError):
        amount.value = "2.00"  # type: ignore[misc]


def test_code_domains_are_words_without_repetition() -> None:
    assert len(set(CODE_DOMAINS)) == len(CODE_DOMAINS)
    assert {"item", "equipment", "work_centre", "location", "supplier", "customer", "uom", "reason"} <= set(
        CODE_DOMAINS
    )
