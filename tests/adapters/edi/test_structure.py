"""Structures of messages by the UN directories: the tables, and how messages are held against them."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from adapters.edi.edifact.structure import RELEASES, Node, Structure, grammar
from adapters.edi.finding import Findings, Lines, Spot
from adapters.edi.interchange import Message
from tests.adapters.edi.corpus import directories, require

ROOT = Path(__file__).resolve().parents[3]
TABLES = ROOT / "adapters" / "edi" / "edifact" / "grammar"
MESSAGES = ["DELFOR", "DESADV", "INVOIC", "INVRPT", "ORDCHG", "ORDERS", "ORDRSP", "RECADV"]


def found(tags: str, *, kind: str = "ORDERS", release: str = "D.96A", strict: bool = False) -> list[str]:
    findings = Findings(Lines(""))
    message = Message(
        type=kind, version=release, reference="1", place=Spot("UNH", 1, 0), start=0, end=1, position=1
    )
    structure = Structure(message, findings, strict=strict)
    for position, tag in enumerate(tags.split(), start=1):
        structure.take(Spot(tag, position, 0))
    return [f"{one.severity} {one.code} {one.position}: {one.message}" for one in findings.all]


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("message", MESSAGES)
def test_every_message_has_its_table(message: str, release: str) -> None:
    root = grammar(message, release)
    assert root is not None
    assert (root.children[0].tag, root.children[-1].tag) == ("UNH", "UNT")
    assert all(group.tag == group.children[0].tag for group in groups(root))
    assert [group.number for group in groups(root)] == list(range(1, len(groups(root)) + 1))


def groups(node: Node) -> list[Node]:
    return [one for child in node.children if child.children for one in (child, *groups(child))]


def test_the_tables_name_where_they_are_from() -> None:
    for table in sorted(TABLES.glob("*.txt")):
        head = table.read_text(encoding="utf-8")[:600]
        assert "United Nations" in head
        assert "UN/CEFACT" in head


def test_the_tables_are_what_the_script_writes(tmp_path: Path) -> None:
    require("untdid")
    script = runpy.run_path(str(ROOT / "scripts" / "edifact_grammar.py"))
    assert script["main"]([*map(str, directories()), str(tmp_path)]) == 0
    for table in sorted(TABLES.glob("*.txt")):
        assert (tmp_path / table.name).read_text(encoding="utf-8") == table.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "tags",
    [
        "UNH BGM DTM LIN QTY UNS UNT",
        "UNH BGM DTM DTM FTX RFF DTM RFF NAD LOC RFF NAD CTA COM CUX PAT TDT LOC DTM UNS UNT",
        "UNH BGM DTM NAD NAD LIN PIA IMD QTY DTM PRI RFF NAD LIN QTY LIN UNS MOA CNT UNT",
        "UNH BGM DTM LIN QTY SCC QTY DTM QTY UNS UNT",
    ],
)
def test_what_the_directory_allows_is_silent(tags: str) -> None:
    assert found(tags) == []


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("UNH DTM UNS UNT", ["warning segment_missing 2: BGM is mandatory before DTM"]),
        ("UNH BGM DTM XYZ UNS UNT", ["warning segment_unknown 4: XYZ is no segment of this message"]),
        ("UNH BGM DTM UNS LIN UNT", ["warning segment_misplaced 5: LIN should not stand here"]),
        ("UNH BGM BGM DTM UNS UNT", ["warning segment_repeated 3: BGM may come 1 times at most"]),
        (
            "UNH BGM DTM " + "PAI TOD " + "TOD " * 5 + "UNS UNT",
            ["warning segment_repeated 10: segment group 11 (TOD) may come 5 times at most"],
        ),
        ("UNH BGM DTM LIN UNT", ["warning segment_missing 5: UNS is mandatory before UNT"]),
    ],
)
def test_what_it_does_not_allow_is_told_with_its_place(tags: str, expected: list[str]) -> None:
    assert found(tags) == expected


def test_strict_partners_are_refused_for_it() -> None:
    assert found("UNH DTM UNS UNT", strict=True)[0].startswith("error segment_missing")


@pytest.mark.parametrize(("kind", "release"), [("ORDERS", "D.03B"), ("QUOTES", "D.96A"), ("", "")])
def test_without_a_table_nothing_is_checked_and_that_is_told(kind: str, release: str) -> None:
    (told,) = found("UNH XYZ", kind=kind, release=release)
    assert told.startswith("info structure_unchecked")


def test_the_same_segments_differ_by_release() -> None:
    tags = "UNH BGM DTM NAD LIN INV QTY UNT"
    assert found(tags, kind="INVRPT", release="D.01B") == []
    assert found(tags, kind="INVRPT", release="D.96A") == [
        "warning segment_misplaced 6: INV should not stand here"
    ]
