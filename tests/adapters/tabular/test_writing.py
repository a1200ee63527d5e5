"""What payloads are written as, and that it reads the same again."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.tabular import CSV, FIXED
from adapters.tabular.config import CsvOptions, FixedOptions
from adapters.tabular.records import Record, Records
from canonical.errors import Invalid
from canonical.spec import FormatSpec
from tests.adapters.tabular.golden import CONTEXT

COLUMNS: dict[str, Any] = {
    "item": {"title": "Materiál"},
    "qty": {"type": "decimal", "decimal": ","},
    "count": {"type": "integer"},
    "ok": {"type": "boolean", "true": ["ano"], "false": ["ne"]},
    "day": {"type": "date", "format": "%d.%m.%Y"},
    "at": {"type": "datetime", "format": "%d.%m.%Y %H:%M", "timezone": "Europe/Prague", "ambiguous": "later"},
}
ROW = {
    "item": "šroub; M8",
    "qty": "1234.50",
    "count": 7,
    "ok": True,
    "day": "2026-07-31",
    "at": "2026-07-31T04:15:00Z",
}


def write(payload: Any, spec: FormatSpec = CSV, **options: Any) -> bytes:
    assert spec.formatter is not None
    return spec.formatter(spec.config.model_validate(options)).format(payload)


def test_a_payload_is_a_row_of_the_declared_columns() -> None:
    body = write(ROW, delimiter=";", encoding="cp1250", columns=COLUMNS)
    assert body.decode("cp1250") == (
        "Materiál;qty;count;ok;day;at\r\n"
        '"šroub; M8";1234,50;7;ano;31.07.2026;31.07.2026 06:15\r\n'
    )  # fmt: skip


def test_a_list_is_several_rows_and_null_an_empty_cell() -> None:
    rows = [{"a": 1, "b": None}, {"b": "x"}, {}]
    body = write(rows, header=False, line_end="lf", columns={"a": {"type": "integer"}, "b": {}})
    assert body == b"1,\n,x\n,\n"
    assert write([], columns={"a": {}}) == b"a\r\n"


def test_the_content_type_tells_the_encoding() -> None:
    assert CSV.formatter is not None
    assert FIXED.formatter is not None
    options = CSV.config.model_validate({"encoding": "utf-8-sig", "columns": {"a": {}}})
    assert CSV.formatter(options).content_type == "text/csv; charset=utf-8"
    assert write({"a": "x"}, encoding="utf-8-sig", columns={"a": {}}) == b"\xef\xbb\xbfa\r\nx\r\n"
    fixed = FIXED.config.model_validate({"columns": {"a": {"width": 1}}})
    assert FIXED.formatter(fixed).content_type == "text/plain; charset=utf-8"


@pytest.mark.parametrize(
    ("column", "value", "cell"),
    [
        ({}, Decimal("1E+3"), "1000"),
        ({}, 1e-7, "0.0000001"),
        ({}, datetime(2026, 7, 31, tzinfo=UTC), "2026-07-31T00:00:00Z"),
        ({}, date(2026, 7, 31), "2026-07-31"),
        ({"type": "decimal"}, 12.5, "12.5"),
        ({"type": "integer"}, "42", "42"),
        ({"type": "integer"}, 42.0, "42"),
        ({"type": "date"}, date(2026, 7, 31), "2026-07-31"),
        ({"type": "datetime"}, "2026-07-31T06:15:00+02:00", "2026-07-31T04:15:00Z"),
        ({"type": "datetime", "timezone": "Asia/Tokyo"}, "2026-07-31T00:00:00Z", "2026-07-31T09:00:00+09:00"),
        ({"type": "datetime", "format": "rfc3339"}, "2026-07-31T06:15:00.5+02:00", "2026-07-31T04:15:00.5Z"),
        ({"type": "datetime", "format": "epoch_s"}, "2026-07-31T06:15:00Z", "1785478500"),
        ({"type": "datetime", "format": "epoch_ms"}, "2026-07-31T06:15:00.5Z", "1785478500500"),
        ({"type": "boolean"}, False, "false"),
    ],
)
def test_values_are_written_as_their_column_says(column: dict[str, Any], value: Any, cell: str) -> None:
    body = write({"a": value}, header=False, columns={"a": column})
    assert body.decode() == f"{cell}\r\n"


@pytest.mark.parametrize(
    ("payload", "where", "told"),
    [
        ("text", "", "must be a mapping"),
        ([{"a": "x"}, 1], "/1", "must be a mapping"),
        ({"b": 1}, "/b", "is no column; declared are a"),
        ([{"a": {}}], "/0/a", "must be one value"),
        ({"a": [1]}, "/a", "must be one value"),
        ({"a": True}, "/a", "is a boolean"),
        ({"a": "x\0"}, "/a", "U+0000"),
        ({"a": float("nan")}, "/a", "must be a decimal number"),
        ({"a": "ř"}, "line 2", "has no character"),
    ],
)
def test_what_a_table_cannot_hold_is_refused(payload: Any, where: str, told: str) -> None:
    with pytest.raises(Invalid) as caught:
        write(payload, encoding="cp1252", columns={"a": {}})
    assert caught.value.errors[0][0] == where
    assert told in caught.value.message


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("decimal", "1,5"),
        ("decimal", True),
        ("decimal", "٣"),
        ("integer", 1.5),
        ("integer", float("inf")),
        ("integer", True),
        ("date", "2026-07-31T00:00:00Z"),
        ("date", datetime(2026, 7, 31, tzinfo=UTC)),
        ("datetime", "2026-07-31"),
        ("datetime", 5),
        ("datetime", datetime(2026, 7, 31)),  # noqa: DTZ001 -- that is the point
        ("boolean", "true"),
        ("boolean", 1),
    ],
)
def test_values_of_another_type_are_refused(kind: str, value: Any) -> None:
    with pytest.raises(Invalid, match="not writable: /a: "):
        write({"a": value}, columns={"a": {"type": kind}})


def test_formulas_are_written_quoted_or_refused() -> None:
    row = {"a": '=HYPERLINK("x")', "b": "-5"}
    options: dict[str, Any] = {"header": False, "columns": {"a": {}, "b": {"type": "integer"}}}
    assert write(row, **options) == b'"=HYPERLINK(""x"")",-5\r\n'
    assert write(row, formulas="quote", **options) == b'"\'=HYPERLINK(""x"")",-5\r\n'
    with pytest.raises(Invalid, match="begins as a formula does"):
        write(row, formulas="refuse", **options)


def test_without_quotes_what_needs_them_is_refused() -> None:
    with pytest.raises(Invalid, match="needs a quote"):
        write({"a": "x,y"}, quote=None, columns={"a": {}})
    with pytest.raises(Invalid, match="has a line break"):
        write({"a": "x\ny"}, quote=None, columns={"a": {}})
    with pytest.raises(Invalid, match="as comments do"):
        write({"a": "#x"}, quote=None, escape="\\", comment="#", columns={"a": {}})
    assert write({"a": "x,y"}, quote=None, escape="\\", header=False, columns={"a": {}}) == b"x\\,y\r\n"


def test_columns_of_fixed_width_are_filled_and_never_cut() -> None:
    columns = {
        "a": {"width": 4},
        "b": {"width": 6, "type": "decimal", "align": "right", "fill": "0"},
        "c": {"width": 3, "align": "right"},
    }
    assert write([{"a": "x", "b": "-1.5", "c": "y"}, {}], FIXED, columns=columns) == (
        b"x   -001.5  y\r\n             \r\n"
    )
    with pytest.raises(Invalid, match="/a: 'xxxxx' has 5 characters, the column 4"):
        write({"a": "xxxxx"}, FIXED, columns=columns)
    with pytest.raises(Invalid, match="has a line break"):
        write({"a": "x\n"}, FIXED, columns=columns)


def test_what_was_read_is_written_the_same() -> None:
    settings = CSV.config.model_validate({"delimiter": ";", "columns": COLUMNS})
    assert isinstance(settings, CsvOptions)
    body = write(ROW, delimiter=";", columns=COLUMNS)
    assert list(Records(settings, CONTEXT.timezone).read(body)) == [Record(2, ROW)]


TEXTS = st.text(alphabet='ab,;"\\\t \r\n#|=ř', max_size=8)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(TEXTS, TEXTS, st.integers()), max_size=4),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from([None, "\\"]),
    st.booleans(),
    st.sampled_from(["utf-8", "utf-16", "cp1250"]),
)
def test_any_text_survives(
    rows: list[tuple[str, str, int]], delimiter: str, escape: str | None, trim: bool, encoding: str
) -> None:
    payload = [{"a": f"x{a}", "b": b or None, "n": n} for a, b, n in rows]
    options = CsvOptions.model_validate(
        {
            "delimiter": delimiter,
            "escape": escape,
            "trim": trim,
            "encoding": encoding,
            "comment": "#",
            "columns": {"a": {}, "b": {}, "n": {"type": "decimal"}},
        }
    )
    assert CSV.formatter is not None
    found = list(Records(options, CONTEXT.timezone).read(CSV.formatter(options).format(payload)))
    assert [one.values if isinstance(one, Record) else str(one) for one in found] == [
        {**row, "n": str(row["n"])} for row in payload
    ]


@given(st.lists(st.text(alphabet="ař,;-0", max_size=5), max_size=4))
def test_any_text_survives_in_fixed_columns(texts: list[str]) -> None:
    options = FixedOptions.model_validate({"columns": {"a": {"width": 6}, "b": {"width": 2}}})
    assert FIXED.formatter is not None
    body = FIXED.formatter(options).format([{"a": text or None, "b": "x"} for text in texts])
    found = list(Records(options, CONTEXT.timezone).read(body))
    assert [one.values["a"] if isinstance(one, Record) else str(one) for one in found] == [
        text or None for text in texts
    ]
