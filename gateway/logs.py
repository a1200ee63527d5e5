"""What the hub says of itself, on stderr: lines for people on a terminal, JSON lines elsewhere.

One event is one line whatever its fields hold: line ends and other control characters are escaped, so
that nothing that came in from outside can forge a line or steer a terminal.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import traceback
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, Literal, TextIO

import structlog

__all__ = ["Level", "Shape", "set_up"]

Level = Literal["debug", "info", "warning", "error"]
Shape = Literal["auto", "text", "json"]
Fields = MutableMapping[str, Any]

_NUMBERS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_TEXT_LIMIT: Final = 4_000
_COLOURS: Final = {"debug": "2", "info": "32", "warning": "33", "error": "31", "critical": "31"}

LIBRARIES: Final[Mapping[str, int]] = {
    # asyncua warns of what is ordinary: values without a type, a server's revised timings, ends of sessions.
    # What goes wrong on a connection, adapters.opcua tells in its own words.
    "asyncua": logging.CRITICAL,
    "aiormq": logging.CRITICAL,  # a traceback for every connection that ends; adapters.amqp tells it, too
    "uvicorn.access": logging.CRITICAL,
    "aiohttp.access": logging.CRITICAL,
    # asyncio tells of slow callbacks at WARNING in debug mode only; of lost exceptions at ERROR.
    "asyncio": logging.ERROR,
}
"""From which level on we hear libraries; all others from WARNING on."""


def set_up(*, level: Level = "info", shape: Shape = "auto", stream: TextIO | None = None) -> None:
    """Structlog and the standard library's logging speak on ``stream`` (stderr) from now on.

    ``auto``: text when it is a terminal, else JSON. Calling it again replaces what was set up.
    """
    out = stream or sys.stderr
    as_text = shape == "text" or (shape == "auto" and out.isatty())
    coloured = as_text and out.isatty() and "NO_COLOR" not in os.environ
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            _stamp,
            _exception,
            _Text(coloured=coloured) if as_text else _as_json,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_NUMBERS[level]),
        logger_factory=structlog.WriteLoggerFactory(file=out),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers = [_Forward()]
    root.setLevel(logging.WARNING)
    for name, threshold in LIBRARIES.items():
        logging.getLogger(name).setLevel(threshold)
    for name in ("uvicorn", "uvicorn.error"):  # theirs would write beside ours
        library = logging.getLogger(name)
        library.handlers, library.propagate = [], True
        library.setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)


class _Forward(logging.Handler):
    """Hands what libraries log to structlog, with the logger's name."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()
        except Exception:  # noqa: BLE001 - a library's slip in its own log call must not reach its caller
            text = str(record.msg)
        level = next(
            (name for name in ("error", "warning", "info") if _NUMBERS[name] <= record.levelno), "debug"
        )
        fields: dict[str, Any] = {"logger": record.name, "message": text}
        if record.exc_info:
            fields["exc_info"] = record.exc_info
        getattr(structlog.get_logger(), level)("library", **fields)


def _stamp(_logger: Any, _method: str, fields: Fields) -> Fields:
    fields["timestamp"] = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return fields


def _exception(_logger: Any, _method: str, fields: Fields) -> Fields:
    """``exc_info`` as the text of its traceback, without values of variables."""
    found = fields.pop("exc_info", None)
    if found is True:
        found = sys.exc_info()
    if isinstance(found, BaseException):
        found = (type(found), found, found.__traceback__)
    if isinstance(found, tuple) and found[0] is not None:
        kind: type[BaseException] = found[0]
        trace: TracebackType | None = found[2]
        fields["exception"] = "".join(traceback.format_exception(kind, found[1], trace))
    return fields


def _as_json(_logger: Any, _method: str, fields: Fields) -> str:
    """One line; JSON escapes what could end it."""
    ordered = {name: fields.pop(name) for name in ("timestamp", "level", "event") if name in fields}
    return json.dumps({**ordered, **fields}, ensure_ascii=True, default=_plain)


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, set | frozenset | tuple):
        return sorted(value, key=str) if not isinstance(value, tuple) else list(value)
    return str(value)


class _Text:
    """``12:30:05 info     source connected          adapter=press plant=aachen``, in UTC as the JSON is."""

    def __init__(self, *, coloured: bool) -> None:
        self._coloured = coloured

    def __call__(self, _logger: Any, _method: str, fields: Fields) -> str:
        at = str(fields.pop("timestamp"))[11:19]
        level, event = str(fields.pop("level")), str(fields.pop("event")).replace("_", " ")
        trace = str(fields.pop("exception", ""))
        words = " ".join(f"{name}={_shown(value)}" for name, value in fields.items())
        line = f"{at} {self._paint(level)} {_one_line(event).ljust(28)} {words}".rstrip()
        return "\n    ".join([line, *(_one_line(row) for row in trace.splitlines())])

    def _paint(self, level: str) -> str:
        text = level.ljust(8)
        return f"\x1b[{_COLOURS.get(level, '0')}m{text}\x1b[0m" if self._coloured else text


def _shown(value: object) -> str:
    if isinstance(value, list | tuple | dict | set | frozenset):
        value = json.dumps(value, ensure_ascii=False, default=_plain)
    text = _one_line(str(value))
    return json.dumps(text, ensure_ascii=False) if text == "" or any(mark in text for mark in ' "=') else text


def _one_line(text: str) -> str:
    cut = text if len(text) <= _TEXT_LIMIT else text[: _TEXT_LIMIT - 1] + "…"
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), cut)
