"""A line to its cells: parted by a delimiter with quotes (RFC 4180), or by widths."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Protocol

__all__ = ["Delimited", "More", "Split", "Torn", "Widths"]

More = Callable[[], str | None]
"""The next line of the same row with its end, or None where the row cannot go on."""


class Torn(Exception):
    """The row is not built as it should be; its text says how."""


class Split(Protocol):
    """How a format parts a row. Raises Torn."""

    def cells(self, line: str, more: More) -> list[str]: ...


class Delimited:
    """Cells between delimiters. Quotes count only where they begin a cell: in 5" they are text."""

    def __init__(self, delimiter: str, quote: str | None, escape: str | None, *, trim: bool) -> None:
        self._delimiter, self._quote, self._escape, self._trim = delimiter, quote, escape, trim
        part, taken = re.escape(delimiter), re.escape(escape or "")
        mark = re.escape(quote or '"')
        some = f"[^{part}{taken}]++|{taken}.|{taken}$" if escape else f"[^{part}]++"
        self._bare = re.compile(f"(?:{some})*+", re.DOTALL)
        inner = f"[^{mark}{taken}]++|{mark}{mark}" + (f"|{taken}." if escape else "")
        self._quoted = re.compile(f"(?:{inner})*+", re.DOTALL)
        self._taken = re.compile(f"{taken}(.)", re.DOTALL) if escape else None
        self._meant = re.compile(f"{mark}{mark}" + (f"|{taken}(.)" if escape else ""), re.DOTALL)
        self._blanks = re.compile(f"[^\\S{part}\r\n]*")

    def cells(self, line: str, more: More) -> list[str]:
        """The cells of the row that begins with ``line``."""
        quote, escape = self._quote, self._escape
        if (quote is None or quote not in line) and (escape is None or escape not in line):
            found = _content(line).split(self._delimiter)
            return [cell.strip() for cell in found] if self._trim else found
        return self._careful(line, more)

    def _careful(self, line: str, more: More) -> list[str]:
        cells, at = [], 0
        while True:
            begin = self._after_blanks(line, at)
            if self._quote is not None and line.startswith(self._quote, begin):
                cell, line, at = self._in_quotes(line, begin + 1, more)
            else:
                cell, at = self._plain(line, at)
            cells.append(cell)
            if at >= len(_content(line)):
                return cells
            at += 1  # behind the delimiter

    def _after_blanks(self, line: str, at: int) -> int:
        found = self._blanks.match(line, at) if self._trim else None
        return found.end() if found else at

    def _plain(self, line: str, at: int) -> tuple[str, int]:
        """A cell without quotes, and the place of the delimiter behind it."""
        content = _content(line)
        found = self._bare.match(content, at)
        cell, end = (found[0], found.end()) if found else ("", at)
        if self._trim:
            cell = cell.strip()
        return (self._taken.sub(r"\1", cell) if self._taken else cell), end

    def _in_quotes(self, line: str, at: int, more: More) -> tuple[str, str, int]:
        """A cell in quotes, the line on which it ends, and the place of the delimiter behind it."""
        parts = []
        while True:
            found = self._quoted.match(line, at)
            end = found.end() if found else at
            parts.append(line[at:end])
            if line.startswith(self._quote or "", end) and end < len(line):
                break
            following = more()
            if following is None:
                raise Torn("a quote is opened and not closed")
            line, at = following, 0
        end = self._after_blanks(line, end + 1)
        if end < len(_content(line)) and not line.startswith(self._delimiter, end):
            raise Torn(f"{line[end : end + 20].rstrip()!r} stands behind a closed quote, where a cell ends")
        return self._meant.sub(self._literal, "".join(parts)), line, end

    def _literal(self, found: re.Match[str]) -> str:
        return (found[1] if found.re.groups else None) or self._quote or ""


class Widths:
    """Cells by their widths, in characters. A row that ends within a cell may have lost digits."""

    def __init__(self, widths: Sequence[int], *, trim: bool, ragged: bool) -> None:
        ends = [sum(widths[: count + 1]) for count in range(len(widths))]
        self._places = list(zip([0, *ends], ends, strict=False))
        self._total, self._trim, self._ragged = ends[-1], trim, ragged

    def cells(self, line: str, more: More) -> list[str]:
        """The cells of the line; raises Torn when it is longer or, unless ragged, shorter than declared."""
        text = _content(line)
        if len(text) < self._total and not self._ragged:
            raise Torn(f"it has {len(text)} characters, the columns {self._total}; is it cut short?")
        if text[self._total :].strip():
            raise Torn(f"it has {len(text)} characters, the columns only {self._total}")
        found = [text[begin:end] for begin, end in self._places]
        return [cell.strip() for cell in found] if self._trim else found


def _content(line: str) -> str:
    return line.removesuffix("\n").removesuffix("\r")
