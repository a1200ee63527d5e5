"""Crosswalk rows: what a CSV may look like, when rows hold, and which contradict each other."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, cast
from zoneinfo import ZoneInfo

import pytest

from config.crosswalks import CrosswalkRow, ambiguous, overlapping, read_crosswalks, scan
from config.findings import ConfigErrors

HEADER = "domain,system,plant,value,canonical,valid_from,valid_to"
ZONES = {"aachen": ZoneInfo("Europe/Berlin")}


def rows_of(folder: Path, text: str | bytes) -> tuple[list[CrosswalkRow], list[str]]:
    path = folder / "rows.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    rows, findings = scan(path, ZONES)
    return rows, [str(found).replace(f"{folder}/", "") for found in findings]


def test_a_row_is_read_with_its_place(tmp_path: Path) -> None:
    written = "item,mes,aachen,P-1,housing,2026-03-31,2026-04-01T06:00Z,draft,logistics"
    (row,), findings = rows_of(tmp_path, f"{HEADER},status,steward\n\n{written}\n")
    assert not findings
    assert row == CrosswalkRow(
        domain="item",
        system="mes",
        plant="aachen",
        value="P-1",
        canonical="housing",
        valid_from=datetime(2026, 3, 30, 22, tzinfo=UTC),  # midnight in Aachen
        valid_to=datetime(2026, 4, 1, 6, tzinfo=UTC),
        status="draft",
        steward="logistics",
        file=str(tmp_path / "rows.csv"),
        line=3,
    )


@pytest.mark.parametrize(
    "text",
    [
        f"\ufeff{HEADER}\r\nitem,erp,,A1,housing,,\r\n",
        "domain;system;value;canonical\nitem;erp;A1;housing\n",
        "canonical,value,system,domain\n housing , A1 ,erp,item",
        'Domain,System,Value,Canonical\nitem,erp,"A1","housing"\n',
    ],
    ids=["as Excel writes it", "semicolons", "other order, spaces", "capitals, quotes"],
)
def test_spreadsheets_write_csv_in_many_ways(text: str, tmp_path: Path) -> None:
    (row,), findings = rows_of(tmp_path, text)
    assert not findings
    assert (row.domain, row.system, row.value, row.canonical, row.plant) == (
        "item",
        "erp",
        "A1",
        "housing",
        None,
    )


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("", "rows.csv:1:1: the header is missing: domain,system,value,canonical,plant"),
        ("domain,system,value\nitem,erp,A\n", "rows.csv:1:1: the column 'canonical' is missing"),
        (f"{HEADER},planet\n", "rows.csv:1:1: unknown column 'planet'; did you mean 'plant'?"),
        (f"{HEADER},plant\n", "rows.csv:1:1: a column is given twice"),
        (f"{HEADER}\nitem,erp,,A1\n", "rows.csv:2:1: 4 columns, the header has 7"),
        (f"{HEADER}\nitm,erp,,A1,x,,\n", "rows.csv:2:1: unknown domain 'itm'; did you mean 'item'?"),
        (f"{HEADER}\nitem,,,A1,x,,\n", "rows.csv:2:1: system is empty"),
        (f"{HEADER}\nitem,e,,A,x,soon,\n", "rows.csv:2:1: valid_from: 'soon' is no date; write 2026-01-31"),
        (
            f"{HEADER}\nitem,e,,A,x,,2026-01-31T06:00\n",
            "rows.csv:2:1: valid_to: '2026-01-31T06:00' has no time",
        ),
        (f"{HEADER}\nitem,e,,A,x,2026-02-01,2026-02-01\n", "rows.csv:2:1: valid_from is not before valid_to"),
        (
            f"{HEADER},status\nitem,e,,A,x,,,new\n",
            "rows.csv:2:1: unknown status 'new'; known: draft, approved",
        ),
        (f'{HEADER}\nitem,e,,"A\nB",x,,\nitem,,,A,x,,\n', "rows.csv:4:1: system is empty"),
        (f'{HEADER}\nitem,e,,"A"B,x,,\n', "rows.csv:2:1: this is not CSV: "),
    ],
)
def test_a_wrong_row_is_told_with_its_line(text: str, finding: str, tmp_path: Path) -> None:
    assert rows_of(tmp_path, text)[1][0].startswith(finding)


def test_a_file_that_is_no_text_is_told(tmp_path: Path) -> None:
    assert rows_of(tmp_path, b"domain\xff")[1] == ["rows.csv: is not UTF-8 text (byte 6)"]
    assert "cannot be read" in str(scan(tmp_path / "none.csv")[1][0])


def row(value: str, canonical: str, start: int = 1, end: int = 28, **more: str) -> CrosswalkRow:
    return CrosswalkRow(
        domain="item",
        system="erp",
        value=value,
        canonical=canonical,
        valid_from=datetime(2026, 2, start, tzinfo=UTC),
        valid_to=datetime(2026, 2, end, tzinfo=UTC),
        plant=more.get("plant"),
        status=cast(Literal["draft", "approved", "retired"], more.get("status", "approved")),
    )


def test_one_code_has_one_meaning_at_a_time() -> None:
    assert len(list(overlapping([row("A", "x", 1, 10), row("A", "y", 9, 20)]))) == 1
    assert not list(overlapping([row("A", "x", 1, 10), row("A", "y", 10, 20)]))
    assert not list(overlapping([row("A", "x"), row("A", "y", plant="aachen"), row("B", "x")]))
    assert not list(overlapping([row("A", "x", status="draft"), row("A", "y")]))
    assert len(list(overlapping([row("A", "x", status="retired"), row("A", "y")]))) == 1  # until its end


def test_a_retired_row_without_an_end_never_holds() -> None:
    unbounded = CrosswalkRow(domain="item", system="erp", value="A", canonical="x", status="retired")
    assert not unbounded.effective
    assert not list(overlapping([unbounded, row("A", "y")]))


@pytest.mark.parametrize("written", ["EA", "12", "0 EA", "-1 EA", "1e3 EA", "12  EA", "12 EA PCE", "١٢ EA"])
def test_a_package_says_how_many_of_what(written: str, tmp_path: Path) -> None:
    rows, findings = rows_of(tmp_path, f"{HEADER}\npackage,VALVE-9,,CT,12.5 KGM,,\n")
    assert (rows[0].canonical, findings) == ("12.5 KGM", [])
    rows, findings = rows_of(tmp_path, f"{HEADER}\npackage,VALVE-9,,CT,{written},,\n")
    assert not rows
    assert f"{written!r} does not say what is in a package" in findings[0]


def test_two_codes_for_one_thing_cannot_be_sent() -> None:
    assert [found.severity for found in ambiguous([row("A", "x"), row("B", "x"), row("C", "y")])] == [
        "warning"
    ]
    assert not list(ambiguous([row("A", "x", 1, 10), row("B", "x", 10, 20), row("C", "x", plant="aachen")]))


def test_reading_several_files_raises_everything(tmp_path: Path) -> None:
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    one.write_text("domain,system,value,canonical\nitem,erp,A,x\n", encoding="utf-8")
    two.write_text("domain,system,value,canonical\nitem,erp,A,y\n", encoding="utf-8")
    assert [each.canonical for each in read_crosswalks([one], ZONES)] == ["x"]
    with pytest.raises(ConfigErrors, match=r"overlaps in time with .*one.csv:2"):
        read_crosswalks([one, two])
