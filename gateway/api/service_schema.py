"""The OpenAPI of the normalised services, from the catalogue: what a field holds stands there once."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

import msgspec

from canonical import catalogue
from canonical.event import Event
from canonical.ports import Recorded
from gateway.coding import SOURCE, Coding
from gateway.projections.services.entry import Entry, View
from gateway.projections.services.fold import views
from gateway.projections.services.registry import SERVICES
from gateway.projections.services.service import Part, Service
from gateway.projections.services.taking import Taking
from router.crosswalk import Crosswalk, Row
from router.routes import Codes

__all__ = ["CODES", "blank", "example", "item", "page"]

Schema = dict[str, Any]

CODES: Final = (
    "A field with a code holds the canonical one, or null where the crosswalk knows none at the event's "
    "time; `source_<field>` beside it is what the source said, and `unresolved` names the missing rows."
)
_TEXT: Final[Schema] = {"type": ["string", "null"]}
_TAIL: Final[Schema] = {
    "unresolved": {
        "type": "array",
        "description": "Codes without a canonical one, each with the crosswalk row that would mend it.",
        "items": {
            "type": "object",
            "properties": {
                "pointer": {"type": "string", "description": "RFC 6901, within the item"},
                "domain": {"type": "string"},
                "system": {"type": "string"},
                "plant": _TEXT,
                "value": {"type": "string"},
                "at": {"type": "string", "format": "date-time"},
            },
        },
    },
    "sources": {"type": "array", "items": {"type": "string"}, "description": "Who said it."},
    "position": {"type": "integer", "description": "The newest event that decides something of it."},
    "changed_at": {"type": ["string", "null"], "format": "date-time", "description": "That event's time."},
    "links": {"type": "object", "additionalProperties": {"type": "string"}},
}
_AS_OF: Final[Schema] = {
    "type": "object",
    "required": ["position", "behind"],
    "properties": {
        "position": {"type": "integer", "description": "The newest event that this service took in."},
        "behind": {
            "type": "integer",
            "description": "Events of the journal that are not in yet; 0 without `stale`.",
        },
    },
}
_EXAMPLE_AT: Final = datetime(2026, 3, 31, 10, tzinfo=UTC)


def page(service: Service) -> Schema:
    """Schema and example of a page."""
    return {
        "schema": {
            "type": "object",
            "required": ["items", "next", "as_of"],
            "properties": {
                "items": {"type": "array", "items": item(service)},
                "next": _TEXT,
                "as_of": _AS_OF,
            },
        },
        "example": {"items": example(service), "next": None, "as_of": {"position": 4711, "behind": 0}},
    }


def item(service: Service) -> Schema:
    """The schema of what is answered of one thing."""
    properties: Schema = {"plant": {**_TEXT, "description": "The plant; null: none."}}
    for part in service.identity:
        if part.shown:
            properties |= _identity(part)
    for reads in service.reads:
        schema = catalogue.json_schema(reads.suffix)
        for name, path in reads.fields.items():
            found = _at(schema, path.split("."), schema.get("$defs", {}))
            if found is not None:
                properties |= _paired(name, found, schema.get("$defs", {}))
        properties |= {name: {"type": "string"} for name in reads.fixed}
    properties |= {each.name: {"type": "array", "items": {"type": "object"}} for each in service.each}
    if service.late:
        properties["late"] = {"type": "boolean"}
    return {"type": "object", "properties": properties | dict(service.computed) | _TAIL}


@cache
def blank(service: str) -> dict[str, Any]:
    """Everything that an item of a service always has, as it is when nothing is known."""
    return dict.fromkeys(item(next(each for each in SERVICES if each.name == service))["properties"])


def _identity(part: Part) -> Schema:
    return {part.name: _TEXT} | ({SOURCE + part.name: _TEXT} if part.domain else {})


def _resolved(schema: Schema, definitions: Mapping[str, Schema]) -> Schema:
    """The schema with its reference followed, null as a choice left out."""
    if "$ref" in schema:
        return definitions[schema["$ref"].rpartition("/")[2]]
    choices = [each for each in schema.get("anyOf", []) if each.get("type") != "null"]
    return _resolved(choices[0], definitions) if len(choices) == 1 else schema


def _at(schema: Schema, steps: list[str], definitions: Mapping[str, Schema]) -> Schema | None:
    for step in steps:
        found = _resolved(schema, definitions).get("properties", {}).get(step)
        if found is None:
            return None
        schema = found
    return schema


def _paired(name: str, schema: Schema, definitions: Mapping[str, Schema]) -> Schema:
    """The property, with its source's code beside it where it holds codes; any may be null."""
    inner = _resolved(schema, definitions)
    if "x-codes" in inner:
        return {name: {**_TEXT, "x-codes": inner["x-codes"]}, SOURCE + name: _TEXT}
    if inner.get("type") == "array" and "x-codes" in _resolved(inner.get("items", {}), definitions):
        codes = {"type": ["array", "null"], "items": _TEXT}
        return {name: codes, SOURCE + name: codes}
    return {name: {"anyOf": [_plain(inner, definitions), {"type": "null"}]}}


def _plain(schema: Schema, definitions: Mapping[str, Schema]) -> Schema:
    schema = _resolved(schema, definitions)
    if schema.get("type") == "object":
        properties: Schema = {}
        for name, inner in schema.get("properties", {}).items():
            properties |= _paired(name, inner, definitions)
        return {"type": "object", "properties": properties}
    if schema.get("type") == "array" and isinstance(schema.get("items"), dict):
        return {"type": "array", "items": _plain(schema["items"], definitions)}
    if "anyOf" in schema:
        return {"anyOf": [_plain(each, definitions) for each in schema["anyOf"]]}
    return {name: value for name, value in schema.items() if not name.startswith("x-")}


def example(service: Service) -> list[Any]:
    """What the declaration's example events become."""
    families: dict[str, list[Entry]] = {}
    taking = Taking([service])
    source = "/plants/aachen/adapters/erp"
    for number, (suffix, data) in enumerate(service.example, 4709):
        event = Event(
            id=str(number),
            source=source,
            type=catalogue.full_name(suffix),
            time=_EXAMPLE_AT,
            subject=catalogue.default_subject(suffix, data),
            plantid="aachen",
            data=data,
        )
        for _, family, entry in taking.entries(Recorded(number, event)):
            families.setdefault(family, []).append(entry)
    rows = [Row(domain="item", system="erp", value="100020", canonical="HYD-PUMP-20")]
    coding = Coding({source: Codes(system="erp", fields=("data.item", "data.lines[].item"))}, Crosswalk(rows))
    made = [view for family, entries in families.items() for view in views(service, family, entries)]
    return [_shown(service, view, coding) for view in made]


def _shown(service: Service, view: View, coding: Coding) -> Any:
    values, _ = coding.shown(msgspec.to_builtins(view.cells), view.origins)
    item = blank(service.name) | {"plant": view.plant, **values} | ({"late": False} if service.late else {})
    return item | {
        "unresolved": [],
        "sources": sorted({origin.source for origin in view.origins}),
        "position": view.position,
        "changed_at": "2026-03-31T10:00:00Z",
        "links": {"timeline": f"/v1/events/{view.position}/timeline"},
    }
