"""What the parts of a deployment have in common: strict models, names, time zones."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, PlainSerializer, WithJsonSchema

from config.findings import did_you_mean

__all__ = ["Name", "Part", "Timezone"]

NAME_PATTERN = "^[a-z0-9-]+$"
_NAME = re.compile(NAME_PATTERN)


class Part(BaseModel):
    """A frozen mapping without unknown keys. Its repr tells which keys are set, and no value: any of
    them may come from ``${env:…}`` or ``${file:…}``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        yield from ((None, _Bare(name)) for name in sorted(self.model_fields_set))


class _Bare(str):
    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError(f"{text!r} is not a name: use a-z, 0-9 and -")
    return text


def _zone(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return ZoneInfo(value)
    except (KeyError, ValueError, OSError):
        hint = did_you_mean(value, available_timezones()) or "; write one like Europe/Berlin"
        raise ValueError(f"{value!r} is not an IANA time zone{hint}") from None


Name = Annotated[str, AfterValidator(_name), WithJsonSchema({"type": "string", "pattern": NAME_PATTERN})]
"""A name in metrics, paths and logs."""

Timezone = Annotated[
    ZoneInfo,
    BeforeValidator(_zone),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "examples": ["Europe/Berlin", "America/Chicago", "UTC"]}),
]
"""An IANA time zone, ``Europe/Berlin``."""
