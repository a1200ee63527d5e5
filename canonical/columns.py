"""Simple fields of many events at once, as columns: what is asked of each value is asked of all in one go.

A path into the data or a text of the envelope, or a constant: most mappings are no more. A column is taken
only when all of its values are sure to be what CEL gives (``canonical.shortcut`` says when); one that is not
leaves all the events to the usual way. ``tests/canonical/test_columns.py`` holds both against each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite
from operator import attrgetter
from typing import Any, Final

from msgspec import Struct, defstruct

from canonical.event import Event
from canonical.shortcut import TEXTS, UNKNOWN, Equality, clean

__all__ = ["Column", "Constant", "Path", "Rows", "hold", "rows"]

_INT64: Final = 2**63
_DATA = attrgetter("data")
_SCALARS: Final = frozenset({str, int, float, bool, type(None)})


class Path(Struct, frozen=True):
    """The field that a path of two steps names: ``data.order``, ``event.plantid``."""

    variable: str
    step: str


class Constant(Struct, frozen=True):
    """The same for all."""

    value: Any


Column = Path | Constant

Rows = Callable[[Sequence[Event]], list[Any] | None]
"""Events → their mapped fields, as values of which JSON objects are made; None: map them one by one."""


def rows(fields: Sequence[tuple[str, Column]], *, drop_null: bool) -> Rows | None:
    """What gives all fields of many events; None where it takes more than columns."""
    if not fields or not all(_possible(column) for _, column in fields):
        return None
    places = [f"f{at}" for at in range(len(fields))]
    names = dict(zip(places, (name for name, _ in fields), strict=True))
    try:
        row = defstruct("Row", [(place, Any) for place in places], rename=names, gc=False)
    except ValueError:  # a name with quotes, say
        return None
    columns = [column for _, column in fields]

    def mapped(events: Sequence[Event]) -> list[Any] | None:
        datas = list(map(_DATA, events))
        if set(map(type, datas)) != {dict}:
            return None
        found = []
        for column in columns:
            values = _values(column, events, datas)
            if values is None or (drop_null and None in values):
                return None
            found.append(values)
        return list(map(row, *found))

    return mapped


def hold(equality: Equality, events: Sequence[Event]) -> list[bool] | None:
    """For which events the equality, of a field of the data, is true; None: ask for each."""
    datas = list(map(_DATA, events))
    if equality.variable != "data" or set(map(type, datas)) != {dict}:
        return None
    step, text, equal = equality.step, equality.text, equality.equal
    values = [data.get(step) for data in datas]
    if set(map(type, values)) != {str} or not _clean(values):
        return None
    return [value == text for value in values] if equal else [value != text for value in values]


def _possible(column: Column) -> bool:
    match column:
        case Path(variable, step):
            return variable == "data" or (variable == "event" and step in TEXTS)
        case Constant(value):
            return value.__class__ in _SCALARS and _sure([value])


def _values(column: Column, events: Sequence[Event], datas: Sequence[dict[str, Any]]) -> list[Any] | None:
    match column:
        case Constant(value):
            return [value] * len(datas)
        case Path("event", step):
            texts = list(map(attrgetter(step), events))
            return texts if all(texts) and _sure(texts) else None  # CEL is asked for an empty one, too
        case Path(_, step):
            values = [data.get(step, UNKNOWN) for data in datas]
            return values if _sure(values) else None


def _sure(values: list[Any]) -> bool:
    """Whether all are values that CEL and JSON have alike."""
    kinds = set(map(type, values))
    if not kinds <= _SCALARS:
        return False
    if str in kinds and not _clean(values if len(kinds) == 1 else [v for v in values if v.__class__ is str]):
        return False
    if float in kinds and not all(map(isfinite, (v for v in values if v.__class__ is float))):
        return False
    whole = [value for value in values if value.__class__ is int] if int in kinds else ()
    return not whole or (min(whole) >= -_INT64 and max(whole) < _INT64)


def _clean(texts: list[str]) -> bool:
    return clean("".join(texts))
