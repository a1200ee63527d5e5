"""What the command line gets: the shape that is fixed, the standard told by itself, and no crash."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.edi.report import read, standard_of
from canonical.cloudevents import event_of
from tests.adapters.edi.samples import FOLDER, RECEIVED, read_sample


def body(name: str) -> bytes:
    return (FOLDER / name / "input.edi").read_bytes()


def test_the_shape_of_a_validation() -> None:
    assert read(body("x12-test").replace(b"SE*16", b"SE*17")).to_json() == {
        "interchanges": [
            {
                "standard": "x12",
                "reference": "000000077",
                "sender": "ACMEPRESS",
                "sender_qualifier": "ZZ",
                "receiver": "NORDSTAHL",
                "receiver_qualifier": "12",
                "version": "00401",
                "test": True,
                "messages": [{"type": "850", "version": "004010", "reference": "0001"}],
            }
        ],
        "findings": [
            {
                "code": "segment_count",
                "severity": "error",
                "message": "SE says 17, but 16 segments were counted",
                "segment": "SE",
                "position": 18,
                "line": 18,
                "offset": 491,
            },
            {
                "code": "uom_alias",
                "severity": "info",
                "message": "unit 'LB' is read as LBR",
                "segment": "PO1",
                "position": 14,
                "line": 14,
                "offset": 414,
            },
        ],
    }


def test_clean_is_what_has_no_error() -> None:
    assert read(body("units")).clean
    assert not read(body("empty")).clean


def test_a_file_may_be_right_without_a_mapping_but_it_cannot_be_converted() -> None:
    name = "message-type-without-mapping"
    assert read(body(name)).clean
    assert "message_type_unmapped" in [one.code for one in read(body(name)).findings]
    assert not read(body(name), converting=True).clean


def test_the_events_are_a_batch_that_others_can_read() -> None:
    for member in read_sample("desadv-pallets").to_batch():
        assert event_of(member).id == member["id"]


@pytest.mark.parametrize(
    ("text", "standard"),
    [
        (b"ISA*", "x12"),
        (b"\xef\xbb\xbf\r\n ISA*", "x12"),
        (b"GS*PO", "x12"),
        (b"UNA:+", "edifact"),
        (b"\nUNB+", "edifact"),
        (b"UNH+1", "edifact"),
        (b"header\nISA*00", "x12"),
        (b"header\nUNB+UNOA ISA*", "edifact"),
        (b"", "edifact"),
        (b"ISAAC", "edifact"),
    ],
)
def test_the_standard_is_that_of_the_first_header(text: bytes, standard: str) -> None:
    assert standard_of(text) == standard


@given(st.binary(max_size=100))
def test_any_bytes_are_reported_on(text: bytes) -> None:
    report = read(text, received_at=RECEIVED)
    assert report.findings
    assert not report.clean
    report.to_json()
    report.to_batch()
