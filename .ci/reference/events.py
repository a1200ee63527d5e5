"""The page of the catalogue: every event type, its fields, its key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

from canonical import catalogue
from canonical.catalogue import EventType
from reference.markdown import cell, code, page, table

__all__ = ["pages"]

Schema = Mapping[str, Any]

_HEAD = """\
An event is a [CloudEvent](https://cloudevents.io) whose `data` the catalogue checks. Its type is
`com.crossplant.SUFFIX.v1`; configurations write the suffix. Events with the same subject are delivered
in order on a route, unless the type says otherwise or the route does. **stable**: changes only
compatibly; **preview**: may still change within v1. `crossplant schema event SUFFIX` prints the JSON
Schema."""


def pages() -> Iterator[tuple[str, str]]:
    """(path below docs/reference, text)."""
    parts = [_HEAD, _overview()]
    for domain, types in groupby(catalogue.all_types(), key=lambda entry: entry.domain):
        parts.append(f"## {domain}")
        for entry in types:
            parts.append(_type(entry))
    parts += ["## Values", "What several types share.", *_values()]
    yield "events.md", page("Events", *parts)


def _overview() -> str:
    rows = [
        (f"[{entry.suffix}](#{_anchor(entry.suffix)})", entry.stability, cell(entry.summary))
        for entry in catalogue.all_types()
    ]
    return table(("Type", "", "What it says"), rows)


def _anchor(heading: str) -> str:
    return heading.replace(".", "").lower()


def _type(entry: EventType) -> str:
    schema = catalogue.json_schema(entry.suffix)
    order = "in order by subject" if entry.ordered else "in no order"
    subject = entry.subject.replace("|", " or ").replace("/", " / ")
    about = _prose(schema.get("description", entry.summary))
    facts = f"Subject: {code(subject) or 'the equipment'} · delivered {order} · {entry.stability}"
    return f"### {entry.suffix}\n\n{about}\n\n{facts}\n\n{_fields(schema)}"


def _prose(text: str) -> str:
    return text.replace("``", "`").strip()


def _fields(schema: Schema) -> str:
    required = schema.get("required", ())
    rows = [
        (code(name), _word(field), "yes" if name in required else "", cell(str(field.get("description", ""))))
        for name, field in schema.get("properties", {}).items()
    ]
    return table(("Field", "Type", "Required", ""), rows) or "No fields."


def _word(field: Schema) -> str:
    """The type of a field, with a link where it is one of the shared values."""
    if "$ref" in field:
        name = str(field["$ref"]).rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    choices = field.get("anyOf") or field.get("oneOf")
    if choices:
        words = dict.fromkeys(_word(choice) for choice in choices if choice.get("type") != "null")
        return " or ".join(words)
    if "const" in field or "enum" in field:
        return ", ".join(code(str(value)) for value in field.get("enum", [field.get("const")]))
    if field.get("type") == "array":
        return f"list of {_word(field.get('items', {}))}"
    return cell(str(field.get("title") or field.get("type") or "any"))


def _values() -> Iterator[str]:
    found: dict[str, Schema] = {}
    for entry in catalogue.all_types():
        for name, schema in catalogue.json_schema(entry.suffix).get("$defs", {}).items():
            known = found.setdefault(name, schema)
            if known != schema:
                raise SystemExit(f"two different values are called {name}")
    for name in sorted(found):
        schema = found[name]
        body = _fields(schema) if "properties" in schema else _word(schema)
        yield f"### {name}\n\n{_prose(str(schema.get('description', '')))}\n\n{body}"
