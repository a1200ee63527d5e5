"""The options of the formats json, cloudevents and value."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from canonical.duration import Size
from canonical.jsontext import MAX_BYTES, MAX_DEPTH
from canonical.rules import EventRule

__all__ = ["CloudEventsOptions", "JsonOptions", "ValueOptions", "ValueType"]

ValueType = Literal["auto", "number", "text", "boolean"]
_LARGEST_VALUE = 64_000


class _Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Bounded(_Options):
    max_size: Size = Field(MAX_BYTES, gt=0, description="The largest body that is read.")
    max_depth: int = Field(MAX_DEPTH, ge=1, le=200, description="Levels of arrays and objects at most.")


class JsonOptions(_Bounded):
    """Options of the format json."""

    events: list[EventRule] = Field(
        default_factory=list, description="Which events a document gives; needed to read, unused to write."
    )
    lines: bool = Field(
        False, description="Every line is a document of its own (NDJSON); a bad one harms no other."
    )


class CloudEventsOptions(_Bounded):
    """Options of the format cloudevents."""


class ValueOptions(_Options):
    """Options of the format value."""

    type: ValueType = Field(
        "auto",
        description="What a body is. auto: a number or boolean where JSON would read it as one, else text.",
    )
    decimal: Literal["point", "comma"] = Field(
        "point", description="What parts a number's whole from its fraction."
    )
    true: list[str] = Field(
        ["true", "on", "1"],
        min_length=1,
        description="What counts as true, in any case; the first is written.",
    )
    false: list[str] = Field(
        ["false", "off", "0"],
        min_length=1,
        description="What counts as false, in any case; the first is written.",
    )
    charset: Literal["utf-8", "iso-8859-1"] = Field("utf-8", description="How text is encoded.")
    uom: str = Field(
        "C62",
        min_length=1,
        max_length=128,
        description="Unit of the values, UN/ECE Rec 20; C62: they have none.",
    )
    events: list[EventRule] = Field(
        default_factory=list,
        description="Which events a value (`payload`) gives; without rules telemetry.measurement.recorded.",
    )
    max_size: Size = Field(_LARGEST_VALUE, gt=0, description="The largest body that is read.")

    @model_validator(mode="after")
    def _either(self) -> Self:
        both = {word.strip().lower() for word in self.true} & {word.strip().lower() for word in self.false}
        if both:
            raise ValueError(f"{sorted(both)} cannot mean both true and false")
        return self
