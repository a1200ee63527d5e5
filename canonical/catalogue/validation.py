"""Whether data is what its type says, and if not, everything that is wrong with it.

msgspec decides, in a few microseconds, and stops at the first fault. Only what it refused is read again with
jsonschema, which finds every fault but takes milliseconds.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from canonical.catalogue.entry import EventType
from canonical.catalogue.registry import get
from canonical.catalogue.schema import json_schema
from canonical.values import Day, Instant

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import ValidationError

__all__ = ["Violation", "validate"]

_SHOWN: Final = 60
_NAMES: Final[tuple[tuple[type | tuple[type, ...], str], ...]] = (
    (bool, "boolean"),
    (str, "string"),
    ((int, float), "number"),
    (dict, "object"),
    (list, "array"),
)


class Violation(Struct, frozen=True):
    """One fault: where (RFC 6901 pointer from the event's top, `/data/lines/0/item`), and what is wrong."""

    pointer: str
    detail: str


def validate(type_or_suffix: str, data: object) -> list[Violation]:
    """All that is wrong with data as the data of that type; empty when nothing is. Raises UnknownType.

    `data` holds JSON values (dict, list, text, numbers), or is an instance of the type's model. Unknown
    fields are refused.
    """
    entry = get(type_or_suffix)
    plain = msgspec.to_builtins(data) if isinstance(data, Struct) else data
    try:
        msgspec.convert(plain, entry.model)
    except msgspec.ValidationError as refusal:
        return _explain(entry, plain, str(refusal))
    return []


def _explain(entry: EventType, data: object, refusal: str) -> list[Violation]:
    """Every fault that jsonschema finds, and msgspec's own where that one is not among them."""
    text, _, path = refusal.partition(" - at `$")
    first = Violation("/data" + _pointer_of(path.rstrip("`")), text.replace("`", ""))
    found = _all_faults(entry, data)
    if not any(_related(first.pointer, fault.pointer) for fault in found):
        found.append(first)
    return found


def _all_faults(entry: EventType, data: object) -> list[Violation]:
    """What jsonschema says of the data as JSON, in document order, each fault once."""
    try:
        as_json = msgspec.json.decode(msgspec.json.encode(data))
    except (TypeError, ValueError, OverflowError, RecursionError):
        return []  # no JSON at all: msgspec's refusal names the place
    errors = sorted(_validator(entry).iter_errors(as_json), key=_place_of)
    return list(dict.fromkeys(fault for error in errors for fault in _faults(error)))


def _place_of(error: "ValidationError") -> list[str]:
    """A sort key by place: names as they are, positions as numbers."""
    return [f"{step:09}" if isinstance(step, int) else step for step in error.absolute_path]


def _related(one: str, other: str) -> bool:
    """Whether one pointer is, or lies within, the other: both tell of the same fault."""
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")


def _pointer_of(path: str) -> str:
    """msgspec's path `.lines[0].item` as a pointer; a map's key, which it does not name, ends it."""
    steps = re.findall(r"\.([^.\[]+)|\[(\d*|\.\.\.)\]", path)
    known: list[str] = []
    for name, index in steps:
        if not name and not index.isdigit():
            break
        known.append(name or index)
    return _pointer(known)


def _pointer(steps: Iterable[str | int]) -> str:
    """A JSON pointer (RFC 6901)."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)


@cache
def _validator(entry: EventType) -> "Draft202012Validator":
    """The validator of a type; jsonschema is imported here, since most processes never need it."""
    from jsonschema import Draft202012Validator, FormatChecker

    formats = FormatChecker(formats=())
    formats.checks("date-time", raises=msgspec.ValidationError)(lambda value: _converts(value, Instant))
    formats.checks("date", raises=msgspec.ValidationError)(lambda value: _converts(value, Day))
    return Draft202012Validator(json_schema(entry.suffix), format_checker=formats)


def _converts(value: object, target: Any) -> bool:
    """True, or raises msgspec.ValidationError; what is no text is no matter of formats."""
    return not isinstance(value, str) or msgspec.convert(value, target) is not None


def _faults(error: "ValidationError") -> Iterator[Violation]:
    """The faults that one error of jsonschema stands for."""
    here = "/data" + _pointer(error.absolute_path)
    match error.validator:
        case "required":
            for name in _required(error):
                if name not in _fields(error.instance):
                    yield Violation(here + _pointer([name]), "is missing")
        case "additionalProperties":
            known = _fields(_schema(error).get("properties"))
            for name in _fields(error.instance):
                if name not in known:
                    yield Violation(
                        here + _pointer([name]), f"is no field here; there are {', '.join(known)}"
                    )
        case "anyOf":
            yield from _alternatives(error, here)
        case _:
            yield Violation(here, f"must be {_wanted(error)}, got {_got(error.instance)}")


def _schema(error: "ValidationError") -> Mapping[str, Any]:
    """The schema that an error is about."""
    return _fields(error.schema)


def _fields(value: object) -> Mapping[str, Any]:
    """An object as a mapping; of anything else, none."""
    return value if isinstance(value, Mapping) else {}


def _required(error: "ValidationError") -> list[str]:
    """The names that a schema requires."""
    return [str(name) for name in _schema(error).get("required", ())]


def _alternatives(error: "ValidationError", here: str) -> Iterator[Violation]:
    """The faults of a union: those of the one branch whose kind fits, or that none fits."""
    branches: dict[object, list[ValidationError]] = {}
    for cause in error.context or ():
        branches.setdefault(cause.schema_path[0], []).append(cause)
    fitting = [causes for causes in branches.values() if not any(_kind_differs(cause) for cause in causes)]
    if all(branch.keys() == {"required"} for branch in _schema(error)["anyOf"]):
        choices = [" and ".join(branch["required"]) for branch in _schema(error)["anyOf"]]
        yield Violation(here, f"needs {', or '.join(choices)}")
    elif len(fitting) == 1:
        for cause in fitting[0]:
            yield from _faults(cause)
    else:
        wanted = dict.fromkeys(_wanted(causes[0]) for causes in fitting or branches.values())
        yield Violation(here, f"must be {' or '.join(wanted)}, got {_got(error.instance)}")


def _kind_differs(cause: "ValidationError") -> bool:
    """Whether a branch of a union failed at its very top, since the value is of another kind."""
    return cause.validator == "type" and not cause.relative_path


def _wanted(error: "ValidationError") -> str:
    """What a schema asks for, in words."""
    schema, asked = _schema(error), error.validator_value
    match error.validator:
        case "enum":
            return "one of " + ", ".join(str(value) for value in schema["enum"])
        case "minimum":
            return f"at least {asked}"
        case "maximum":
            return f"at most {asked}"
        case "minLength":
            return "non-empty text" if asked == 1 else f"at least {asked} characters long"
        case "maxLength":
            return f"at most {asked} characters long"
        case _:
            return _named(schema)


def _named(schema: Mapping[str, Any]) -> str:
    """What a schema describes: the fields of an object, else its title or type, with its example."""
    if schema.get("type") == "object":
        return " with ".join(["an object", ", ".join(schema.get("required", ()))]).removesuffix(" with ")
    named = _article(str(schema.get("title", schema.get("type", "value of another kind"))))
    examples = schema.get("examples")
    return f"{named} such as {_got(examples[0])}" if examples else named


def _article(noun: str) -> str:
    """A noun with its article."""
    return noun if noun == "null" else f"an {noun}" if noun[0] in "aeio" else f"a {noun}"


def _got(value: object) -> str:
    """A value as its JSON, shortened; of an object or array only the kind."""
    if value is None:
        return "null"
    kind = next((name for types, name in _NAMES if isinstance(value, types)), type(value).__name__)
    if kind in ("object", "array"):
        return _article(kind)
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
