"""What the hub says on stderr."""

import io
import json
import logging
import warnings
from collections.abc import Iterator

import pytest
import structlog

from gateway import logs


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[str]:
    return stream.getvalue().splitlines()


def test_a_pipe_gets_one_json_object_a_line() -> None:
    out = io.StringIO()
    logs.set_up(stream=out)
    structlog.get_logger().info("source_connected", adapter="press", plant="aachen")
    (line,) = lines(out)
    fields = json.loads(line)
    assert fields["event"] == "source_connected"
    assert fields["level"] == "info"
    assert fields["adapter"] == "press"
    assert fields["timestamp"].endswith("Z")


def test_a_terminal_gets_lines_for_people() -> None:
    out = Terminal()
    logs.set_up(stream=out)
    structlog.get_logger().warning("route_paused", route="asn-to-erp", reason="connection refused")
    (line,) = lines(out)
    assert "route paused" in line
    assert 'reason="connection refused"' in line
    assert "\x1b[33m" in line


def test_no_color_is_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    out = Terminal()
    logs.set_up(stream=out)
    structlog.get_logger().warning("route_paused")
    assert "\x1b" not in out.getvalue()


@pytest.mark.parametrize("shape", ["text", "json"])
@pytest.mark.parametrize(
    "forged", ["a\r\n12:00:00 info forged", "a\x1b[2J", "a\u2028b", "a\x85b", "a\u202eb"]
)
def test_what_came_from_outside_cannot_forge_a_line(shape: logs.Shape, forged: str) -> None:
    out = Terminal()
    logs.set_up(stream=out, shape=shape)
    structlog.get_logger().info(f"seen {forged}", topic=forged, listed=[forged], mapped={forged: forged})
    (line,) = out.getvalue().removesuffix("\n").split("\n")
    assert forged not in line
    coloured_off = line.replace("\x1b[32m", "").replace("\x1b[0m", "")
    assert not any(mark in coloured_off for mark in "\r\x1b\x85\u2028\u202e")


def test_levels_below_the_wanted_are_silent() -> None:
    out = io.StringIO()
    logs.set_up(stream=out, level="warning")
    structlog.get_logger().info("unheard")
    assert not out.getvalue()


def test_a_traceback_is_one_json_line_without_values() -> None:
    out = io.StringIO()
    logs.set_up(stream=out)
    secret = "s3cr3t" + "-canary"
    try:
        int("x" if secret else "y")
    except ValueError:
        structlog.get_logger().error("failed", exc_info=True)
    (line,) = lines(out)
    assert "ValueError" in json.loads(line)["exception"]
    assert secret not in line


def test_a_traceback_for_people_is_indented() -> None:
    out = Terminal()
    logs.set_up(stream=out)
    structlog.get_logger().error("failed", exc_info=ValueError("first\nsecond"))
    first, *rest = lines(out)
    assert "failed" in first
    assert rest
    assert all(line.startswith("    ") for line in rest)


def test_libraries_are_heard_from_warning_on() -> None:
    out = io.StringIO()
    logs.set_up(stream=out)
    logging.getLogger("paho").info("unheard")
    logging.getLogger("paho").warning("%s is odd", "this")
    logging.getLogger("asyncua.client").warning("unheard")
    logging.getLogger("uvicorn.access").info("unheard")
    (line,) = lines(out)
    fields = json.loads(line)
    assert (fields["event"], fields["logger"], fields["message"]) == ("library", "paho", "this is odd")


def test_python_warnings_are_log_lines() -> None:
    out = io.StringIO()
    logs.set_up(stream=out)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logs.set_up(stream=out)
        warnings.warn("old ways", stacklevel=1)
    assert any("old ways" in line for line in lines(out))
    assert all(json.loads(line) for line in lines(out))


def test_a_library_that_logs_rubbish_breaks_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    out = io.StringIO()
    logs.set_up(stream=out)
    logging.getLogger("paho").warning("%d", "no number")
    assert json.loads(out.getvalue())["message"] == "%d"
    assert not capsys.readouterr().err
