"""What stands at a path such as `data.lines[].quantity.uom`, as expressions and crosswalks name it."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Final, Literal

from msgspec import Struct, inspect

from canonical.catalogue.entry import EventType
from canonical.catalogue.registry import get
from canonical.catalogue.schema import ATTRIBUTES

__all__ = ["FieldKind", "FieldType", "code_domain", "code_fields", "field_type", "has_field"]

FieldKind = Literal[
    "any", "array", "boolean", "date", "date-time", "integer", "null", "number", "object", "string"
]

_STEP: Final = re.compile(r"\.?([A-Za-z_][A-Za-z0-9_]*)|\[[0-9]*\]")
_SUBJECT_CODES: Final = {"E": "equipment", "M": "item"}


class FieldType(Struct, frozen=True, kw_only=True):
    """What a field holds: its JSON kind, a date or time told apart from other text.

    `required`: the field, and every one on the way to it, is always there. `nullable`: it may be null.
    `codes`: the crosswalk domain that translates it. `choices`: the only texts that it may be.
    """

    kind: FieldKind
    required: bool
    nullable: bool = False
    codes: str | None = None
    choices: tuple[str, ...] = ()


class _Place(Struct, frozen=True, kw_only=True):
    """Where a walk along a path has come to."""

    types: tuple[inspect.Type, ...]
    required: bool
    nullable: bool = False
    codes: str | None = None


def field_type(type_or_suffix: str, path: str) -> FieldType | None:
    """What stands at a path of a type's events, or None when the catalogue lacks it; raises UnknownType.

    A path begins with `data`, `event.data`, `subject` or `event.` and an attribute. `[]` or `[3]` steps into
    a list, a name into an object. In an open map every name exists.
    """
    entry = get(type_or_suffix)
    inner = path.removeprefix("event.")
    if inner != "data" and not inner.startswith(("data.", "data[")):
        return _attribute(entry, path, inner)
    place = _walk(entry, inner.removeprefix("data"))
    return None if place is None else _described(place)


def has_field(type_or_suffix: str, path: str) -> bool:
    """Whether the catalogue knows a path of a type's events; raises UnknownType."""
    return field_type(type_or_suffix, path) is not None


def code_domain(type_or_suffix: str, path: str) -> str | None:
    """The crosswalk domain that translates the codes at a path, or None; raises UnknownType."""
    found = field_type(type_or_suffix, path)
    return None if found is None else found.codes


@cache
def code_fields(type_or_suffix: str) -> tuple[tuple[str, str], ...]:
    """Every path of a type's data that holds codes, each with its crosswalk domain; raises UnknownType."""
    return tuple(_codes_under("data", _root(get(type_or_suffix))))


def _codes_under(path: str, place: _Place) -> Iterator[tuple[str, str]]:
    """The paths with codes at or under a place."""
    if place.codes is not None:
        yield path, place.codes
    for entry in place.types:
        if isinstance(entry, inspect.StructType):
            for field in entry.fields:
                yield from _codes_under(f"{path}.{field.encode_name}", _open(field.type, required=True))
        elif isinstance(entry, inspect.ListType | inspect.VarTupleType):
            yield from _codes_under(f"{path}[]", _open(entry.item_type, required=True))


def _attribute(entry: EventType, path: str, name: str) -> FieldType | None:
    """What an attribute of the envelope holds; only the subject may be named without `event.`."""
    if name not in ATTRIBUTES or (path == name and name != "subject"):
        return None
    kind: FieldKind = "date-time" if ATTRIBUTES[name].get("format") == "date-time" else "string"
    required = name in ("specversion", "id", "source", "type")
    codes = _subject_codes(entry) if name == "subject" else "plant" if name == "plantid" else None
    return FieldType(kind=kind, required=required, codes=codes)


def _subject_codes(entry: EventType) -> str | None:
    """The crosswalk domain of a type's subject: that of the field which gives it, else that of its key."""
    place = _walk(entry, f".{entry.subject}") if entry.subject.isidentifier() else None
    return (place.codes if place else None) or _SUBJECT_CODES.get(entry.key)


@cache
def _root(entry: EventType) -> _Place:
    """The top of a type's data."""
    return _Place(types=(inspect.type_info(entry.model),), required=True)


@cache
def _walk(entry: EventType, path: str) -> _Place | None:
    """The place that a path below `data` leads to."""
    place: _Place | None = _root(entry)
    at = 0
    while place is not None and at < len(path):
        step = _STEP.match(path, at)
        if step is None:
            return None
        place = _into(place, step.group(1))
        at = step.end()
    return place


def _into(place: _Place, name: str | None) -> _Place | None:
    """One step further: into the field of that name, or with None into the elements."""
    for entry in place.types:
        match entry:
            case inspect.AnyType():
                return _Place(types=(entry,), required=False, nullable=True)
            case inspect.StructType() if name is not None:
                field = next((field for field in entry.fields if field.encode_name == name), None)
                if field is not None:
                    return _open(field.type, required=place.required and field.required)
            case inspect.DictType():
                return _open(entry.value_type, required=False)
            case inspect.ListType() | inspect.VarTupleType() if name is None:
                return _open(entry.item_type, required=place.required)
            case _:
                pass
    return None


def _open(found: inspect.Type, *, required: bool) -> _Place:
    """A place with unions spread out, metadata read, and null noted."""
    codes, types, nullable = None, [], False
    waiting = [found]
    while waiting:
        match waiting.pop(0):
            case inspect.Metadata(type=inner, extra=extra):
                codes = (extra or {}).get("codes", codes)
                waiting.insert(0, inner)
            case inspect.UnionType(types=members):
                waiting[:0] = members
            case inspect.NoneType():
                nullable = True
            case other:
                types.append(other)
    return _Place(types=tuple(types), required=required, nullable=nullable, codes=codes)


def _described(place: _Place) -> FieldType:
    """A place as callers see it."""
    kinds = {_kind(entry) for entry in place.types}
    if kinds == {"integer", "number"}:
        kinds = {"number"}
    kind: FieldKind = kinds.pop() if len(kinds) == 1 else "any"
    choices = tuple(str(value) for each in place.types for value in getattr(each, "values", ()))
    return FieldType(
        kind=kind, required=place.required, nullable=place.nullable, codes=place.codes, choices=choices
    )


_KINDS: Final[tuple[tuple[type[inspect.Type] | tuple[type[inspect.Type], ...], FieldKind], ...]] = (
    ((inspect.StrType, inspect.LiteralType), "string"),
    (inspect.BoolType, "boolean"),
    (inspect.IntType, "integer"),
    (inspect.FloatType, "number"),
    (inspect.DateTimeType, "date-time"),
    (inspect.DateType, "date"),
    ((inspect.ListType, inspect.VarTupleType), "array"),
    ((inspect.StructType, inspect.DictType), "object"),
    (inspect.NoneType, "null"),
)


def _kind(entry: inspect.Type) -> FieldKind:
    """The JSON kind of a msgspec type."""
    return next((kind for types, kind in _KINDS if isinstance(entry, types)), "any")
