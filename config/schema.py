"""JSON Schema of a whole deployment file, for editors: completion, hover texts, marks while typing.

Kinds are told apart by ``if``/``then`` with complete objects, which editors understand in every draft
(``unevaluatedProperties`` they do not all).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

from canonical import spec
from canonical.duration import with_units
from canonical.errors import ConfigError
from config.adapter import AdapterConfig, FormatConfig
from config.model import Deployment
from config.partner import PROFILES

__all__ = ["schema"]

Schema = dict[str, Any]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_REFERENCE: Schema = {"type": "string", "pattern": r"\$\{(env|file):[^{}]+\}"}
_VERBATIM = ("default", "examples", "required", "if", "enum", "const", "propertyNames")
_PATHS = ("path", "file-path", "directory-path")


def schema() -> Schema:
    """The JSON Schema (2020-12), with the options of every adapter and format installed here."""
    body = _of_model(Deployment, "")
    definitions: Schema = body.pop("$defs")
    _by_kind(definitions, AdapterConfig, spec.ADAPTERS, lambda kind: spec.adapter_spec(kind).config)
    _by_kind(definitions, FormatConfig, spec.FORMATS, lambda kind: spec.format_spec(kind).config)
    definitions["Target"] = _target(definitions)
    _profiles(definitions)
    definitions = {name: _or_reference(_tidied(shape)) for name, shape in definitions.items()}
    return {
        "$schema": _DIALECT,
        "title": "A Crossplant deployment",
        **_or_reference(_tidied(body)),
        "$defs": definitions,
    }


def _of_model(model: type[BaseModel], prefix: str) -> Schema:
    """A model's schema, the names of its definitions beginning with ``prefix``."""
    made: Schema = with_units(
        model.model_json_schema(by_alias=True, ref_template=f"#/$defs/{prefix}{{model}}", mode="validation")
    )
    if prefix:
        made["$defs"] = {f"{prefix}{name}": shape for name, shape in made.get("$defs", {}).items()}
    return made


def _kinds(group: str, model_of: Callable[[str], type[BaseModel] | None]) -> dict[str, type[BaseModel]]:
    """The models of the installed kinds; a kind that cannot be loaded is left to ``check``."""
    found = {}
    for kind in spec.installed(group):
        try:
            model = model_of(kind)
        except (ConfigError, ImportError, AttributeError):
            continue
        if model is not None:
            found[kind] = model
    return found


def _by_kind(
    definitions: Schema, part: type[BaseModel], group: str, model_of: Callable[[str], type[BaseModel] | None]
) -> None:
    """Replaces the definition of ``part`` by one that has the options of each kind."""
    common = definitions[part.__name__]
    properties = {name: shape for name, shape in common["properties"].items() if name != "options"}
    kinds = _kinds(group, model_of)
    prefix = "adapter-" if part is AdapterConfig else "format-"
    choices = []
    for kind, model in kinds.items():
        own = _of_model(model, f"{prefix}{kind}-")
        definitions.update(own.pop("$defs", {}))
        definitions[prefix + kind] = {
            "type": "object",
            "description": own.get("description", ""),
            "properties": properties | {"kind": {"const": kind}} | own.get("properties", {}),
            "required": ["kind", *own.get("required", ())],
            "additionalProperties": own.get("additionalProperties", False),
        }
        chosen = {"properties": {"kind": {"const": kind}}, "required": ["kind"]}
        choices.append({"if": chosen, "then": {"$ref": f"#/$defs/{prefix}{kind}"}})
    definitions[part.__name__] = {
        "type": "object",
        "description": common.get("description", ""),
        "properties": {"kind": properties["kind"] | {"enum": list(kinds)}},
        "required": ["kind"],
        "allOf": choices,
    }


def _profiles(definitions: Schema) -> None:
    """A partner's profiles are the options of their formats, without the kind."""
    properties = definitions["Partner"]["properties"]
    for kind in PROFILES:
        form = definitions.get(f"format-{kind}")
        if form is None:
            continue
        own = {name: shape for name, shape in form["properties"].items() if name != "kind"}
        properties[kind] = {
            "description": properties[kind].get("description", ""),
            "type": "object",
            "properties": own,
            "additionalProperties": False,
        }


def _target(definitions: Schema) -> Schema:
    """An adapter's name, or a mapping with it and what its kind lets a route set."""
    adapter = definitions["Target"]["properties"]["adapter"]
    objects: list[Schema] = [_with_adapter(adapter, {})]
    for kind, model in _kinds(spec.ADAPTERS, lambda kind: spec.adapter_spec(kind).target).items():
        own = _of_model(model, f"target-{kind}-")
        definitions.update(own.pop("$defs", {}))
        objects.append(_with_adapter(adapter, own))
    return {"description": definitions["Target"].get("description", ""), "anyOf": [adapter, *objects]}


def _with_adapter(adapter: Schema, own: Schema) -> Schema:
    return {
        "type": "object",
        "description": own.get("description", ""),
        "properties": {"adapter": adapter} | own.get("properties", {}),
        "required": ["adapter", *own.get("required", ())],
        "additionalProperties": own.get("additionalProperties", False),
    }


def _tidied(shape: Any) -> Any:
    """Without the titles that pydantic makes of names; docstrings as prose; only names that match."""
    if isinstance(shape, list):
        return [_tidied(entry) for entry in shape]
    if not isinstance(shape, dict):
        return shape
    tidy = {
        name: _prose(entry) if name == "description" and isinstance(entry, str) else _tidied(entry)
        for name, entry in shape.items()
        if not (name == "title" and isinstance(entry, str))
    }
    return tidy | {"additionalProperties": False} if "patternProperties" in tidy else tidy


def _prose(text: str) -> str:
    return " ".join(text.replace("``", "`").split())


def _or_reference(shape: Any) -> Any:
    """Whatever is no plain text may be written as a reference, too; a secret must be."""
    if isinstance(shape, list):
        return [_or_reference(entry) for entry in shape]
    if not isinstance(shape, dict):
        return shape
    if shape.get("writeOnly") and shape.get("format") == "password":
        described = {name: shape[name] for name in ("description", "default") if name in shape}
        return described | _REFERENCE
    if _is_constrained(shape):
        described = {name: shape[name] for name in ("description", "default") if name in shape}
        plain = {name: value for name, value in shape.items() if name not in described}
        return described | {"anyOf": [plain, _REFERENCE]}
    return {name: entry if name in _VERBATIM else _or_reference(entry) for name, entry in shape.items()}


def _is_constrained(shape: Schema) -> bool:
    """Whether a reference would be refused although it may stand for what is wanted."""
    if shape.get("type") in ("integer", "number", "boolean"):
        return True
    return shape.get("type") == "string" and ("pattern" in shape or shape.get("format", "path") not in _PATHS)
