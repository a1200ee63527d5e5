"""Units of measure: what converts, how exactly, and how other worlds write them."""

import subprocess
import sys
from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.units import (
    COUNTS,
    PACKAGES,
    UNITS,
    UnitError,
    convert,
    from_opcua,
    normalise,
    symbol,
    to_opcua,
)

AMOUNTS = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9, places=3)
PAIRS = sorted(
    (one.code, other.code)
    for one in UNITS.values()
    for other in UNITS.values()
    if one.kind == other.kind and one.code != other.code
)


@pytest.mark.parametrize(
    ("value", "from_uom", "to_uom", "expected"),
    [
        ("1500", "GRM", "KGM", "1.5"),
        ("90", "MIN", "HUR", "1.5"),
        ("1", "INH", "MMT", "25.4"),
        ("1", "KWH", "MJ", None),
        ("1", "KWH", "3B", "3.6"),
        ("1", "BAR", "KPA", "100"),
        ("36", "KMH", "MTS", "10"),
        ("1", "GLL", "LTR", "3.785411784"),
        ("1", "LBR", "GRM", "453.59237"),
        ("1", "STN", "LBR", "2000"),
        ("60", "L2", "MQH", "3.6"),
        ("50", "P1", "C62", "0.5"),
        ("3000", "RPM", "RPS", "50"),
        ("20", "CEL", "FAH", "68"),
        ("-40", "FAH", "CEL", "-40"),
        ("0", "CEL", "KEL", "273.15"),
    ],
)
def test_conversions_are_exact(value: str, from_uom: str, to_uom: str, expected: str | None) -> None:
    if expected is None:
        with pytest.raises(UnitError, match=f"{from_uom} does not convert to {to_uom}: {to_uom} is no unit"):
            convert(Decimal(value), from_uom, to_uom)
    else:
        assert convert(Decimal(value), from_uom, to_uom) == Decimal(expected)


@given(AMOUNTS, st.sampled_from(PAIRS))
def test_there_and_back_gives_the_same_value(amount: Decimal, pair: tuple[str, str]) -> None:
    one, other = pair
    back = convert(convert(amount, one, other), other, one)
    # 34 digits on the way; an offset (273.15) costs a small value some of its own.
    assert abs(back - amount) <= max(abs(amount), Decimal(1000)) * Decimal("1e-30")


@pytest.mark.parametrize("code", sorted(UNITS))
def test_every_unit_of_the_table_is_known_to_pint(code: str) -> None:
    for other in UNITS.values():
        if other.kind == UNITS[code].kind and other.code != code:
            assert convert(Decimal(1), code, other.code, delta=True) > 0


def test_the_offset_of_a_temperature_does_not_apply_to_a_difference() -> None:
    assert convert(Decimal(10), "CEL", "FAH", delta=True) == 18
    assert convert(Decimal(10), "CEL", "KEL", delta=True) == 10


def test_the_same_code_leaves_a_value_untouched() -> None:
    assert str(convert(Decimal("1.500"), "EA", "EA")) == "1.500"
    assert str(convert(Decimal("1.500"), "ZZ-own", "ZZ-own")) == "1.500"


def test_the_callers_decimal_context_changes_nothing() -> None:
    with localcontext(prec=3):
        assert convert(Decimal("123456.789"), "MTR", "KMT") == Decimal("123.456789")


@pytest.mark.parametrize(
    ("from_uom", "to_uom", "said"),
    [
        ("KGM", "MTR", "KGM measures mass, MTR measures length"),
        ("NU", "JOU", "NU measures torque, JOU measures energy"),
        ("KWT", "KVA", "KWT measures power, KVA measures apparent power"),
        ("RPM", "HTZ", "RPM measures rotation, HTZ measures frequency"),
        ("EA", "H87", "EA counts things .each., a steward must say"),
        ("C62", "EA", "EA counts things"),
        ("BX", "EA", "BX is a package .box., it needs the item's own factor"),
        ("KGM", "RO", "RO is a package"),
        ("KGM", "kg", "kg is no unit that we know"),
    ],
)
def test_what_does_not_convert_says_why_and_names_both(from_uom: str, to_uom: str, said: str) -> None:
    with pytest.raises(UnitError, match=f"^{from_uom} does not convert to {to_uom}: {said}"):
        convert(Decimal(1), from_uom, to_uom)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1E+999999", "1E-999999"])
def test_numbers_beyond_all_measure_are_refused(value: str) -> None:
    with pytest.raises(UnitError, match="is no number"):
        convert(Decimal(value), "KGM", "GRM")


def test_codes_mean_one_thing() -> None:
    assert not set(UNITS) & set(COUNTS)
    assert not (set(UNITS) | set(COUNTS)) & set(PACKAGES)


@pytest.mark.parametrize(
    ("code", "unit_id"), [("KGM", 4933453), ("EA", 17729), ("CEL", 4408652), ("2Z", 12890)]
)
def test_an_opcua_unit_id_spells_the_code(code: str, unit_id: int) -> None:
    assert from_opcua(unit_id) == code
    assert to_opcua(code) == unit_id


@given(st.text(alphabet="ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=1, max_size=3))
def test_every_code_survives_opcua(code: str) -> None:
    assert from_opcua(to_opcua(code)) == code


@pytest.mark.parametrize("unit_id", [-1, 0, 1, 2**31, 0x4B00474D, 0x6B676D])
def test_a_unit_id_that_spells_nothing_is_refused(unit_id: int) -> None:
    with pytest.raises(UnitError, match="spells no unit code"):
        from_opcua(unit_id)


@pytest.mark.parametrize("code", ["", "kgm", "KGMX", "K M", "°C"])
def test_what_is_no_code_has_no_unit_id(code: str) -> None:
    with pytest.raises(UnitError):
        to_opcua(code)


def test_pce_is_read_as_h87_and_counted() -> None:
    code, finding = normalise("PCE")
    assert code == "H87"
    assert finding is not None
    assert finding.code == "uom_alias"


@pytest.mark.parametrize("code", ["KGM", "EA", "H87", "C62", "NAR", "BX", "CT", "PK", "RO"])
def test_a_code_of_the_recommendations_is_no_finding(code: str) -> None:
    assert normalise(code) == (code, None)


def test_a_code_in_small_letters_is_read_and_counted() -> None:
    code, finding = normalise(" kgm ")
    assert (code, finding and finding.code) == ("KGM", "uom_alias")


def test_an_unknown_code_stays_for_a_crosswalk_to_translate() -> None:
    code, finding = normalise("Stk")
    assert (code, finding and finding.code) == ("Stk", "uom_unknown")


@pytest.mark.parametrize(
    ("code", "written"), [("CEL", "°C"), ("MTQ", "m³"), ("P1", "%"), ("H87", "pc"), ("STK", "STK")]
)
def test_units_are_shown_as_people_write_them(code: str, written: str) -> None:
    assert symbol(code) == written


def test_pint_is_not_imported_before_it_is_needed() -> None:
    probe = (
        "import sys, canonical.units, canonical.catalogue; "
        "sys.exit(bool({'pint', 'jsonschema'} & {*sys.modules}))"
    )
    assert subprocess.run([sys.executable, "-c", probe], check=False).returncode == 0
