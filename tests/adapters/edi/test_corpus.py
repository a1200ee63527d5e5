"""The corpus of public interchanges: each is read, or refused with fault, segment and place; none crashes."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from adapters.edi.report import read
from tests.adapters.edi.corpus import manifest, require

ROWS = manifest() or [{"file": "missing", "what_is_odd": ""}]

# What the manifest says is odd, and what must be found: the codes of which one must be there.
FAULTS = (
    (r"^(UNT|SE) says \d+ counted \d+$", {"segment_count"}),
    (r"^UNZ says \d+ counted", {"interchange_count"}),
    (r"^UNT ref mismatch$", {"message_reference"}),
    (r"^(UNZ|IEA) ref mismatch$", {"interchange_reference"}),
    (r"^UNT missing$", {"message_trailer_missing"}),
    (r"^UNZ missing$", {"interchange_trailer_missing"}),
    (r"^no UNB$", {"interchange_header_missing", "separators"}),
    (r"^empty segments$", {"segment_empty"}),
    (r"^trailing \d+ chars unterminated$", {"segment_unterminated"}),
    (r"^last segment unterminated$", {"segment_unterminated"}),
    (r"^ISA not 106 fixed$", {"isa_width"}),
)
WRAPPED = "edifact_invoic_08.edi"


def body_of(name: str) -> bytes:
    return (require("edi") / name).read_bytes()


def expected(row: dict[str, str]) -> Iterator[tuple[str, set[str]]]:
    for oddity in row["what_is_odd"].split("; "):
        for pattern, codes in FAULTS:
            if re.match(pattern, oddity):
                yield oddity, codes


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["file"])
def test_every_file_is_read_or_refused_with_fault_segment_and_place(row: dict[str, str]) -> None:
    body = body_of(row["file"])
    report = read(body, converting=True)
    accepted = {event.causationid for event in report.events if event.causationid}
    refused = [finding for finding in report.findings if finding.severity == "error"]
    assert accepted or refused or any(finding.code == "acknowledgement" for finding in report.findings)
    for finding in refused:
        assert finding.message
        assert finding.segment, finding
        assert body[finding.offset :].replace(b"\n", b"").startswith(finding.segment.encode())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["file"])
def test_no_envelope_fault_of_the_manifest_passes_unnoticed(row: dict[str, str]) -> None:
    report = read(body_of(row["file"]))
    for oddity, codes in expected(row):
        if row["file"] == WRAPPED and oddity == "UNZ ref mismatch":
            continue  # the next test
        assert codes & {finding.code for finding in report.findings}, oddity
        segment = oddity.split()[0]
        if segment in {"UNT", "SE", "UNZ", "IEA"} and "missing" not in oddity:
            assert any(one.code in codes and one.segment == segment for one in report.findings), oddity


def test_a_reference_that_wrapping_broke_is_whole_again() -> None:
    report = read(body_of(WRAPPED))
    assert [finding.segment for finding in report.findings if finding.code == "wrapped"] == ["UNB", "UNZ"]
    assert report.clean


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["file"])
def test_messages_are_those_of_the_manifest(row: dict[str, str]) -> None:
    report = read(body_of(row["file"]))
    if row["what_is_odd"].startswith("no UNA; trailing"):
        assert not report.interchanges  # nothing declares its separators: it is refused as a whole
        return
    messages = [message for interchange in report.interchanges for message in interchange.messages]
    found = {f"{one.type} {one.version}" if report.standard == "edifact" else one.type for one in messages}
    wanted = {kind.strip() for kind in row["message_type"].split(";")}
    # "ORDERS D.": the release has a blank before it, which is none of it
    assert {kind if kind in wanted else kind.partition(".")[0] + "." for kind in found} == wanted
