"""What routes can enrich from, for the check of a configuration: `config/services.json`."""

from __future__ import annotations

import json
from typing import Any

from gateway.api.service_schema import item
from gateway.enriching import LEFT_OUT, keyed

KEPT = ("type", "enum", "properties", "items", "anyOf", "x-codes")


def text() -> str:
    """The schemas of the records, a service per line."""
    lines = [f" {json.dumps(name)}: {json.dumps(_schema(name))}" for name in sorted(keyed())]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _schema(name: str) -> dict[str, Any]:
    found: dict[str, Any] = _compact(item(keyed()[name]))
    for field in LEFT_OUT:
        del found["properties"][field]
    return found


def _compact(schema: Any) -> Any:
    """Without what is for people to read."""
    if isinstance(schema, list):
        return [_compact(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {name: value for name, value in schema.items() if name in KEPT}
    return {
        name: {field: _compact(each) for field, each in value.items()}
        if name == "properties"
        else _compact(value)
        for name, value in kept.items()
    }
