"""The rows of a body: which lines count, how many cells they have, and where the next one begins."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from adapters.tabular.charset import Line, Lines, bad_text
from adapters.tabular.config import TableOptions
from adapters.tabular.split import Split, Torn
from canonical.errors import Invalid

__all__ = ["Row", "Rows", "not_a_row"]


_AGAIN: Final = 3
"""How often, on the average, a character may be read again: a hostile file has a stray quote in every row."""


class Row(Struct, frozen=True):
    """The cells of a row; ``number`` is that of the line on which it begins, from 1."""

    number: int
    cells: list[str]


def not_a_row(number: int, detail: str, code: str) -> Invalid:
    """What is wrong with a row as a whole."""
    where = f"row {number}"
    return Invalid(f"{where}: {detail}", code=code, context={"row": number}, errors=[(where, detail)])


class Rows:
    """Reads rows one after the other. A bad row harms no other: reading goes on with the line after it."""

    def __init__(self, body: bytes, options: TableOptions, split: Split, *, line_breaks: bool) -> None:
        """Raises Invalid when the body's byte order mark tells another encoding."""
        self._lines = Lines(body, options.encoding, options.max_row)
        self._options, self._split, self._line_breaks = options, split, line_breaks
        self._skip = re.compile(options.skip) if options.skip else None
        self._trailer = re.compile(options.trailer) if options.trailer else None
        self._ended = False
        self._over: list[Line] = []
        self._length = 0
        self._again = _AGAIN * len(body)
        for _ in range(options.preamble):
            self._lines.next()

    def first(self) -> Row | Invalid | None:
        """The first row, whatever number of cells it has; None where there is no row."""
        return next(self._rows(None), None)

    def rest(self, width: int) -> Iterator[Row | Invalid]:
        """The rows after it, with ``width`` cells each, without the footer; then what the end lacks."""
        held: deque[Row | Invalid] = deque()
        count = 0
        for row in self._rows(width):
            held.append(row)
            if len(held) > self._options.footer:
                count += 1
                if count > self._options.max_rows:
                    yield self._too_many(held[0])
                    return
                yield held.popleft()
        if self._trailer and not self._ended:
            detail = f"no line is the trailer {self._trailer.pattern!r:.60}: the file was cut short"
            yield Invalid(detail, code="truncated", errors=[("", detail)])

    def _too_many(self, row: Row | Invalid) -> Invalid:
        number = row.number if isinstance(row, Row) else row.context["row"]
        detail = f"more than {self._options.max_rows:,} rows: this one and those after it were not read"
        return not_a_row(int(str(number)), detail, "too_large")

    def _rows(self, width: int | None) -> Iterator[Row | Invalid]:
        while (line := self._lines.next()) is not None:
            if self._passed_over(line.text):
                continue
            if self._ended:
                yield not_a_row(line.number, "it stands behind the trailer, which ends the file", "trailer")
            elif self._trailer and self._trailer.search(line.text.rstrip("\r\n")):
                self._ended = True
            elif (row := self._row(line, width)) is not None:
                yield row

    def _passed_over(self, text: str) -> bool:
        comment = self._options.comment
        return (
            not text.strip()
            or bool(comment and text.startswith(comment))
            or bool(self._skip and self._skip.search(text.rstrip("\r\n")))
        )

    def _row(self, line: Line, width: int | None) -> Row | Invalid | None:
        """The row that begins with the line; None where all its cells are empty."""
        self._over = []
        limit = self._options.max_row
        if line.cut or len(line.text.rstrip("\r\n")) > limit:
            return not_a_row(line.number, f"it has more than {limit:,} characters", "too_large")
        try:
            self._length = len(line.text)
            cells = self._split.cells(line.text, self._more)
            if not any(cells):
                return None
            if width is not None:
                cells = self._fitted(cells, width)
        except Torn as torn:
            detail = f"{torn}{self._read_again()}"
            if bad := bad_text(line.text, self._options.encoding):
                detail = f"{detail}; also, {bad}"
            return not_a_row(line.number, detail, "row")
        return Row(line.number, cells)

    def _more(self) -> str | None:
        """The next line of the row, unless it would grow too long."""
        if not self._line_breaks or (line := self._lines.next()) is None:
            return None
        self._over.append(line)
        self._length += len(line.text)
        return None if line.cut or self._length > self._options.max_row else line.text

    def _read_again(self) -> str:
        """Has the lines that a stray quote joined to the row read again, each for itself, and tells of it."""
        if not self._over:
            return ""
        last = self._over[-1].number
        self._again -= sum(len(line.text) for line in self._over)
        if self._again < 0:
            return f" (the rows to {last} went with it, since the file has too many such rows)"
        self._lines.unread(self._over)
        return f" (read to row {last}; the rows after it are read again, each for itself)"

    def _fitted(self, cells: list[str], width: int) -> list[str]:
        """The cells, as many as there are columns. Raises Torn."""
        surplus = cells[width:]
        if len(cells) == width:
            return cells
        if self._options.ragged and not any(surplus):
            return cells[:width] + [""] * (width - len(cells))
        hint = "is it cut short?" if len(cells) < width else "is a delimiter in a cell that is not quoted?"
        raise Torn(f"it has {len(cells)} cells, there are {width} columns; {hint}")
