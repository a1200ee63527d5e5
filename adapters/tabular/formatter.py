"""The formatter of csv and fixed: a payload, or a list of them, to rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

from adapters.tabular.cell import cell_writer
from adapters.tabular.config import Column, CsvOptions, FixedColumn, FixedOptions
from adapters.tabular.moment import needs_zone
from canonical.errors import ConfigError, Invalid

__all__ = ["TableFormatter"]

_ENDS: Final = {"crlf": "\r\n", "lf": "\n"}
_CHARSETS: Final = {"utf-8-sig": "utf-8"}
_RUN: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%", "＝", "＋", "－", "＠")  # noqa: RUF001
"""How cells begin that spreadsheets run as formulas (OWASP, CSV Injection), full-width signs included."""


class _Joiner(Protocol):
    """Puts a row together from its texts. Raises ValueError(column, what is wrong)."""

    def join(self, cells: Sequence[tuple[str, str]]) -> str: ...


class TableFormatter:
    """One row a mapping, in the order of the declared columns. What has no column is refused, not lost."""

    def __init__(self, options: CsvOptions | FixedOptions) -> None:
        """Raises ConfigError when the options are enough to read, but not to write."""
        self._options = options
        self._columns: Mapping[str, Column] = options.columns
        if not self._columns:
            raise ConfigError("`columns` is missing: it says what is written, in which order", key="columns")
        for name, column in self._columns.items():
            if column.type == "datetime" and column.timezone is None and needs_zone(column.pattern):
                raise ConfigError(
                    f"`timezone` is missing: {column.pattern!r} is written without an offset",
                    key=f"columns.{name}.timezone",
                )
        self._writers = {name: cell_writer(column) for name, column in self._columns.items()}
        csv = isinstance(options, CsvOptions)
        self._joiner: _Joiner = _Delimiting(options) if isinstance(options, CsvOptions) else _Padding(options)
        charset = _CHARSETS.get(options.encoding, options.encoding)
        self.content_type = f"text/{'csv' if csv else 'plain'}; charset={charset}"

    def format(self, payload: Any) -> bytes:
        """Raises Invalid that names the row and column of what this format cannot hold."""
        rows = payload if isinstance(payload, list | tuple) else [payload]
        end = _ENDS[self._options.line_end]
        text = "".join(f"{line}{end}" for line in self._lines(rows, single=rows is not payload))
        try:
            return text.encode(self._options.encoding)
        except UnicodeEncodeError as error:
            row = text.count(end, 0, error.start) + 1
            detail = f"{self._options.encoding} has no character {text[error.start]!a}"
            raise _refused(f"line {row}", detail) from error

    def _lines(self, rows: Sequence[Any], *, single: bool) -> Iterable[str]:
        if isinstance(self._options, CsvOptions) and self._options.header:
            titles = [(name, column.title or name) for name, column in self._columns.items()]
            yield self._joined(titles, "")
        for index, row in enumerate(rows):
            at = "" if single else f"/{index}"
            yield self._joined(self._cells(row, at), at)

    def _cells(self, row: Any, at: str) -> list[tuple[str, str]]:
        if not isinstance(row, Mapping):
            raise _refused(at, f"must be a mapping of columns, not {row!r:.60}")
        unknown = [str(name) for name in row if name not in self._columns]
        if unknown:
            known = ", ".join(self._columns)
            raise _refused(f"{at}/{unknown[0]}", f"is no column; declared are {known:.200}")
        return [(name, self._cell(name, row.get(name), at)) for name in self._columns]

    def _cell(self, name: str, value: Any, at: str) -> str:
        if value is None:
            return ""
        try:
            text = self._writers[name](value)
            if "\0" in text:
                raise ValueError("has the character U+0000")
            return self._harmless(text) if self._columns[name].type == "text" else text
        except (ValueError, OverflowError) as error:
            raise _refused(f"{at}/{name}", str(error)) from error

    def _harmless(self, text: str) -> str:
        """The text, so that no spreadsheet runs it."""
        if not isinstance(self._options, CsvOptions) or not text.startswith(_RUN):
            return text
        match self._options.formulas:
            case "write":
                return text
            case "quote":
                return f"'{text}"
            case "refuse":
                raise ValueError(f"{text!r:.60} begins as a formula does, which `formulas` refuses")

    def _joined(self, cells: Sequence[tuple[str, str]], at: str) -> str:
        try:
            line = self._joiner.join(cells)
        except ValueError as error:
            name, detail = error.args
            raise _refused(f"{at}/{name}", detail) from error
        comment = self._options.comment
        if comment and line.startswith(comment):
            raise _refused(f"{at}/{cells[0][0]}", f"begins with {comment!r}, as comments do")
        return line


class _Delimiting:
    """Cells in quotes where they need them."""

    def __init__(self, options: CsvOptions) -> None:
        self._delimiter, self._quote, self._escape = options.delimiter, options.quote, options.escape
        self._line_breaks, self._comment = options.line_breaks, options.comment

    def join(self, cells: Sequence[tuple[str, str]]) -> str:
        """The row."""
        return self._delimiter.join(self._written(name, text) for name, text in cells)

    def _written(self, name: str, text: str) -> str:
        breaks = "\r" in text or "\n" in text
        if breaks and not (self._line_breaks and self._quote):
            raise ValueError(name, "has a line break, which the rows of this format cannot hold")
        marks = [mark for mark in (self._delimiter, self._quote, self._escape) if mark]
        comment = bool(self._comment and text.startswith(self._comment))
        if not breaks and not comment and text == text.strip() and not any(mark in text for mark in marks):
            return text
        if self._quote:
            escaped = text.replace(self._escape, self._escape * 2) if self._escape else text
            return f"{self._quote}{escaped.replace(self._quote, self._quote * 2)}{self._quote}"
        if self._escape and text == text.strip():
            for mark in (self._escape, self._delimiter):
                text = text.replace(mark, f"{self._escape}{mark}")
            return text
        raise ValueError(name, f"{text!r:.60} needs a quote, and `quote` is null")


class _Padding:
    """Cells filled up to their width."""

    def __init__(self, options: FixedOptions) -> None:
        self._columns: Mapping[str, FixedColumn] = options.columns

    def join(self, cells: Sequence[tuple[str, str]]) -> str:
        """The row."""
        return "".join(self._padded(name, text, self._columns[name]) for name, text in cells)

    @staticmethod
    def _padded(name: str, text: str, column: FixedColumn) -> str:
        if len(text) > column.width:
            raise ValueError(name, f"{text!r:.60} has {len(text)} characters, the column {column.width}")
        if "\r" in text or "\n" in text:
            raise ValueError(name, "has a line break, which the rows of this format cannot hold")
        fill = column.fill if text else " "
        if column.align == "left":
            return text.ljust(column.width, fill)
        sign = text[0] if fill == "0" and text[:1] in ("-", "+") else ""
        return sign + text[len(sign) :].rjust(column.width - len(sign), fill)


def _refused(where: str, detail: str) -> Invalid:
    return Invalid(f"not writable: {where}: {detail}", code="not_tabular", errors=[(where, detail)])
