"""What a route adds to its events from the hub's own services, as configured; and which those are."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Struct
from pydantic import AfterValidator, Field, WithJsonSchema, field_validator

from canonical.wire import Reference
from config.findings import did_you_mean
from config.part import Part

__all__ = ["Enrichment", "Label", "Record", "Records", "code_domain", "services", "unknown_field"]

_LABEL_PATTERN: Final = "^[a-z_][a-z0-9_]*$"
_LABEL = re.compile(_LABEL_PATTERN)
_FILE: Final = "services.json"
"""Made from the services' declarations, by ``make docs``."""


@cache
def services() -> Mapping[str, Any]:
    """The JSON Schema of the records of each service that a route can enrich from, by its name."""
    found: Mapping[str, Any] = msgspec.json.decode(files("config").joinpath(_FILE).read_bytes())
    return found


def _label(text: str) -> str:
    if not _LABEL.fullmatch(text):
        raise ValueError(f"{text!r} cannot be read as enrich.{text}: use a-z, 0-9 and _")
    return text


Label = Annotated[str, AfterValidator(_label), WithJsonSchema({"type": "string", "pattern": _LABEL_PATTERN})]
"""A name in expressions."""


def _named(schema: dict[str, Any]) -> None:
    """For editors: which services there are."""
    schema["enum"] = sorted(services())


class Enrichment(Part):
    """A record of one of the hub's services, such as the order that an event is about."""

    service: str = Field(
        alias="from",
        description="The service, by the name that it has under `/v1/`.",
        json_schema_extra=_named,
    )
    key: str = Field(
        min_length=1,
        description="CEL over event and data: the document's number in that service, the equipment's path.",
    )
    plant: str | None = Field(
        None,
        min_length=1,
        description="CEL over event and data that gives the plant whose record it is; default: the event's. "
        "Beside it counts what belongs to no plant.",
    )
    missing: Literal["retry", "dead_letter", "omit"] = Field(
        "retry",
        description="Where the service does not know it, or a field that is read: retry waits for it as for "
        "a failed delivery, by the route's `retry`; dead_letter does not wait; omit leaves it out.",
    )

    @field_validator("service")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in services():
            hint = did_you_mean(name, services(), otherwise="there are")
            raise ValueError(f"no service {name!r} to enrich from{hint}")
        return name


# ── what expressions read of it ──────────────────────────────────────────────────────────────────


class Record(Struct, frozen=True):
    """An enrichment as expressions see it. ``omitted``: it may be left out."""

    service: str
    omitted: bool


Records = Mapping[str, Record | None]
"""The enrichments of a route by their names; None for one that is wrong otherwise."""


def unknown_field(reference: Reference, beside: Sequence[Reference], records: Records) -> str:
    """Why there is nothing at a path ``enrich.…``; empty when there is. ``beside``: what the expression
    reads."""
    _, *steps = re.findall(r"\[\]|[^.\[\]]+", reference.path)
    if not steps:
        return ""
    label, *rest = steps
    if label not in records:
        return f"the route has no enrich.{label}{did_you_mean(label, records, otherwise='it has')}"
    record = records[label]
    if record is None:
        return ""
    if record.omitted and not any(one.optional and _is_of(one, label) for one in beside):
        field = f".?{rest[0]}" if rest else ""
        return f"{label} may be left out; write enrich.?{label}{field} or test it by has(enrich.{label})"
    return _lacking(record.service, rest)


def code_domain(reference: Reference, records: Records) -> str:
    """The domain of the canonical codes that a path ``enrich.…`` gives; empty where it gives none."""
    variable, *steps = re.findall(r"\[\]|[^.\[\]]+", reference.path)
    record = records.get(steps[0]) if variable == "enrich" and steps else None
    schema: Any = services()[record.service] if record is not None else {}
    for step in steps[1:]:
        inner = _plain(schema)
        schema = inner.get("items", {}) if step == "[]" else inner.get("properties", {}).get(step, {})
    inner = _plain(schema)
    return str(inner.get("x-codes") or _plain(inner.get("items", {})).get("x-codes") or "")


def _is_of(reference: Reference, label: str) -> bool:
    return f"{reference.path}.".startswith(f"enrich.{label}.")


def _lacking(service: str, steps: Sequence[str]) -> str:
    """What of the path a service's records do not have."""
    schema: Any = services()[service]
    walked = ""
    for step in steps:
        inner = _plain(schema)
        known = {"[]": inner["items"]} if "items" in inner else _properties(inner)
        if known is None:
            return ""
        if step not in known:
            hint = did_you_mean(step, known, otherwise="it has")
            return f"{service} has no {walked}{step}{hint}"
        schema = known[step]
        walked += step if step == "[]" else f"{step}."
    return ""


def _properties(schema: Any) -> Mapping[str, Any] | None:
    """The fields of an object, none of what is no object, None where they are not known."""
    inner = _plain(schema)
    if "properties" in inner:
        found: Mapping[str, Any] = inner["properties"]
        return found
    return None if inner.get("type") in (None, "object", "array") and "enum" not in inner else {}


def _plain(schema: Any) -> Mapping[str, Any]:
    """The schema with null as a choice left out."""
    choices = [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]
    found: Mapping[str, Any] = choices[0] if len(choices) == 1 else {} if choices else schema
    return found
