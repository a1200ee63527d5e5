"""What commands write: data to stdout, messages to stderr, and nothing that steers a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from canonical.commands import say, show, show_json, visible

__all__ = ["details", "moment", "say", "show", "show_json", "show_table", "visible"]

_CELL = 72


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
