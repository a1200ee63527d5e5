"""JSON Schema (Draft 2020-12) of the data of an event type, and of the whole event."""

from functools import cache
from typing import Any, Final

import msgspec

from canonical.catalogue.entry import EventType
from canonical.catalogue.registry import get

__all__ = ["ATTRIBUTES", "event_json_schema", "json_schema"]

Schema = dict[str, Any]

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_TEXT: Final[Schema] = {"type": "string", "minLength": 1}
_TIME: Final[Schema] = {"type": "string", "format": "date-time"}

ATTRIBUTES: Final[dict[str, Schema]] = {
    "specversion": {"const": "1.0"},
    "id": _TEXT | {"description": "Identifies the event within its source."},
    "source": _TEXT | {"format": "uri-reference", "description": "/plants/{plant}/adapters/{adapter}"},
    "type": _TEXT,
    "subject": _TEXT | {"description": "The id of what the event is about; its key's id."},
    "time": _TIME | {"description": "When it happened."},
    "datacontenttype": _TEXT,
    "dataschema": _TEXT | {"format": "uri"},
    "plantid": _TEXT,
    "domain": _TEXT,
    "partitionkey": _TEXT,
    "sequence": _TEXT | {"description": "Zero-padded, so that text sorts as numbers do."},
    "correlationid": _TEXT,
    "causationid": _TEXT,
    "recordedtime": _TIME | {"description": "When it was taken in."},
    "severity": _TEXT,
    "expirytime": _TIME,
    "dataref": _TEXT | {"format": "uri-reference"},
    "traceparent": _TEXT,
    "correctsid": _TEXT | {"description": "The id of the event that this one corrects."},
    "srcmsgid": _TEXT | {"description": "The raw message that it came from."},
}
"""The attributes of our events (CloudEvents 1.0.2 JSON format, and the extensions that we use)."""


def json_schema(type_or_suffix: str) -> Schema:
    """The JSON Schema of a type's data, complete in itself; a new dict at every call; raises UnknownType.

    Beside the standard keywords a property may have `x-codes`, the crosswalk domain that translates it, and
    `x-unit`, the unit of a plain number.
    """
    copy: Schema = msgspec.json.decode(_encoded(get(type_or_suffix)))
    return copy


def event_json_schema(type_or_suffix: str) -> Schema:
    """The JSON Schema of a whole event in the CloudEvents JSON format; raises UnknownType."""
    entry = get(type_or_suffix)
    data = json_schema(type_or_suffix)
    definitions = data.pop("$defs", {})
    identity, _ = data.pop("$id"), data.pop("$schema")
    known = {"type": {"const": entry.name}, "domain": {"const": entry.domain}, "data": data}
    return {
        "$schema": _DIALECT,
        "$id": identity.replace(":schema:", ":event:", 1),
        "title": entry.name,
        "description": f"A CloudEvents 1.0 event. {entry.summary}",
        "type": "object",
        "properties": {name: dict(shape) for name, shape in ATTRIBUTES.items()} | known,
        "required": ["specversion", "id", "source", "type", "data"],
        "propertyNames": {"pattern": "^[a-z0-9]{1,20}$"},
        "$defs": definitions,
    }


@cache
def _encoded(entry: EventType) -> bytes:
    """The JSON Schema as JSON; made once per type, and a copy is a decoding away."""
    made = msgspec.json.schema(entry.model)
    definitions: Schema = made.get("$defs", {})
    body: Schema = definitions.pop(entry.model.__name__)
    del body["title"]
    described = body.pop("description", "")
    schema: Schema = {
        "$schema": _DIALECT,
        "$id": entry.dataschema,
        "title": entry.suffix,
        "description": _prose(described) or entry.summary,
        "x-stability": entry.stability,
        **body,
    }
    choices: tuple[tuple[str, ...], ...] = getattr(entry.model, "ANY_OF", ())
    if choices:
        schema["anyOf"] = [{"required": list(names)} for names in choices]
    if definitions:
        schema["$defs"] = {name: _tidied(shape) for name, shape in definitions.items()}
    return msgspec.json.encode(schema)


def _tidied(definition: Schema) -> Schema:
    """A definition whose description is one flowing text."""
    described = definition.get("description")
    return definition | {"description": _prose(described)} if described else definition


def _prose(docstring: str) -> str:
    """A docstring with its lines joined, paragraphs kept apart."""
    return "\n\n".join(" ".join(part.split()) for part in docstring.split("\n\n") if part.strip())
