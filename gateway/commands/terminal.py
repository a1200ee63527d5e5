"""What commands write: data to stdout, messages to stderr, and nothing that steers a terminal."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

__all__ = ["details", "moment", "say", "show", "show_json", "show_table", "visible"]

_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_CELL = 72


def visible(value: object) -> str:
    """The value as one line of text; control characters, which could steer a terminal, are escaped."""
    text = "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def show(text: str = "", *, end: str = "\n") -> None:
    """A line of data, to stdout at once."""
    sys.stdout.write(f"{text}{end}")
    sys.stdout.flush()


def say(text: str) -> None:
    """A message for people, to stderr."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def show_json(value: Any, *, compact: bool = False) -> None:
    """A JSON value to stdout: indented, or in one line."""
    show(json.dumps(value, ensure_ascii=False, indent=None if compact else 2))


def show_table(headings: Sequence[str], rows: Iterable[Sequence[object]], *, none: str = "none") -> None:
    """Rows in aligned columns to stdout; ``none``, a message, when there are none.

    On a terminal long cells are cut; a pipe gets them whole.
    """
    cells = [[_cell(value) for value in row] for row in rows]
    if not cells:
        say(none)
        return
    widths = [max(len(row[column]) for row in [headings, *cells]) for column in range(len(headings))]
    for row in [[heading.upper() for heading in headings], *cells]:
        show("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def details(pairs: Iterable[tuple[str, object]]) -> None:
    """Names and values to stdout, one pair a line, values aligned; empty ones are left out."""
    shown = [(name, visible(value)) for name, value in pairs if value not in (None, "", [], {}, ())]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        show(f"{name.ljust(width)}  {value}")


def _cell(value: object) -> str:
    text = visible(value)
    return text[: _CELL - 1] + "…" if len(text) > _CELL and sys.stdout.isatty() else text


def moment(value: object) -> str:
    """A moment as the API gives it, seconds since 1970 or RFC 3339, as ``2026-03-02 10:15:00Z``."""
    if value is None or value == "":
        return ""
    if isinstance(value, int | float):
        at = datetime.fromtimestamp(value, UTC)
    else:
        try:
            at = datetime.fromisoformat(str(value)).astimezone(UTC)
        except ValueError:
            return visible(value)
    return at.strftime("%Y-%m-%d %H:%M:%SZ")
