"""The records of a body: each row as a mapping by the columns' names, in which an empty cell is null."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final
from zoneinfo import ZoneInfo

from msgspec import Struct

from adapters.tabular.cell import Reader, cell_reader
from adapters.tabular.charset import bad_text
from adapters.tabular.config import Column, CsvOptions, FixedOptions
from adapters.tabular.rows import Row, Rows
from adapters.tabular.split import Delimited, Split, Widths
from canonical.errors import Invalid

__all__ = ["Record", "Records"]

_MOST_FAULTS: Final = 20
_TEXT: Final = Column()


class Record(Struct, frozen=True):
    """The values of a row; ``number`` is that of the line on which it begins, from 1."""

    number: int
    values: dict[str, Any]


class _Place(Struct, frozen=True):
    """A column at its place in the row."""

    name: str
    read: Reader | None


class Records:
    """Reads bodies of one layout. Stateless, and safe from any thread."""

    def __init__(self, options: CsvOptions | FixedOptions, zone: ZoneInfo) -> None:
        self._options, self._zone = options, zone
        self._columns: Mapping[str, Column] = options.columns
        self._declared = [self._place(name, column) for name, column in self._columns.items()]
        self._empty = {"", *options.empty}
        self._split = _split(options)

    def _place(self, name: str, column: Column) -> _Place:
        return _Place(name, cell_reader(column, self._zone))

    def read(self, body: bytes) -> Iterator[Record | Invalid]:
        """The records in order, read as they are taken, and what is wrong with rows or the whole."""
        size, most = len(body), self._options.max_size
        if size > most:
            yield Invalid(f"the body has {size:,} bytes, at most {most:,} are allowed", code="too_large")
            return
        breaks = isinstance(self._options, CsvOptions) and self._options.line_breaks
        try:
            rows = Rows(body, self._options, self._split, line_breaks=breaks)
            places = self._places(rows)
        except Invalid as fault:
            yield fault
            return
        for row in rows.rest(len(places)):
            yield row if isinstance(row, Invalid) else self._record(row, places)

    def _places(self, rows: Rows) -> list[_Place]:
        """The columns, as the header names them or as they are declared. Raises Invalid."""
        if isinstance(self._options, FixedOptions) or not self._options.header:
            return self._declared
        row = rows.first()
        if isinstance(row, Invalid):
            raise _no_header(row.message)
        if row is None:
            raise _no_header("the file has no row, where its header must be")
        if bad := next(filter(None, (bad_text(cell, self._options.encoding) for cell in row.cells)), None):
            raise _no_header(f"row {row.number}: {bad}")
        titles = [title.strip() or f"column_{number}" for number, title in enumerate(row.cells, start=1)]
        return self._named(titles, row.number)

    def _named(self, titles: list[str], number: int) -> list[_Place]:
        if twice := sorted({title for title in titles if titles.count(title) > 1}):
            raise _no_header(f"row {number} names {twice[0]!r:.60} twice")
        names = {column.title or name: name for name, column in self._columns.items()}
        missing = [
            title for title, name in names.items() if title not in titles and not self._columns[name].optional
        ]
        if missing:
            told = ", ".join(titles)
            raise _no_header(f"row {number} lacks the column {missing[0]!r}; it has {told:.200}")
        found = [(title, names.get(title, title)) for title in titles]
        if clash := [title for title, name in found if title not in names and name in self._columns]:
            raise _no_header(f"row {number} has a column {clash[0]!r}, which is the name of another one")
        return [self._place(name, self._columns.get(name, _TEXT)) for _, name in found]

    def _record(self, row: Row, places: list[_Place]) -> Record | Invalid:
        values: dict[str, Any] = {name: None for name, column in self._columns.items() if column.optional}
        faults = []
        for place, cell in zip(places, row.cells, strict=True):
            if cell in self._empty:
                values[place.name] = None
            elif bad := bad_text(cell, self._options.encoding):
                faults.append((place.name, bad))
            else:
                try:
                    values[place.name] = place.read(cell) if place.read else cell
                except ValueError as error:
                    faults.append((place.name, str(error)))
        return _bad_cells(row.number, faults) if faults else Record(row.number, values)


def _split(options: CsvOptions | FixedOptions) -> Split:
    if isinstance(options, FixedOptions):
        widths = [column.width for column in options.columns.values()]
        return Widths(widths, trim=options.trim, ragged=options.ragged)
    return Delimited(options.delimiter, options.quote, options.escape, trim=options.trim)


def _no_header(detail: str) -> Invalid:
    return Invalid(f"no header: {detail}", code="header", errors=[("header", detail)])


def _bad_cells(number: int, faults: list[tuple[str, str]]) -> Invalid:
    """A row with cells that cannot be read."""
    (name, detail), more = faults[0], len(faults) - 1
    rest = f", and {more} more" if more else ""
    return Invalid(
        f"row {number}, column {name}: {detail}{rest}",
        code="cell",
        context={"row": number, "column": name},
        errors=[(f"row {number}, column {name}", detail) for name, detail in faults[:_MOST_FAULTS]],
    )
