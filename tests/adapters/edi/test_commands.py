"""``crossplant edi``: what it prints, its exit codes, and that no file makes it fail."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from adapters.edi.commands import edi
from canonical.errors import ConfigError
from canonical.event import from_json
from tests.adapters.edi.corpus import manifest, require
from tests.adapters.edi.samples import FOLDER, samples
from tests.gateway.commands import crossplant

CORPUS = [row["file"] for row in manifest()] or ["missing"]
COMMANDS = (
    ["show"],
    ["validate"],
    ["validate", "--json"],
    ["convert", "--json"],
    ["ack"],
)
ORDER = FOLDER / "orders-d96a" / "input.edi"


def run(*arguments: str | Path, stdin: bytes = b"") -> Any:
    """The command in this process."""
    return CliRunner().invoke(edi, [str(one) for one in arguments], input=stdin)


def changed(tmp_path: Path, old: bytes, new: bytes, source: Path = ORDER) -> Path:
    """A copy of a file with something else in one place."""
    body = source.read_bytes()
    assert body.count(old) == 1
    path = tmp_path / "changed.edi"
    path.write_bytes(body.replace(old, new))
    return path


def no_traceback(path: Path) -> None:
    for command in COMMANDS:
        done = run(*command, path)
        assert isinstance(done.exception, SystemExit | None), (command, done.exception)
        assert done.exit_code in (0, 1), (command, done.output)
    same = run("diff", path, path)
    assert same.exit_code == 0, same.output


@pytest.mark.parametrize("sample", samples())
def test_every_sample_is_shown_judged_converted_and_answered(sample: str) -> None:
    no_traceback(FOLDER / sample / "input.edi")


@pytest.mark.parametrize("file", CORPUS)
def test_every_file_of_the_corpus_is_shown_judged_converted_and_answered(file: str) -> None:
    no_traceback(require("edi") / file)


@pytest.mark.parametrize("body", [b"", b"\0", b"UNB", b"ISA*", b"UNA:+.? '", b"UNH+1+ORDERS'", b"\xff" * 300])
def test_rubbish_is_refused_in_words(body: bytes) -> None:
    for command in COMMANDS:
        done = run(*command, "-", stdin=body)
        assert isinstance(done.exception, SystemExit), (command, done.exception)
        assert done.exit_code == 1


# ── validate ────────────────────────────────────────────────────────────────────────────────────


def test_a_validation_has_the_shape_that_is_fixed() -> None:
    done = run("validate", "--json", FOLDER / "counts-and-references-at-fault" / "input.edi")
    told = json.loads(done.stdout)
    assert done.exit_code == 1
    assert told.keys() == {"interchanges", "findings"}
    assert {"standard", "reference", "sender", "receiver", "test", "messages"} <= told["interchanges"][
        0
    ].keys()
    assert told["interchanges"][0]["messages"][0].keys() == {"type", "version", "reference"}
    for finding in told["findings"]:
        assert finding.keys() == {"code", "severity", "message", "segment", "position", "line", "offset"}


def test_warnings_do_not_fail_a_validation() -> None:
    done = run("validate", FOLDER / "units" / "input.edi")
    assert done.exit_code == 0
    assert "warning" in done.stdout


def test_what_was_agreed_counts(tmp_path: Path) -> None:
    wrong = changed(tmp_path, b"UNT+", b"UNT+9")
    assert run("validate", wrong).exit_code == 1
    assert run("validate", "--set", "tolerate=segment_count", wrong).exit_code == 0


@pytest.mark.parametrize(
    "arguments",
    [("--set", "nonsense=1"), ("--set", "tolerate"), ("--set", "structure=no"), ("--timezone", "x")],
)
def test_wrong_usage_is_2(arguments: tuple[str, ...]) -> None:
    assert run("validate", *arguments, ORDER).exit_code == 2


def test_a_file_that_is_not_there_is_told_by_its_name() -> None:
    done = run("validate", "nowhere.edi")
    assert isinstance(done.exception, ConfigError)
    assert "nowhere.edi: cannot be read: No such file" in str(done.exception)


# ── show ────────────────────────────────────────────────────────────────────────────────────────


def test_segments_are_shown_with_place_meaning_and_indented_by_their_group() -> None:
    lines = run("show", FOLDER / "desadv-pallets" / "input.edi").stdout.splitlines()
    assert lines[0] == "EDIFACT, 1 interchange, 1 DESADV: 1 info"
    assert "  from      4060000000017 (qualifier 14)" in lines
    assert any(line.startswith("    26      QTY  quantity: despatched ") for line in lines)
    at = next(number for number, line in enumerate(lines) if line.startswith("    26 "))
    assert lines[at + 1].strip().startswith("^ info uom_alias")


def test_levels_of_a_ship_notice_are_indented_by_their_parents() -> None:
    lines = run("show", FOLDER / "x12-856-pallets" / "input.edi").stdout.splitlines()
    depths = [len(line[8:]) - len(line[8:].lstrip()) for line in lines if " HL " in line[:24]]
    assert depths == [0, 2, 4, 6, 8, 6, 8]


def test_a_message_without_its_trailer_is_shown_as_far_as_it_goes() -> None:
    done = run("show", FOLDER / "message-trailer-missing" / "input.edi")
    assert done.exit_code == 1
    assert done.stdout.count("  UNH  message header") == 2
    assert "message_trailer_missing" in done.stdout


def test_what_a_file_holds_cannot_steer_the_terminal(tmp_path: Path) -> None:
    path = changed(tmp_path, b"PO-4711", b"PO\x1b[2J\x07")
    for command in (["show"], ["validate"], ["diff", ORDER]):
        done = run(*command, path)
        assert "\x1b" not in done.output
        assert "\x07" not in done.output


# ── convert ─────────────────────────────────────────────────────────────────────────────────────


def test_a_file_is_converted_to_a_batch_of_events() -> None:
    done = run("convert", "--plant", "aachen", FOLDER / "desadv-pallets" / "input.edi")
    events = [from_json(event) for event in json.loads(done.stdout)]
    assert done.exit_code == 0
    assert [event.type.split(".")[-2] for event in events] == ["received", "received"]
    assert {event.plantid for event in events} == {"aachen"}


def test_a_type_that_cannot_be_converted_is_an_error_of_convert_only() -> None:
    path = FOLDER / "message-type-without-mapping" / "input.edi"
    assert run("validate", path).exit_code == 0
    done = run("convert", path)
    assert done.exit_code == 1
    assert "message_type_unmapped" in done.stderr


# ── diff ────────────────────────────────────────────────────────────────────────────────────────


def test_line_breaks_and_wrapping_are_no_difference(tmp_path: Path) -> None:
    joined = ORDER.read_bytes().replace(b"\n", b"")
    path = tmp_path / "wrapped.edi"
    path.write_bytes(b"\n".join(joined[at : at + 40] for at in range(0, len(joined), 40)))
    assert run("diff", ORDER, path).exit_code == 0


def test_other_separators_are_no_difference(tmp_path: Path) -> None:
    body = (FOLDER / "desadv-pallets" / "input.edi").read_bytes().removeprefix(b"UNA:+.? '").lstrip()
    path = tmp_path / "other.edi"
    path.write_bytes(b"UNA>*.? ~" + body.translate(bytes.maketrans(b"+:'", b"*>~")))
    assert run("diff", FOLDER / "desadv-pallets" / "input.edi", path).exit_code == 0


def test_the_decimal_mark_is_no_difference(tmp_path: Path) -> None:
    assert run("diff", ORDER, changed(tmp_path, b"AAA:12.50", b"AAA:12,50")).exit_code == 0


def test_a_difference_is_told_with_its_message_group_and_element(tmp_path: Path) -> None:
    done = run("diff", "--json", ORDER, changed(tmp_path, b"QTY+21:2.5", b"QTY+21:3.5"))
    assert done.exit_code == 1
    (one,) = json.loads(done.stdout)["differences"]
    assert (one["where"], one["what"]) == ("ORDERS 1 > LIN 2", "QTY 01.2")
    assert (one["left"], one["right"]) == ("21:2.5:KGM", "21:3.5:KGM")
    assert one["left_position"] == one["right_position"]


def test_a_message_that_only_one_file_has_is_told(tmp_path: Path) -> None:
    path = tmp_path / "two.edi"
    path.write_bytes(ORDER.read_bytes() + ORDER.read_bytes().replace(b"+0001'", b"+0002'"))
    done = run("diff", ORDER, path)
    assert done.exit_code == 1
    assert "the interchange" in done.stdout


# ── ack ─────────────────────────────────────────────────────────────────────────────────────────


def test_an_interchange_is_answered_with_what_itself_can_be_read() -> None:
    done = run("ack", "--reference", "77", FOLDER / "desadv-pallets" / "input.edi")
    assert done.exit_code == 0
    assert b"UCI+4711+4060000000017:14+4012345000009:14+7'" in done.stdout_bytes
    again = run("validate", "--json", "-", stdin=done.stdout_bytes)
    assert again.exit_code == 0
    assert json.loads(again.stdout)["interchanges"][0]["reference"] == "77"


def test_x12_is_answered_with_a_997_or_a_ta1(tmp_path: Path) -> None:
    sound = FOLDER / "x12-850" / "input.edi"
    assert b"AK9*A*1*1*1~" in run("ack", sound).stdout_bytes
    done = run("ack", changed(tmp_path, b"IEA*1*", b"IEA*2*", sound))
    assert b"~TA1*" in done.stdout_bytes
    assert "rejected: interchange_count" in done.stderr


def test_acknowledgements_are_not_answered() -> None:
    done = run("ack", FOLDER / "x12-acknowledgements-only" / "input.edi")
    assert (done.exit_code, done.stdout_bytes) == (1, b"")
    assert "not answered" in done.stderr


# ── the command line ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("command", ["show", "validate", "convert", "diff", "ack"])
def test_every_command_explains_itself_with_an_example(command: str) -> None:
    done = crossplant("edi", command, "--help")
    assert done.code == 0
    assert f"crossplant edi {command}" in done.out.partition("\n")[2]


def test_the_list_of_commands_has_it() -> None:
    assert "edi           Show, validate, convert, compare and acknowledge" in crossplant("--help").out


def test_a_file_that_cannot_be_read_is_2_on_the_command_line() -> None:
    done = crossplant("edi", "show", "nowhere.edi")
    assert done.code == 2
    assert "nowhere.edi" in done.err
    assert not done.out
