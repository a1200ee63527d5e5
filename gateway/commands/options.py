"""The options of an adapter or format as a table: read out of its model, never written twice."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct
from pydantic import BaseModel

from canonical.duration import with_units

__all__ = ["Option", "options"]

Schema = Mapping[str, Any]


class Option(Struct, frozen=True, kw_only=True):
    """One option. ``name`` is dotted; ``[]`` marks the members of a list, ``*`` any name, and
    ``verify(hmac)`` what stands within ``verify`` when its ``kind`` is ``hmac``.

    ``unit`` is ``duration`` or ``size`` where a value is text with its unit. ``default`` is None
    where there is none, and where it is ``null``; ``required`` tells them apart.
    """

    name: str
    type: str
    required: bool
    default: Any = None
    unit: str = ""
    description: str = ""
    examples: tuple[Any, ...] = ()

    @property
    def default_text(self) -> str:
        """The default as one writes it in YAML."""
        if self.required:
            return "required"
        if self.default in (None, "", [], {}):
            return ""
        return self.default if isinstance(self.default, str) else json.dumps(self.default, ensure_ascii=False)


def options(model: type[BaseModel]) -> list[Option]:
    """Every option of a model in the order of its fields, each followed by the options within it."""
    schema = with_units(model.model_json_schema(by_alias=True))
    return list(_within(schema, schema.get("$defs", {}), "", ()))


def _within(schema: Schema, defs: Schema, prefix: str, above: tuple[str, ...]) -> Iterator[Option]:
    """``above`` are the definitions that this one stands in, so that one within itself comes to an end."""
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        if "const" in field and prefix.endswith(f"({field['const']})."):
            continue
        alternatives = _alternatives(field, defs)
        whole = any(kind.get("properties") for _, kind in alternatives)  # its own options tell their defaults
        default = None if whole and isinstance(field.get("default"), dict) else field.get("default")
        quantity = next((kind["x-quantity"] for _, kind in alternatives if "x-quantity" in kind), "")
        yield Option(
            name=prefix + name,
            type=" | ".join(dict.fromkeys(_word(kind, defs) for _, kind in alternatives)) or "any",
            required=name in required,
            default=default,
            unit=quantity,
            description=" ".join(str(field.get("description", "")).split()),
            examples=() if quantity and default is not None else _examples(field, alternatives),
        )
        for reference, kind in alternatives:
            yield from _nested(reference, kind, defs, prefix + name, above)


def _nested(
    reference: str, kind: Schema, defs: Schema, name: str, above: tuple[str, ...]
) -> Iterator[Option]:
    """The options of a mapping, of a list's members, or of a mapping's values."""
    if kind.get("type") == "array":
        name, inner = f"{name}[]", kind.get("items", {})
    elif isinstance(kind.get("additionalProperties"), Mapping):
        name, inner = f"{name}.*", kind["additionalProperties"]
    elif len(named := list(kind.get("patternProperties", {}).values())) == 1:
        name, inner = f"{name}.*", named[0]
    else:
        if kind.get("properties") and reference not in above:
            tag = kind["properties"].get("kind", {}).get("const")
            yield from _within(kind, defs, f"{name}({tag})." if tag else f"{name}.", (*above, reference))
        return
    for deeper, member in _alternatives(inner, defs):
        yield from _nested(deeper, member, defs, name, above)


def _alternatives(field: Schema, defs: Schema) -> list[tuple[str, Schema]]:
    """(name of the definition or nothing, schema) of what may stand there, ``null`` left out."""
    found: list[tuple[str, Schema]] = []
    for choice in field.get("anyOf") or field.get("oneOf") or [field]:
        reference = str(choice.get("$ref", "")).rpartition("/")[2]
        kind = defs[reference] if reference else choice
        if "anyOf" in kind or "oneOf" in kind:
            found += _alternatives(kind, defs)
        elif kind.get("type") != "null":
            found.append((reference, kind))
    return found


_WORDS = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true | false",
    "object": "mapping",
}


def _word(kind: Schema, defs: Schema) -> str:
    if "const" in kind:
        return str(kind["const"])
    if "enum" in kind:
        return " | ".join(str(value) for value in kind["enum"])
    if kind.get("writeOnly") or kind.get("format") == "password":
        return "secret"
    if "x-quantity" in kind:
        return str(kind["x-quantity"])
    if kind.get("type") == "array":
        members = dict.fromkeys(
            _word(member, defs) for _, member in _alternatives(kind.get("items", {}), defs)
        )
        return f"list of {' | '.join(members)}"
    if kind.get("format") in ("path", "file-path", "directory-path"):
        return "path"
    return _WORDS.get(str(kind.get("type")), "any")


def _examples(field: Schema, alternatives: list[tuple[str, Schema]]) -> tuple[Any, ...]:
    """Those of the field, else those of its kind of text, such as a duration's."""
    own = field.get("examples") or next(
        (kind["examples"] for _, kind in alternatives if kind.get("examples")), ()
    )
    return tuple(own[:2])
