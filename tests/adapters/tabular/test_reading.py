"""What rows and cells are read as; the golden folders have whole files."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.tabular import CSV, FIXED
from adapters.tabular.config import CsvOptions, FixedOptions
from adapters.tabular.records import Records
from canonical.errors import Invalid
from canonical.event import Event
from canonical.spec import FormatSpec
from tests.adapters.tabular.golden import CONTEXT, message

RULES = [
    {"when": "payload.a == 'x'", "ignore": True},
    {
        "type": "inventory.adjusted",
        "data": {
            "location": {"plant": "'brno'", "storage": "'A'"},
            "item": "payload.a",
            "delta": {"value": "payload.b", "uom": "'KGM'"},
            "reason": {"code": "string(message.row)"},
            "posted_at": "message.received_at",
        },
    },
]


def records(body: bytes | str, spec: FormatSpec = CSV, **options: Any) -> list[Any]:
    """The values of the records, and what is told of the others."""
    settings = spec.config.model_validate(options)
    assert isinstance(settings, CsvOptions | FixedOptions)
    found = Records(settings, CONTEXT.timezone).read(body if isinstance(body, bytes) else body.encode())
    return [one.message if isinstance(one, Invalid) else one.values for one in found]


def decode(body: bytes, **options: Any) -> list[Event | Invalid]:
    assert CSV.decoder is not None
    decoder = CSV.decoder(CSV.config.model_validate({"events": RULES, **options}), CONTEXT)
    state, found = decoder.decode(b"as it was", message(body))
    assert state == b"as it was"
    return list(found)


def one(cell: str, **column: Any) -> Any:
    """A cell read by its column: its value, or what is told."""
    (found,) = records(f"a\t\n{cell}\tx\n", delimiter="\t", columns={"a": column})
    return found["a"] if isinstance(found, dict) else found


@pytest.mark.parametrize(
    ("cell", "column", "value"),
    [
        ("1.50", {}, "1.50"),
        ("+1", {}, "1"),
        (".5", {}, "0.5"),
        ("5.", {}, "5"),
        ("007", {}, "7"),
        ("1e3", {}, "1000"),
        ("12.5-", {}, "-12.5"),
        ("1.234,5", {"decimal": ",", "thousands": "."}, "1234.5"),
        ("1234,5", {"decimal": ",", "thousands": "."}, "1234.5"),
        ("-1\u00a0234\u202f567,5", {"decimal": ",", "thousands": " "}, "-1234567.5"),
        ("1’234.5", {"thousands": "'"}, "1234.5"),
        ("0.1234567890123456789012", {}, "0.1234567890123456789012"),
    ],
)
def test_decimals_keep_every_digit(cell: str, column: dict[str, Any], value: str) -> None:
    assert one(cell, type="decimal", **column) == value


@pytest.mark.parametrize(
    ("cell", "column"),
    [
        ("1,5", {}),
        ("1.234", {"decimal": ","}),
        ("1.23", {"decimal": ",", "thousands": "."}),
        ("1.2345", {"decimal": ",", "thousands": "."}),
        ("1,234.5", {}),
        ("1,2,3", {"decimal": ","}),
        ("-1-", {}),
        ("NaN", {}),
        ("Infinity", {}),
        ("٣", {}),
        ("1_000", {}),
        ("0x10", {}),
        ("-", {}),
        (".", {}),
        ("12 kg", {}),
        ("1" * 65, {}),
    ],
)
def test_what_could_be_another_number_is_refused(cell: str, column: dict[str, Any]) -> None:
    assert "row 2, column a: " in one(cell, type="decimal", **column)


def test_integers_are_whole() -> None:
    assert one("-0042", type="integer") == -42
    assert one("1.000", type="integer", thousands=".", decimal=",") == 1000
    assert one(str(2**63), type="integer") == str(2**63)
    assert "no whole number" in one("5.0", type="integer")


def test_booleans_are_the_declared_words() -> None:
    assert [one(cell, type="boolean") for cell in ("TRUE", "0", "Yes")] == [True, False, True]
    assert one("ano", type="boolean", true=["ano"], false=["ne"]) is True
    assert "neither ano nor ne" in one("1", type="boolean", true=["ano"], false=["ne"])


@pytest.mark.parametrize(
    ("cell", "column", "value"),
    [
        ("31.07.2026", {"type": "date", "format": "%d.%m.%Y"}, "2026-07-31"),
        ("2026-07-31", {"type": "date"}, "2026-07-31"),
        ("2026-07-31T06:15", {}, "2026-07-31T04:15:00Z"),
        ("2026-07-31T06:15+05:30", {}, "2026-07-31T00:45:00Z"),
        ("31.07.26 06:15:01", {"format": "%d.%m.%y %H:%M:%S"}, "2026-07-31T04:15:01Z"),
        ("07/31/2026 06:15 PM", {"format": "%m/%d/%Y %I:%M %p"}, "2026-07-31T16:15:00Z"),
        ("31.07.2026 06:15", {"format": "%d.%m.%Y %H:%M", "timezone": "Asia/Tokyo"}, "2026-07-30T21:15:00Z"),
        ("31.07.2026 06:15 +0200", {"format": "%d.%m.%Y %H:%M %z"}, "2026-07-31T04:15:00Z"),
        ("1785478500", {"format": "epoch_s"}, "2026-07-31T06:15:00Z"),
        ("1785478500500", {"format": "epoch_ms"}, "2026-07-31T06:15:00.5Z"),
        ("25.10.2026 02:30", {"format": "%d.%m.%Y %H:%M", "ambiguous": "earlier"}, "2026-10-25T00:30:00Z"),
        ("25.10.2026 02:30", {"format": "%d.%m.%Y %H:%M", "ambiguous": "later"}, "2026-10-25T01:30:00Z"),
    ],
)
def test_days_and_times(cell: str, column: dict[str, Any], value: str) -> None:
    assert one(cell, **{"type": "datetime", **column}) == value


@pytest.mark.parametrize(
    ("cell", "column"),
    [
        ("31.02.2026", {"type": "date", "format": "%d.%m.%Y"}),
        ("2026-07-31T06:15", {"format": "rfc3339"}),
        ("0001-01-01T00:00", {}),
        ("9999-12-31T23:59-23:00", {}),
        ("2026-03-29T02:30", {"ambiguous": "later"}),
        ("2026-10-25T02:30", {}),
        ("yesterday", {"format": "epoch_s"}),
    ],
)
def test_times_that_are_none_are_told(cell: str, column: dict[str, Any]) -> None:
    assert "row 2, column a: " in one(cell, **{"type": "datetime", **column})


def test_empty_cells_are_null() -> None:
    body = 'a,b,c,d\n,"", ,-\nx,y,z," "\n'
    columns = {"a": {"type": "integer"}, "b": {"type": "date"}}
    first, _ = records(body, columns=columns, empty=["-"])
    assert first == {"a": None, "b": None, "c": None, "d": None}
    (kept,) = records('a,b\n" x ", y \n')
    assert kept == {"a": " x ", "b": "y"}
    (kept,) = records("a,b\n x , y \n", trim=False)
    assert kept == {"a": " x ", "b": " y "}


def test_columns_have_titles_and_may_be_optional() -> None:
    columns = {"qty": {"title": "Menge (kg)", "type": "integer"}, "lot": {"optional": True}}
    assert records("Menge (kg);;Ort\n5;x;A\n", delimiter=";", columns=columns) == [
        {"lot": None, "qty": 5, "column_2": "x", "Ort": "A"}
    ]
    assert records("qty,Menge (kg)\n1,2\n", columns=columns) == [
        "no header: row 1 has a column 'qty', which is the name of another one"
    ]
    assert records("a,a\n1,2\n") == ["no header: row 1 names 'a' twice"]
    assert records("") == ["no header: the file has no row, where its header must be"]
    assert records('"a\n1\n')[0].startswith("no header: row 1: a quote is opened and not closed")


def test_a_header_alone_is_an_empty_list() -> None:
    assert records("a,b\n") == []


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_as_they_like(end: str) -> None:
    assert records(f"a,b{end}1,2{end}{end}3,4{end}{end}") == [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]


def test_separators_of_unicode_end_no_line() -> None:
    assert records("a,b\n1\u2028\u0085\x0b\x1c2,3\n") == [{"a": "1\u2028\u0085\x0b\x1c2", "b": "3"}]


def test_quotes_and_escapes() -> None:
    assert records('a,b\n"x ""y"" z",5" 3"\n') == [{"a": 'x "y" z', "b": '5" 3"'}]
    assert records('a,b\n "x" , "y,"\n') == [{"a": "x", "b": "y,"}]
    assert records("a,b\n'x''y',\\n\n", quote="'", escape="\\") == [{"a": "x'y", "b": "n"}]
    assert records('a,b\nx\\,y,"z\\"\\\\"\n', escape="\\") == [{"a": "x,y", "b": 'z"\\'}]
    assert records('a,b\n"x,"y\n', quote=None) == [{"a": '"x', "b": '"y'}]
    assert records("a,b\nx\\\n", escape="\\", ragged=True) == [{"a": "x\\", "b": None}]


def test_line_breaks_in_quotes_are_an_option() -> None:
    assert records('a,b\n"x\r\ny",1\n') == [{"a": "x\r\ny", "b": "1"}]
    found = records('a,b\n"x\ny",1\n', line_breaks=False)
    assert found == ["row 2: a quote is opened and not closed", {"a": 'y"', "b": "1"}]


def test_ragged_rows_are_an_option() -> None:
    assert records("a,b\n1\n1,2,\n1,2,3\n", ragged=True) == [
        {"a": "1", "b": None},
        {"a": "1", "b": "2"},
        "row 4: it has 3 cells, there are 2 columns; is a delimiter in a cell that is not quoted?",
    ]


def test_what_is_no_row_is_passed_over() -> None:
    body = "Report\n\na,b\n# c\n1,2\nsum,3\n;,\n,\n4,5\nEND 2\n"
    options: dict[str, Any] = {"preamble": 1, "comment": "#", "skip": "^sum", "trailer": "^END"}
    assert records(body, **options) == [{"a": "1", "b": "2"}, {"a": ";", "b": None}, {"a": "4", "b": "5"}]
    assert records(f"{body}6,7\n", **options)[-1] == (
        "row 11: it stands behind the trailer, which ends the file"
    )
    assert records("a,b\n1,2\n3,4\nx\ny,z,\n", footer=2) == [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]
    assert records("a,b\n1,2\n", footer=2) == []


def test_bytes_of_another_encoding_cost_their_row() -> None:
    body = "a,b\nř,1\n".encode("cp1250") + "ř,2\n".encode()
    assert records(body) == [
        "row 2, column a: byte 0xf8 is not utf-8; is it another encoding?",
        {"a": "ř", "b": "2"},
    ]
    assert records(b"\x81\n1\n", encoding="cp1252") == [
        "no header: row 1: byte 0x81 is not cp1252; is it another encoding?"
    ]
    assert "it has no byte order mark" in records("a\n1\n".encode("utf-16-le"), encoding="utf-16")[0]
    assert records(b"\xef\xbb\xbfa\n1\n") == [{"a": "1"}]
    assert records(b"\xef\xbb\xbfa\n1\n", encoding="utf-8-sig") == [{"a": "1"}]
    assert "byte order mark of utf-8" in records(b"\xef\xbb\xbfa\n1\n", encoding="cp1252")[0]
    assert records("a\nř\n".encode("utf-16-be"), encoding="utf-16-be") == [{"a": "ř"}]
    assert (
        "byte 0x41 is not utf-16-le" in records("a\nř\n".encode("utf-16-le") + b"A", encoding="utf-16-le")[-1]
    )
    assert records("a\n表\n".encode("shift_jis"), encoding="shift_jis") == [{"a": "表"}]


def test_limits_are_told() -> None:
    assert "at most 5 are allowed" in records("a\n1\n2\n", max_size="5B")[0]
    assert records("a\n1\n2\n3\n", max_rows=2) == [
        {"a": "1"},
        {"a": "2"},
        "row 4: more than 2 rows: this one and those after it were not read",
    ]
    rows = ["row 2: it has more than 5 characters", {"a": "12345"}]
    for end in ("\n", "\r\n", "\r"):
        for length in (6, 7, 8, 20_000):
            assert records(f"a{end}{'x' * length}{end}12345{end}", max_row=5) == rows
    assert records('a\n"1\n2\n3"\n4\n', max_row=5)[0].startswith("row 2: a quote is opened and not closed")


def test_faults_are_told_one_by_one_up_to_a_number() -> None:
    found = decode(b"a,b\n" + b"1\n" * 10 + b"1,2\n", max_faults=3)
    assert [type(one) for one in found] == [Invalid, Invalid, Invalid, Event, Invalid]
    assert str(found[-1]) == "7 more faults, told by number only, since `max_faults` is 3"


def test_widths_count_characters() -> None:
    columns = {"a": {"width": 3}, "b": {"width": 4, "type": "integer"}}
    assert records("řeč  12\nx    -3  \n", FIXED, columns=columns) == [
        {"a": "řeč", "b": 12},
        {"a": "x", "b": -3},
    ]
    assert "has 4 characters, the columns 7" in records("x  1\n", FIXED, columns=columns)[0]
    assert "the columns only 7" in records("x    -3 x\n", FIXED, columns=columns)[0]
    assert records("x\n", FIXED, columns=columns, ragged=True) == [{"a": "x", "b": None}]


def test_stray_quotes_everywhere_cost_little() -> None:
    body = b"a,b\n" + b'x""","""\n' * 20_000
    began = time.process_time()
    found = records(body)
    assert time.process_time() - began < 5
    assert found


TEXTS = st.text(alphabet='ab,;"\\\t \r\n#|0-.é\0', max_size=60)


@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=120) | TEXTS.map(lambda text: text.encode()),
    st.sampled_from(["utf-8", "utf-16", "utf-16-le", "cp1252", "iso-8859-2", "gb18030", "shift_jis"]),
    st.sampled_from([None, "\\"]),
    st.sampled_from([None, '"']),
    st.booleans(),
)
def test_any_bytes_are_read_or_told(
    body: bytes, encoding: str, escape: str | None, quote: str | None, flag: bool
) -> None:
    columns: dict[str, Any] = {"a": {"type": "decimal"}, "b": {"type": "datetime"}}
    common: dict[str, Any] = {
        "encoding": encoding,
        "ragged": flag,
        "trim": flag,
        "comment": "#",
        "max_row": 40,
    }
    records(body, header=flag, columns=columns, escape=escape, quote=quote, footer=int(flag), **common)
    records(body, escape=escape, quote=quote, **common)
    fixed = {name: {**column, "width": 3} for name, column in columns.items()}
    records(body, FIXED, columns=fixed, **common)


def test_events_are_made_by_rules_with_the_number_of_their_row() -> None:
    first, second, fault = decode(b"a,b\nx,1\ny,2\nz,3\nu,v\n")
    assert isinstance(first, Event)
    assert isinstance(second, Event)
    assert (first.id, first.data["reason"]) == ("m-1-3", {"code": "3"})
    assert (second.id, second.srcmsgid) == ("m-1-4", "m-1")
    assert isinstance(fault, Invalid)
    assert fault.context["row"] == 5
    assert fault.message.startswith("row 5: events[1]: /data/delta/value: ")
    assert fault.errors[0][0] == "row 5: /data/delta/value"
