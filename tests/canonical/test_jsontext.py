"""Reading JSON of strangers: bounds, exact numbers, and the place of every fault."""

from __future__ import annotations

import contextlib
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canonical.errors import Invalid
from canonical.jsontext import read_json


def fault(body: bytes, **options: Any) -> Invalid:
    with pytest.raises(Invalid) as caught:
        read_json(body, **options)
    return caught.value


@pytest.mark.parametrize(
    ("body", "code", "where", "detail"),
    [
        (b"", "not_json", "line 1 column 1", "nothing is there"),
        (b"  ", "not_json", "line 1 column 3", "nothing is there"),
        (b'{"a": 1', "not_json", "line 1 column 8", "ends too early"),
        (b'{"a": 1} x', "not_json", "line 1 column 10", "trailing characters"),
        (b'{"a": 1,\n "b": x}', "not_json", "line 2 column 7", "invalid character"),
        ('{"äö": x}'.encode(), "not_json", "line 1 column 8", "invalid character"),
        (b"NaN", "not_json", "line 1 column 1", "invalid character"),
        (b"[Infinity]", "not_json", "line 1 column 2", "invalid character"),
        (b"[-Infinity]", "not_json", "line 1 column 3", "invalid"),
        (b"01", "not_json", "line 1 column 2", "invalid number"),
        (b"'a'", "not_json", "line 1 column 1", "invalid character"),
        (b'"a\x01b"', "not_json", "line 1 column 3", "invalid character"),
        (rb'["\ud800"]', "not_json", "line 1 column 3", "surrogate pair"),
        (rb'["a", "\udc00\ud800"]', "not_json", "line 1 column 8", "surrogate pair"),
        (b'{"a": "\xff"}', "not_utf8", "line 1 column 8", "byte 0xff is not UTF-8"),
        (b'\n{"a": "\xed\xa0\x80"}', "not_utf8", "line 2 column 8", "byte 0xed is not UTF-8"),
        ('{"a": 1}'.encode("utf-16"), "not_utf8", "line 1 column 1", "byte 0xff is not UTF-8"),
        (b"1e400", "not_json", "", "out of range"),
        (b"1" * 5000, "not_json", "", "out of range"),
        (rb'{"a\u0000b": 1}', "nul", "", "U+0000"),
        (rb'{"a": ["b\u0000"]}', "nul", "", "U+0000"),
    ],
)
def test_a_fault_has_its_place(body: bytes, code: str, where: str, detail: str) -> None:
    error = fault(body)
    assert error.code == code
    assert error.errors[0][0] == where
    assert detail in error.errors[0][1]
    assert detail in error.message


def test_lines_are_counted_from_where_the_caller_says() -> None:
    assert fault(b"x", first_line=7).errors[0][0] == "line 7 column 1"


def test_a_byte_order_mark_is_skipped() -> None:
    assert read_json(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}


def test_a_backslash_before_u0000_is_no_nul() -> None:
    assert read_json(rb'["\\u0000"]') == [r"\u0000"]


def test_size_and_depth_are_bounded() -> None:
    assert fault(b"[1, 2]", max_bytes=5).code == "too_large"
    assert read_json(b"[[1]]", max_depth=2) == [[1]]
    assert fault(b'[{"a": [1]}]', max_depth=2).code == "too_deep"
    assert read_json(b"[" * 64 + b"]" * 64)
    assert fault(b"[" * 65 + b"]" * 65).code == "too_deep"
    assert len(read_json(b"[" + b"[]," * 1000 + b"[]]")) == 1001


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 50_000, b"[" * 100_000 + b"]" * 100_000])
def test_a_nesting_bomb_is_refused(body: bytes) -> None:
    assert fault(body).code in ("too_deep", "not_json")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.5", 1.5),
        ("12.50", 12.5),
        ("1e3", 1000.0),
        ("0.1", 0.1),
        ("0.1234567890123456789", "0.1234567890123456789"),
        ("1e400", "1e400"),
        ("-1e-400", "-1e-400"),
        ("12345678901234567890.5", "12345678901234567890.5"),
        ("9223372036854775807", 2**63 - 1),
        ("9223372036854775808", "9223372036854775808"),
        ("-9223372036854775809", "-9223372036854775809"),
        ("100000000000000000000000000000000000001", "100000000000000000000000000000000000001"),
    ],
)
def test_no_digit_of_a_number_is_lost(text: str, value: object) -> None:
    found = read_json(f'{{"n": [{text}]}}'.encode(), exact=True)
    assert found == {"n": [value]}
    assert type(found["n"][0]) is type(value)


@given(st.decimals(allow_nan=False, allow_infinity=False).map(lambda number: str(number).replace("+", "")))
def test_a_number_is_exact_as_a_double_or_else_its_text(text: str) -> None:
    found = read_json(text.encode(), exact=True)
    assert found == text if isinstance(found, str) else Decimal(repr(found)) == Decimal(text)


@given(st.binary(max_size=60))
def test_any_bytes_are_json_or_invalid(body: bytes) -> None:
    for exact in (False, True):
        with contextlib.suppress(Invalid):
            read_json(body, exact=exact)


@given(st.text(alphabet='[]{}",:0123456789.eE+-truefalsn\\u dD8\n', max_size=40))
def test_what_we_read_others_read_the_same(text: str) -> None:
    try:
        found = read_json(text.encode())
    except Invalid:
        return
    assert json.loads(text) == found
