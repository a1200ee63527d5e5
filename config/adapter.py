"""One adapter as configured: what all kinds have in common, its kind's own options, its format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self

from pydantic import (
    BaseModel,
    Field,
    SerializeAsAny,
    ValidationInfo,
    field_validator,
    model_validator,
)

from canonical import spec
from canonical.duration import Duration
from canonical.errors import ConfigError
from canonical.rate import Rate
from config.findings import did_you_mean
from config.part import Name, Part, Timezone

__all__ = ["AdapterConfig", "Codes", "FormatConfig", "options_model", "split"]

_DAY_S = 86_400.0


class Codes(Part):
    """Whose codes these are, for the crosswalk."""

    system: str = Field(
        min_length=1, description="The system whose codes they are, as in the crosswalk's column `system`."
    )
    fields: list[str] | None = Field(
        None,
        description="Paths of the fields, such as data.lines[].item; default: every field that the catalogue "
        "knows to hold codes.",
    )


def options_model(kind: str, *, of_format: bool = False) -> type[BaseModel]:
    """The model of a kind's own options. Raises ValueError that names the kinds installed."""
    what, group = ("format", spec.FORMATS) if of_format else ("adapter kind", spec.ADAPTERS)
    lookup: Callable[[str], Any] = spec.format_spec if of_format else spec.adapter_spec
    kinds = spec.installed(group)
    try:
        model: type[BaseModel] = lookup(kind).config
    except ConfigError as error:
        if kind in kinds:
            raise ValueError(error.message) from error
        hint = did_you_mean(kind, kinds, otherwise="installed")
        raise ValueError(f"unknown {what} {kind!r}{hint}") from error
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{what} {kind!r} is installed but cannot be loaded: {error}") from error
    return model


def split(model: type[Part], value: Any) -> Any:
    """A mapping with what is not a field of ``model`` under ``options``; anything else as it is."""
    if not isinstance(value, Mapping):
        return value
    common = model.model_fields.keys() - {"options"}
    own = {key: entry for key, entry in value.items() if key not in common}
    return {key: entry for key, entry in value.items() if key in common} | {"options": own}


def validated(model: type[BaseModel], options: Any) -> Any:
    """``options`` as an instance of ``model``; its errors keep their places inside the options."""
    if not isinstance(options, Mapping):
        return options
    try:
        return model.model_validate(options)
    except ConfigError as error:
        raise ValueError(error.message) from error


class _Kind(Part):
    """A mapping with a ``kind`` and, beside it, the options that the kind describes."""

    kind: str = Field(description="The kind; `crossplant adapters` lists those installed.")
    options: SerializeAsAny[BaseModel] = Field(repr=False, description="The kind's own options.")

    @model_validator(mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return split(cls, value)


class FormatConfig(_Kind):
    """The format of messages, with its own options beside ``kind``."""

    @field_validator("kind")
    @classmethod
    def _installed(cls, kind: str) -> str:
        options_model(kind, of_format=True)
        return kind

    @field_validator("options", mode="plain")
    @classmethod
    def _own(cls, options: Any, info: ValidationInfo) -> Any:
        kind = info.data.get("kind")
        return validated(options_model(kind, of_format=True), options) if kind else options

    @property
    def spec(self) -> spec.FormatSpec:
        """What the format says of itself."""
        return spec.format_spec(self.kind)


class AdapterConfig(_Kind):
    """One connection to something outside. ``options`` is an instance of the kind's own model."""

    plant: Name | None = Field(None, description="The plant that its events belong to.")
    partner: Name | None = Field(None, description="The partner whose messages it carries.")
    timezone: Timezone | None = Field(
        None, description="The zone of times without one; default: the plant's or partner's, else UTC."
    )
    codes: Codes | None = Field(
        None, description="The system whose codes its events carry; translated when the journal is read."
    )
    format: FormatConfig | None = Field(
        None, description="How its messages are read; with a format the adapter takes messages in."
    )
    dedupe: Duration = Field(
        7 * _DAY_S, gt=0, description="How long the identities of its events are remembered."
    )
    rate: Rate | None = Field(
        None,
        gt=0,
        description="How much it is sent at most, by all its routes together, such as 50/s; the drain "
        "after an outage keeps to it, too.",
    )
    idempotent: bool = Field(
        False,
        description="Whether the system behind it takes no delivery twice: every delivery carries an "
        "idempotency key, the same on every attempt.",
    )
    owner: str | None = Field(None, description="The team that answers for it.")

    @field_validator("kind")
    @classmethod
    def _installed(cls, kind: str) -> str:
        options_model(kind)
        return kind

    @field_validator("options", mode="plain")
    @classmethod
    def _own(cls, options: Any, info: ValidationInfo) -> Any:
        kind = info.data.get("kind")
        return validated(options_model(kind), options) if kind else options

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.plant and self.partner:
            raise ValueError("an adapter belongs to a plant or to a partner, not to both")
        return self

    @property
    def spec(self) -> spec.AdapterSpec:
        """What the kind says of itself."""
        return spec.adapter_spec(self.kind)

    @property
    def receives(self) -> bool:
        """Whether messages come in through it: its kind has a source, and something decodes for it.

        A kind whose options decide that says so by an attribute ``receives`` of its options.
        """
        decodes = self.format is not None or self.spec.decoder is not None
        return self.spec.source is not None and decodes and bool(getattr(self.options, "receives", True))
