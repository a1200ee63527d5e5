"""What the catalogue wants of each field, and how near values are made to fit it, without loss.

Records write quantities as numbers, order numbers as integers, times in a way of their own. Where the
catalogue has decimal text, a code, or a time, the value is put into that form; whatever does not fit
stays as it is, for the catalogue to refuse.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from functools import cache
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

from msgspec import Struct, inspect

from canonical import catalogue
from canonical.attributes import Fault
from canonical.times import read_day, read_time, rfc3339
from canonical.values import DecimalText, decimal_text

__all__ = ["Field", "Shape", "Times", "fitted", "pointer_step", "scalar", "shape_of"]

Kind = Literal["array", "date", "decimal", "integer", "map", "number", "object", "other", "text", "time"]

_SCALARS: Final[dict[type, Kind]] = {
    inspect.DateTimeType: "time",
    inspect.DateType: "date",
    inspect.FloatType: "number",
    inspect.IntType: "integer",
}
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_LONGEST_NUMBER = 64


class Shape(Struct, frozen=True, kw_only=True):
    """The form of a value: its kind, an object's fields, an array's or map's element."""

    kind: Kind
    fields: dict[str, Field] = {}
    element: Shape | None = None


class Field(Struct, frozen=True, kw_only=True):
    """A field of an object. ``nullable``: null is a value of it; ``required``: it must be there."""

    shape: Shape
    required: bool
    nullable: bool
    choices: tuple[Any, ...] = ()


class Times(Struct, frozen=True):
    """How a record writes times (see ``canonical.times``)."""

    format: str
    zone: ZoneInfo


@cache
def shape_of(suffix: str) -> Shape:
    """The shape of an event type's data. Raises catalogue.UnknownType."""
    return _shape(inspect.type_info(catalogue.get(suffix).model), {})


def _shape(found: inspect.Type, known: dict[type, Shape]) -> Shape:
    match _alternatives(found):
        case [inspect.StrType()] as text:
            return Shape(kind="decimal" if text == _DECIMAL else "text")
        case [inspect.StructType() as struct]:
            return _object(struct, known)
        case [inspect.ListType(item_type=element) | inspect.VarTupleType(item_type=element)]:
            return Shape(kind="array", element=_shape(element, known))
        case [inspect.DictType(value_type=element)]:
            return Shape(kind="map", element=_shape(element, known))
        case [single]:
            return Shape(kind=_SCALARS.get(type(single), "other"))
        case _:
            return Shape(kind="other")


def _object(struct: inspect.StructType, known: dict[type, Shape]) -> Shape:
    """The shape of a struct; one that contains itself is met again in ``known``."""
    shape = known.get(struct.cls)
    if shape is None:
        shape = known[struct.cls] = Shape(kind="object", fields={})
        shape.fields.update({field.encode_name: _field(field, known) for field in struct.fields})
    return shape


def _field(field: inspect.Field, known: dict[type, Shape]) -> Field:
    types = _alternatives(field.type, keep_null=True)
    values = [value for each in types if isinstance(each, inspect.LiteralType) for value in each.values]
    return Field(
        shape=_shape(field.type, known),
        required=field.required,
        nullable=any(isinstance(each, inspect.NoneType | inspect.AnyType) for each in types),
        choices=tuple(values) if len(_alternatives(field.type)) == 1 else (),
    )


def _alternatives(found: inspect.Type, *, keep_null: bool = False) -> list[inspect.Type]:
    """The members of a union, or the type alone; without metadata, and without null unless asked for."""
    match found:
        case inspect.Metadata(type=inner):
            return _alternatives(inner, keep_null=keep_null)
        case inspect.UnionType(types=members):
            return [each for member in members for each in _alternatives(member, keep_null=keep_null)]
        case inspect.NoneType() if not keep_null:
            return []
        case _:
            return [found]


_DECIMAL = _alternatives(inspect.type_info(DecimalText))


def fitted(shape: Shape, value: Any, at: str, times: Times, faults: list[Fault]) -> Any:
    """The value in the form that the catalogue has; ``at`` is its JSON pointer, for the faults of times."""
    match value:
        case dict() if shape.kind in ("object", "map"):
            return {
                name: fitted(inner, entry, f"{at}/{pointer_step(name)}", times, faults)
                if (inner := _inner(shape, name))
                else entry
                for name, entry in value.items()
            }
        case list() if shape.element:
            element = shape.element
            return [
                fitted(element, entry, f"{at}/{index}", times, faults) for index, entry in enumerate(value)
            ]
        case str() | int() | float() if shape.kind in ("time", "date"):
            return _time(shape, value, at, times, faults)
        case _:
            return scalar(shape, value)


def _inner(shape: Shape, name: str) -> Shape | None:
    """The shape of an object's field, or of a map's value."""
    field = shape.fields.get(name)
    return field.shape if field else shape.element


def _time(shape: Shape, value: str | int | float, at: str, times: Times, faults: list[Fault]) -> Any:
    if shape.kind == "date":
        day = read_day(value, times.format) if isinstance(value, str) and "%" in times.format else None
        return day.isoformat() if day else value
    if times.format == "rfc3339":
        return value
    try:
        return rfc3339(read_time(value, times.format, times.zone))
    except ValueError as error:
        faults.append((at, str(error)))
        return value


def scalar(shape: Shape, value: Any) -> Any:
    """A number as decimal text, an integer as a code, numeric text as a number; else the value itself."""
    match shape.kind, value:
        case _, bool():
            return value
        case "decimal", int() | float() if math.isfinite(value):
            return decimal_text(Decimal(repr(value)))
        case "text", int():
            return str(value)
        case "number", str() if len(value) <= _LONGEST_NUMBER and _NUMBER.fullmatch(value):
            return float(value)
        case "integer", str() if _INTEGER.fullmatch(value):
            return int(value)
        case "integer", float() if value.is_integer():
            return int(value)
        case _:
            return value


def pointer_step(name: str) -> str:
    """A name as a step of a JSON pointer (RFC 6901)."""
    return name if name.isidentifier() else name.replace("~", "~0").replace("/", "~1")
