"""Every oddity of an interchange has a sample: what is found in it, and which events it gives."""

from __future__ import annotations

import json

import pytest

from canonical import catalogue
from tests.adapters.edi.samples import FOLDER, outcome, read_sample, samples


@pytest.mark.parametrize("name", samples())
def test_what_comes_of_a_sample_is_what_is_expected(name: str) -> None:
    expected = json.loads((FOLDER / name / "expected.json").read_text(encoding="utf-8"))
    assert outcome(read_sample(name)) == expected


@pytest.mark.parametrize("name", samples())
def test_every_event_is_one_of_the_catalogue(name: str) -> None:
    for event in read_sample(name).events:
        assert catalogue.validate(event.type, event.data) == []


@pytest.mark.parametrize("name", samples())
def test_every_error_names_its_segment_and_its_place(name: str) -> None:
    body = (FOLDER / name / "input.edi").read_bytes()
    for finding in read_sample(name).findings:
        assert finding.code
        assert finding.message
        assert (
            finding.line
            == body[: finding.offset].replace(b"\r\n", b"\n").replace(b"\r", b"\n").count(b"\n") + 1
        )
        assert finding.position > 0 or name == "empty"
        if finding.segment not in ("", "?"):
            told = body[finding.offset : finding.offset + 60].replace(b"\r", b"").replace(b"\n", b"")
            assert told.startswith(finding.segment.encode())
