"""``${env:…}`` and ``${file:…}``: what they give, and what is said when they lead nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.references import resolve

ENVIRONMENT = {"URL": "x://host", "EMPTY": ""}


def test_variables_and_files_take_their_places(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3cret\r\n\n", encoding="utf-8")
    resolved = resolve("${env:URL}/${file:secret}${env:EMPTY}", tmp_path, ENVIRONMENT)
    assert resolved.value == "x://host/s3cret"
    assert resolved.references == ("${env:URL}", "${file:secret}", "${env:EMPTY}")
    assert not resolved.faults


@pytest.mark.parametrize("text", ["plain", "a ${b} c", "{data.x}", "$ {", "${data.a ? 1 : 2}"])
def test_other_text_stays_as_it_is(text: str, tmp_path: Path) -> None:
    assert resolve(text, tmp_path, {}).value == text


def test_a_doubled_dollar_is_no_reference(tmp_path: Path) -> None:
    resolved = resolve("a $${env:X}", tmp_path, {})
    assert (resolved.value, resolved.references, resolved.faults) == ("a ${env:X}", (), ())


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("${env:NOPE}", "${env:NOPE}: the environment variable 'NOPE' is not set"),
        ("${file:nope}", "${file:nope}: cannot read FOLDER/nope: No such file or directory"),
        ("${file:.}", "${file:.}: cannot read FOLDER: Is a directory"),
        ("${file:binary}", "${file:binary}: FOLDER/binary is not UTF-8 text"),
        ("${file:huge}", "${file:huge}: FOLDER/huge is larger than 1000000 bytes"),
        (
            "${vault:x}",
            "${vault:x}: no such reference; write ${env:NAME} or ${file:path} ($${ for a ${)",
        ),
    ],
)
def test_a_reference_that_leads_nowhere_is_told(text: str, fault: str, tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\x00")
    (tmp_path / "huge").write_bytes(b"x" * 1_000_001)
    resolved = resolve(f"see {text}", tmp_path, ENVIRONMENT)
    assert resolved.faults == ((4, fault.replace("FOLDER", str(tmp_path))),)
