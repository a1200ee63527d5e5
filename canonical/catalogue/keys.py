"""The subject of an event, and the key by which events are kept in order."""

from collections.abc import Mapping
from functools import cache
from typing import Final

import msgspec
from msgspec import Struct

from canonical.catalogue.registry import get

__all__ = ["default_subject", "partition_key", "subject_fields"]

Fields = tuple[str, ...]
_NO_PLANT: Final = "-"


def default_subject(type_or_suffix: str, data: object) -> str | None:
    """The subject that an event's data gives, or None when they give none; raises UnknownType.

    It is the id of the type's key: the order, the item, the document. A composite is joined by `/`.
    """
    _, found = _named(get(type_or_suffix).subject, data)
    return found


def partition_key(type_or_suffix: str, data: object, plant: str | None, subject: str | None = None) -> str:
    """The key whose events stay in order: `E:{equipment}`, `O:{order}`, `M:{plant}:{item}`, `K:{what}:{key}`,
    and `{H|D|X}:{field}:{id}` with the field that names the document, hold or instance.

    The data name the id; where they do not, the event's subject does. Ids are the source's own codes: a
    crosswalk that is mended later moves no event to another key. Raises UnknownType, or ValueError when
    neither the data nor a subject names the id.
    """
    entry = get(type_or_suffix)
    field, found = _named(entry.subject, data)
    identity = found or subject
    if not identity:
        raise ValueError(f"{entry.suffix} needs a subject, since its data have no {field}")
    match entry.key:
        case "E" | "O":
            return f"{entry.key}:{identity}"
        case "M":
            return f"M:{plant or _NO_PLANT}:{identity}"
        case "K":
            return f"K:{entry.suffix.split('.')[1]}:{identity}"
        case _:
            return f"{entry.key}:{field}:{identity}"


def subject_fields(type_or_suffix: str) -> frozenset[str]:
    """The fields of a type's data that have a say in its subject and key; raises UnknownType."""
    return frozenset(name for names in _alternatives(get(type_or_suffix).subject) for name in names)


def _named(expression: str, data: object) -> tuple[str, str | None]:
    """The name and id of the first alternative that the data give in full; else the first name and None."""
    fields = _fields(data)
    alternatives = _alternatives(expression)
    for names in alternatives:
        if len(names) == 1:  # the usual case, told without a list
            only = fields.get(names[0])
            if only is not None and only != "":
                return names[0], str(only)
            continue
        values = [fields.get(name) for name in names]
        if all(value is not None and value != "" for value in values):
            return names[-1], "/".join(str(value) for value in values)
    return alternatives[0][-1], None


@cache
def _alternatives(expression: str) -> tuple[Fields, ...]:
    """`asn | purchase_order/line` as (("asn",), ("purchase_order", "line"))."""
    return tuple(
        tuple(name.strip() for name in alternative.split("/")) for alternative in expression.split("|")
    )


def _fields(data: object) -> Mapping[str, object]:
    """The fields of data, be they a mapping or a model; of anything else, none."""
    if isinstance(data, dict):  # the usual case, and far quicker to tell than a Mapping
        return data
    if isinstance(data, Struct):
        plain: dict[str, object] = msgspec.to_builtins(data)
        return plain
    return data if isinstance(data, Mapping) else {}
