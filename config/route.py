"""One route as configured: which events, made into what, delivered where and how."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import (
    BaseModel,
    Field,
    SerializeAsAny,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from canonical import catalogue, spec
from canonical.duration import Duration
from config.adapter import Codes, FormatConfig, validated
from config.enrichment import Enrichment, Label
from config.mapping import DOTTED
from config.part import Name, Part

__all__ = ["Aggregate", "Batch", "Bound", "Dotted", "Retry", "Route", "Target", "Until", "expand"]

_HOUR_S = 3600.0


Dotted = Annotated[str, WithJsonSchema({"type": "string", "pattern": DOTTED})]
"""A Python function by dotted name."""


class Retry(Part):
    """How long and how often a delivery is tried again; bounded by time, not by attempts."""

    first: Duration = Field(0.5, gt=0, description="The first pause; the next ones double, with jitter.")
    max: Duration = Field(300.0, gt=0, description="The longest pause.")
    give_up_after: Duration = Field(
        24 * _HOUR_S, gt=0, description="Then it becomes a dead letter; outages of the target do not count."
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.first <= self.max <= self.give_up_after:
            raise ValueError("needs first ≤ max ≤ give_up_after")
        return self


class Until(Part):
    """When a group is complete: whatever comes first."""

    count: int | None = Field(None, ge=1, le=1_000, description="So many events; 1000 at most in any case.")
    within: Duration | None = Field(None, gt=0, description="So long after the group's first event.")
    when: str | None = Field(
        None, min_length=1, description="CEL over items (the members' data), event and data (the newest)."
    )

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.count is None and self.within is None and self.when is None:
            raise ValueError("needs at least one of count, within and when")
        return self


class Aggregate(Part):
    """Events that are delivered together, as one `integration.aggregate.completed`."""

    by: str | None = Field(
        None,
        min_length=1,
        description="CEL over event and data that names the group; default: what keeps the events in order.",
    )
    until: Until = Field(description="When a group is complete.")


class Batch(Part):
    """Deliveries that go out as one request; what is wrong with one of them is found by halving."""

    size: int = Field(100, ge=2, le=500, description="So many documents at most.")
    within: Duration = Field(1.0, gt=0, description="The longest that one waits for others.")
    form: Literal["array", "lines"] = Field(
        "array", alias="as", description="The body: a JSON array of the payloads, or a payload per line."
    )


class Bound(NamedTuple):
    """A target as written, with the kind of its adapter, which only the deployment knows."""

    written: Any
    kind: str


class Target(Part):
    """The adapter that delivers, and what the route sets for its deliveries (text in it is a template).

    ``options`` is an instance of the kind's target model; None when the kind has none, or when the
    route stands by itself, outside a deployment.
    """

    adapter: Name = Field(description="The adapter's name.")
    kind: str | None = Field(None, exclude=True, description="The adapter's kind; filled in, not written.")
    options: SerializeAsAny[BaseModel] | None = Field(
        None, repr=False, validate_default=True, description="The options that its kind lets a route set."
    )

    @model_validator(mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        written, kind = value if isinstance(value, Bound) else (value, None)
        if isinstance(written, str):
            return {"adapter": written, "kind": kind}
        if not isinstance(written, Mapping):
            return written
        own = {key: entry for key, entry in written.items() if key != "adapter"}
        adapter = {"adapter": written["adapter"]} if "adapter" in written else {}
        return {**adapter, "kind": kind, "options": own}

    @field_validator("options", mode="plain")
    @classmethod
    def _own(cls, options: Any, info: ValidationInfo) -> Any:
        kind = info.data.get("kind")
        model = spec.adapter_spec(kind).target if kind else None
        if model is not None:
            return validated(model, options or {})
        if kind and options:
            raise ValueError(f"a route sets nothing for kind {kind!r}: write the adapter's name only")
        return None


class Route(Part):
    """Events of some types and plants, mapped and delivered in order. Renaming it starts a new one,
    unless ``was`` names the old."""

    on: list[str] = Field(
        min_length=1,
        description="Event types: suffixes of the catalogue, v1 unless said; `telemetry.*` takes a domain.",
    )
    plants: list[Name] | None = Field(None, min_length=1, description="Only events of these; default: all.")
    when: str | None = Field(None, min_length=1, description="CEL over event and data that must be true.")
    split: str | None = Field(
        None,
        min_length=1,
        description="CEL over event and data that gives a list, such as data.lines: a delivery per element, "
        "in order. `map` and templates see it as item, its place as number; default payload: the element.",
    )
    aggregate: Aggregate | None = Field(
        None,
        description="Collects events and delivers each complete group: `map` sees it as data, with items.",
    )
    enrich: dict[Label, Enrichment] | None = Field(
        None,
        min_length=1,
        description="What the hub's own services know, read when it is delivered: `map` and templates see it "
        "as enrich, by these names.",
    )
    codes: Codes | None = Field(
        None, description="The target system's codes: canonical ones are translated into them."
    )
    map: dict[str, Any] | Dotted | None = Field(
        None,
        description="The payload: each field is CEL over event and data; mappings and lists nest. Or a "
        "Python function by dotted name, package.module.function. Default: the event's data.",
    )
    format: FormatConfig = Field(
        {"kind": "json"}, validate_default=True, description="How the payload is written."
    )
    to: Target = Field(description="The adapter that delivers; a mapping sets options beside `adapter`.")
    batch: Batch | None = Field(
        None, description="Several deliveries in one request, of an adapter that can: rest, with format json."
    )
    mode: Literal["live", "shadow"] = Field(
        "live",
        description="live: deliver; shadow: map, and record what would be delivered, but deliver nothing.",
    )
    order: Literal["key", "none"] | None = Field(
        None, description="In order within a key, or not; default: the catalogue's (telemetry none)."
    )
    priority: Literal["high", "normal", "low"] = Field(
        "normal",
        description="Who goes first where the target's `rate` leaves some waiting; never within a key.",
    )
    retry: Retry = Field(default=Retry(), description="When and how long it is tried again.")
    start: Literal["now", "beginning"] = Field(
        "now", alias="from", description="A new route begins with what comes in from now on, or the oldest."
    )
    was: Name | None = Field(None, description="The name it had: it goes on where that one stood.")
    require: Literal["effectively_once", "at_least_once"] | None = Field(
        None,
        description="What the route must guarantee; where sources and target cannot, it is refused.",
    )
    owner: str | None = Field(None, description="The team that its exceptions go to.")

    @model_validator(mode="after")
    def _one_pattern(self) -> Self:
        if self.split is not None and self.aggregate is not None:
            raise ValueError("split and aggregate are two routes: one that collects, one that splits")
        if self.mode == "shadow" and self.aggregate is not None:
            raise ValueError("a shadow delivers nothing, so it has no groups: leave out aggregate, or mode")
        if self.batch is not None and (self.split is not None or self.aggregate is not None):
            raise ValueError("batch goes with neither split nor aggregate: leave out one of them")
        return self

    @model_validator(mode="after")
    def _enriched(self) -> Self:
        if self.enrich is not None and self.aggregate is not None:
            raise ValueError("enrich does not go with aggregate: leave out one of them")
        if self.enrich is not None and self.map is None:
            raise ValueError("enrich needs a map that reads it, such as {item: enrich.order.item}")
        return self

    @field_validator("map", mode="before")
    @classmethod
    def _dotted(cls, written: Any) -> Any:
        if isinstance(written, str) and not re.fullmatch(DOTTED, written):
            raise ValueError(
                f"{written!r} is neither a mapping of fields nor a function: write package.module.function"
            )
        return written

    @property
    def types(self) -> list[catalogue.EventType]:
        """The event types of ``on``, wildcards expanded, each once. Raises catalogue.UnknownType."""
        return list(dict.fromkeys(entry for name in self.on for entry in expand(name)))

    @property
    def ordered(self) -> bool:
        """Whether deliveries of one key keep their order: as written, else as the catalogue has it."""
        if self.order is not None:
            return self.order == "key"
        return any(entry.ordered for entry in self.types)


def expand(name: str) -> list[catalogue.EventType]:
    """The types that one entry of ``on`` names. Raises catalogue.UnknownType when there is none."""
    if not name.endswith(".*"):
        return [catalogue.get(name)]
    prefix = name.removeprefix("com.crossplant.")[:-1]
    found = [entry for entry in catalogue.all_types() if entry.suffix.startswith(prefix)]
    if not found or prefix == ".":
        raise catalogue.UnknownType(name)
    return found
