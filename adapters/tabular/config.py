"""The options of the formats csv and fixed."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from adapters.tabular.charset import check_encoding
from adapters.tabular.moment import check_pattern
from canonical.duration import Size
from canonical.jsontext import MAX_BYTES
from canonical.rules import EventRule

__all__ = ["Column", "ColumnType", "CsvOptions", "FixedColumn", "FixedOptions", "TableOptions"]

ColumnType = Literal["text", "integer", "decimal", "date", "datetime", "boolean"]
_DAY = "%Y-%m-%d"
_LARGEST_ROW = 1_000_000


def _check_regex(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"{text!r} is no regular expression: {error}") from None
    return text


def _check_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{name!r} is no IANA time zone such as Europe/Berlin") from None
    return name


def _check_character(text: object) -> object:
    if text == "auto":
        raise ValueError("'auto' is not offered, since a wrong guess is silent: write the character")
    if isinstance(text, str) and text in "\r\n\0\ufeff":
        raise ValueError(f"{text!r} cannot part the cells of a row")
    return text


Character = Annotated[str, Field(min_length=1, max_length=1), BeforeValidator(_check_character)]
Regex = Annotated[str, Field(min_length=1), AfterValidator(_check_regex)]
Zone = Annotated[str, AfterValidator(_check_zone)]
Encoding = Annotated[str, AfterValidator(check_encoding)]


class _Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Column(_Options):
    """A column: how its cells are written. An empty cell is null, whatever the type."""

    title: str | None = Field(None, min_length=1, description="Its name in the header; else the same.")
    type: ColumnType = Field("text", description="What the cells hold.")
    optional: bool = Field(False, description="The header may lack it; its cells are null then.")
    decimal: Literal[".", ","] = Field(".", description="What parts a decimal number from its fraction.")
    thousands: Literal["", ".", ",", " ", "'"] = Field(
        "", description="What groups three digits each; not needed in a cell, but refused unless declared."
    )
    format: str | None = Field(
        None,
        description="How a date or datetime is written: a pattern (%d.%m.%Y %H:%M), else ISO 8601; for a "
        "datetime also rfc3339 (an offset is a must), epoch_s, epoch_ms.",
    )
    timezone: Zone | None = Field(
        None, description="IANA zone of datetimes without an offset; else the plant's. Needed to write them."
    )
    ambiguous: Literal["refuse", "earlier", "later"] = Field(
        "refuse", description="What a datetime of the hour that the end of summer time repeats is."
    )
    true: list[str] = Field(
        ["true", "yes", "1"],
        min_length=1,
        description="What counts as true, in any case; the first is written.",
    )
    false: list[str] = Field(
        ["false", "no", "0"],
        min_length=1,
        description="What counts as false, in any case; the first is written.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.thousands == self.decimal:
            raise ValueError(f"{self.decimal!r} cannot be both `decimal` and `thousands`: name the other")
        if self.format is not None:
            if self.type not in ("date", "datetime"):
                raise ValueError(f"`format` is for date and datetime, not for {self.type}")
            check_pattern(self.format, self.type)
        both = {word.strip().lower() for word in self.true} & {word.strip().lower() for word in self.false}
        if both:
            raise ValueError(f"{sorted(both)} cannot mean both true and false")
        return self

    @property
    def pattern(self) -> str:
        """The format, or that of the type."""
        return self.format or (_DAY if self.type == "date" else "local")


class FixedColumn(Column):
    """A column of a fixed width."""

    width: int = Field(ge=1, le=100_000, description="Characters that it takes.")
    align: Literal["left", "right"] = Field("left", description="Where a value stands when it is written.")
    fill: str = Field(
        " ", min_length=1, max_length=1, description="What fills the rest when it is written: ' ' or '0'."
    )


class TableOptions(_Options):
    """What both formats have."""

    events: list[EventRule] = Field(
        default_factory=list, description="Which events a row gives; needed to read, unused to write."
    )
    encoding: Encoding = Field(
        "utf-8", description="How text is encoded: utf-8, utf-8-sig, utf-16, cp1250, cp1252, iso-8859-2 …"
    )
    trim: bool = Field(True, description="Blanks around a cell do not count, unless they are quoted.")
    empty: list[str] = Field(
        default_factory=list, description="Texts that mean no value, as an empty cell does: NULL, -."
    )
    ragged: bool = Field(
        False, description="A row may lack cells at its end, which are null, or have more that are empty."
    )
    preamble: int = Field(0, ge=0, le=10_000, description="Lines before the first row that are not read.")
    comment: str = Field("", max_length=16, description="Lines that begin with this are not read.")
    skip: Regex | None = Field(
        None, description="Lines in which this regular expression is found are not read."
    )
    trailer: Regex | None = Field(
        None,
        description="The line that ends the file, by a regular expression; it is no row, and a file without "
        "it was cut short, which is told.",
    )
    footer: int = Field(
        0,
        ge=0,
        le=1_000,
        description="Rows at the end that are not read, whatever they hold; `trailer` is safer.",
    )
    max_size: Size = Field(MAX_BYTES, gt=0, description="The largest body that is read.")
    max_rows: int = Field(500_000, ge=1, description="Rows of a body at most; those after it are not read.")
    max_row: int = Field(64_000, ge=1, le=_LARGEST_ROW, description="Characters of a row at most.")
    max_faults: int = Field(
        1_000, ge=1, description="Invalid rows that are told one by one; those after them are counted."
    )
    line_end: Literal["crlf", "lf"] = Field("crlf", description="What ends a row when it is written.")


class CsvOptions(TableOptions):
    """Options of the format csv."""

    delimiter: Character = Field(",", description="What parts cells: one character, such as ; or a tab.")
    quote: Character | None = Field('"', description="What stands around cells; null: nothing does.")
    escape: Character | None = Field(
        None, description="Takes the meaning from the character after it; a quote is doubled without it."
    )
    line_breaks: bool = Field(True, description="Quoted cells may go over several lines.")
    header: bool = Field(True, description="The first row names the columns.")
    columns: dict[str, Column] = Field(
        default_factory=dict,
        description="Columns by the name that rules use; in their order where there is no header, and when "
        "written. With a header, columns that are not named here are text.",
    )
    formulas: Literal["write", "quote", "refuse"] = Field(
        "write",
        description="Written texts that a spreadsheet would run (they begin with = + - @ or a tab): as they "
        "are, with an apostrophe before them, or not at all.",
    )

    @model_validator(mode="after")
    def _dialect(self) -> Self:
        marks = [mark for mark in (self.delimiter, self.quote, self.escape) if mark is not None]
        if len(set(marks)) < len(marks):
            raise ValueError("`delimiter`, `quote` and `escape` must differ")
        if not self.header and not self.columns:
            raise ValueError("`columns` is missing: without a header nothing else names them")
        titles = [column.title or name for name, column in self.columns.items()]
        if twice := sorted({title for title in titles if titles.count(title) > 1}):
            raise ValueError(f"`columns` has the title {twice[0]!r} twice")
        return self


class FixedOptions(TableOptions):
    """Options of the format fixed."""

    columns: dict[str, FixedColumn] = Field(
        min_length=1, description="Columns by the name that rules use, in the order of the row."
    )
