"""The OpenAPI document: what FastAPI sees of the handlers, and the catalogue's events by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from canonical import catalogue, cloudevents
from gateway.api import shapes

__all__ = ["document"]

Schema = dict[str, Any]

_REF: Final = "#/components/schemas/"
_BEARER: Final = "key"

_PROBLEM: Final[Schema] = {
    "type": "object",
    "description": "RFC 9457. `code` is for programs, `detail` for people, `traceId` stands in the log.",
    "required": ["type", "title", "status", "detail", "code", "errors", "traceId", "retryable"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "pointer": {"type": "string", "description": "RFC 6901"},
                    "detail": {"type": "string"},
                },
            },
        },
        "traceId": {"type": "string"},
        "retryable": {"type": "boolean"},
    },
}

_PUBLISHED: Final[Schema] = {
    "type": "object",
    "required": ["results"],
    "properties": {
        "results": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["source", "id", "position", "outcome"],
                "properties": {
                    "source": {"type": "string"},
                    "id": {"type": "string"},
                    "position": {
                        "type": ["integer", "null"],
                        "description": "Of a duplicate, that of the first; of a conflict, null.",
                    },
                    "outcome": {"enum": ["accepted", "duplicate", "conflict"]},
                    "detail": {"type": "string"},
                    "dead_letter": {"type": "integer"},
                },
            },
        }
    },
}

_EXAMPLE: Final[Schema] = {
    "specversion": "1.0",
    "id": "shift-0612-7",
    "source": "/plants/aachen/adapters/mes",
    "type": "com.crossplant.equipment.count.reported.v1",
    "time": "2026-03-31T10:00:00Z",
    "plantid": "aachen",
    "subject": "acme/aachen/press-shop/line-1/press-7",
    "data": {
        "window_start": "2026-03-31T09:00:00Z",
        "window_end": "2026-03-31T10:00:00Z",
        "total": 120,
        "good": 118,
        "reject": 2,
    },
}


def document(app: FastAPI) -> Schema:
    """The whole document, OpenAPI 3.1."""
    made: Schema = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        description=app.description,
        routes=app.routes,
    )
    components = made.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas["Problem"], schemas["Published"] = _PROBLEM, _PUBLISHED
    schemas.update(_events())
    components["securitySchemes"] = {
        _BEARER: {"type": "http", "scheme": "bearer", "description": "An API key: `crossplant keys create`."}
    }
    made["security"] = [{_BEARER: []}]
    answers, shapes_of_answers = shapes.schemas(_REF)
    schemas.update(shapes_of_answers)
    for path, operations in made["paths"].items():
        for method, operation in operations.items():
            if operation.pop("x-body", None) == "cloudevents":
                operation["requestBody"] = _body()
            _answered(operation, answers.get(f"{method.upper()} {path}", {}))
    return made


def _answered(operation: Schema, answers: Mapping[str, Schema]) -> None:
    """Says what the operation's answers hold; FastAPI sees nothing but JSON in each of them."""
    responses = operation["responses"]
    for status, schema in answers.items():
        answer = responses.setdefault(status, {"description": "Not now."})
        answer["content"] = {"application/json": {"schema": schema}}
    for answer in responses.values():
        content = answer.get("content", {})
        if len(content) > 1 and content.get("application/json") == {"schema": {}}:
            del content["application/json"]


def _events() -> dict[str, Schema]:
    """A schema per event type, and `Event`, which is any of them."""
    found: dict[str, Schema] = {}
    for entry in catalogue.all_types():
        schema = catalogue.event_json_schema(entry.suffix)
        schema.pop("$schema", None)
        schema.pop("$id", None)
        definitions = schema.pop("$defs", {})
        for name, definition in definitions.items():
            found[f"{entry.suffix}.{name}"] = _moved(definition, entry.suffix)
        found[entry.suffix] = _moved(schema, entry.suffix)
    found["Event"] = {
        "description": "A CloudEvent of a type of the catalogue.",
        "anyOf": [{"$ref": _REF + entry.suffix} for entry in catalogue.all_types()],
    }
    return found


def _moved(schema: Schema, suffix: str) -> Schema:
    """The schema with its references pointing to where the definitions are now."""
    text = json.dumps(schema).replace('"#/$defs/', f'"{_REF}{suffix}.')
    moved: Schema = json.loads(text)
    return moved


def _body() -> Schema:
    event = {"$ref": f"{_REF}Event"}
    return {
        "required": True,
        "description": "Structured or batch mode; or binary mode: `ce-` headers, and the data as the body.",
        "content": {
            cloudevents.STRUCTURED: {"schema": event, "example": _EXAMPLE},
            cloudevents.BATCH: {"schema": {"type": "array", "items": event, "maxItems": 1000}},
            "application/json": {
                "schema": {"description": "Binary mode: the event's data.", "type": "object"},
                "example": _EXAMPLE["data"],
            },
        },
    }
