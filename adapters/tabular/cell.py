"""One cell: its text to the value that its column declares, and back."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

from adapters.tabular.config import Column
from adapters.tabular.moment import read_day, read_moment, write_day, write_moment
from canonical.values import decimal_text

__all__ = ["Reader", "Writer", "cell_reader", "cell_writer"]

Reader = Callable[[str], Any]
Writer = Callable[[Any], str]
"""Raises ValueError that says what is wrong."""

_LONGEST_NUMBER: Final = 64
_INT64: Final = 2**63
_ALIKE: Final = {" ": str.maketrans("\u00a0\u202f\u2009", "   "), "'": str.maketrans("’", "'")}
"""Characters that stand for the declared one: no-break and thin blanks, the typographic apostrophe."""
_WHOLE: Final = re.compile(r"[+-]?[0-9]+")


def cell_reader(column: Column, zone: ZoneInfo) -> Reader | None:
    """What reads the column's cells that are not empty; ``zone`` is the plant's. None: they stay text.

    Decimals become canonical text, integers int (text beyond 64 bits), times RFC 3339 in UTC.
    """
    pattern = column.pattern
    match column.type:
        case "text":
            return None
        case "integer":
            return _numbers(column, whole=True)
        case "decimal":
            return _numbers(column, whole=False)
        case "date":
            return lambda text: read_day(text.strip(), pattern)
        case "datetime":
            there = ZoneInfo(column.timezone) if column.timezone else zone
            return lambda text: read_moment(text.strip(), pattern, there, column.ambiguous)
        case "boolean":
            return _booleans(column)


def _numbers(column: Column, *, whole: bool) -> Reader:
    """Digits, in groups of three or not at all; the sign may stand behind, as SAP writes it."""
    point, group = re.escape(column.decimal), re.escape(column.thousands)
    digits = f"[0-9]{{1,3}}(?:{group}[0-9]{{3}})+|[0-9]+" if group else "[0-9]+"
    fraction = "" if whole else f"(?P<fraction>{point}[0-9]*)?(?P<exponent>[eE][+-]?[0-9]{{1,2}})?"
    leading = "" if whole else f"|(?={point}[0-9])"
    shape = re.compile(f"(?P<sign>[+-])?(?P<whole>{digits}{leading}){fraction}(?P<behind>[+-])?")
    kind = "whole number" if whole else f"number with the decimal sign {column.decimal!r}"
    refused = f"is no {kind}" + (f" and {column.thousands!r} before thousands" if group else "")

    def read(text: str) -> int | str:
        plain = text.strip().translate(_ALIKE.get(column.thousands, {}))
        found = shape.fullmatch(plain) if len(plain) <= _LONGEST_NUMBER else None
        if found is None or (found["sign"] and found["behind"]):
            raise ValueError(f"{text!r:.60} {refused}")
        parts = found.groupdict("")
        number = (parts["sign"] or parts["behind"]) + (parts["whole"].replace(column.thousands, "") or "0")
        if whole:
            return int(number) if abs(int(number)) < _INT64 else str(int(number))
        return decimal_text(number + parts["fraction"].replace(",", ".") + parts["exponent"])

    return read


def _booleans(column: Column) -> Reader:
    known = {word.strip().lower(): False for word in column.false}
    known |= {word.strip().lower(): True for word in column.true}
    words = f"{' or '.join(column.true)} nor {' or '.join(column.false)}"

    def read(text: str) -> bool:
        value = known.get(text.strip().lower())
        if value is None:
            raise ValueError(f"{text!r:.60} is neither {words}")
        return value

    return read


def cell_writer(column: Column) -> Writer:
    """What writes values of the column; null is not its business."""
    pattern, zone = column.pattern, ZoneInfo(column.timezone) if column.timezone else None
    match column.type:
        case "text":
            return _text
        case "integer":
            return _whole
        case "decimal":
            return lambda value: _decimal(value).replace(".", column.decimal)
        case "date":
            return lambda value: write_day(value, pattern)
        case "datetime":
            return lambda value: write_moment(value, pattern, zone)
        case "boolean":
            return lambda value: _word(value, column)


def _text(value: Any) -> str:
    match value:
        case str():
            return value
        case bool():
            raise ValueError("is a boolean: declare the column as one, so that its words are known")
        case int() | float() | Decimal():
            return _decimal(value)
        case datetime():
            return write_moment(value, "rfc3339", None)
        case date():
            return value.isoformat()
        case _:
            raise ValueError(f"must be one value, not {value!r:.60}: name it in the route's `map`")


def _whole(value: Any) -> str:
    if isinstance(value, float | Decimal) and math.isfinite(value) and value == int(value):
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        return value
    raise ValueError(f"must be a whole number, not {value!r:.60}")


def _decimal(value: Any) -> str:
    if isinstance(value, float) and math.isfinite(value):
        value = Decimal(repr(value))
    if isinstance(value, str) and not value.isascii():
        raise ValueError(f"must be a decimal number, not {value!r:.60}")
    try:
        return decimal_text(value)
    except (TypeError, ValueError):
        raise ValueError(f"must be a decimal number, not {value!r:.60}") from None


def _word(value: Any, column: Column) -> str:
    if not isinstance(value, bool):
        raise ValueError(f"must be true or false, not {value!r:.60}")
    return column.true[0] if value else column.false[0]
