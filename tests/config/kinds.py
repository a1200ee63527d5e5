"""Kinds of adapters and formats that exist for these tests only."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from canonical import spec
from canonical.duration import Duration, Size
from canonical.errors import ConfigError, Invalid
from canonical.event import Event
from canonical.expression import ExpressionError, compile_expression
from canonical.ports import Decoder, Formatter, RawMessage, Sink, Source
from canonical.spec import AdapterContext, AdapterSpec, FormatContext, FormatSpec

__all__ = ["install"]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Basic(Strict):
    method: Literal["basic"]
    user: str
    password: SecretStr


class Bearer(Strict):
    method: Literal["bearer"]
    token: SecretStr


class Topic(Strict):
    filter: str = Field(description="The topic filter.")
    qos: int = Field(1, ge=0, le=2, description="Quality of service.")


class ProbeOptions(Strict):
    url: str = Field(description="Where it is.")
    token: SecretStr | None = Field(None, description="The token.")
    tokens: dict[str, SecretStr] = Field(default={}, description="More of them.")
    auth: Annotated[Basic | Bearer, Field(discriminator="method")] | None = None
    topics: list[Topic] = Field(default=[], description="What it listens to.")
    timeout: Duration = Field(30.0, description="How long it waits.")
    limit: Size = Field(1_000_000, description="The largest message.")
    ca: Path | None = Field(None, description="A file of authorities.")
    either: int | list[int] | None = Field(None, description="A number or several.")
    keep: bool = Field(True, description="Whether it keeps its session.")
    id: str | None = Field(None, description="CEL over item.")

    @field_validator("url")
    @classmethod
    def _scheme(cls, url: str) -> str:
        if "://" not in url:
            raise ValueError(f"{url!r} has no scheme")
        return url

    @field_validator("id")
    @classmethod
    def _compiles(cls, text: str | None) -> str | None:
        try:
            if text:
                compile_expression(text, ("item",))
        except ExpressionError as error:
            raise ValueError(error.message) from error
        return text

    @model_validator(mode="after")
    def _one(self) -> ProbeOptions:
        if self.token and self.auth:
            raise ValueError(f"use token or auth, not both: {self.url}")
        return self

    @property
    def receives(self) -> bool:
        return bool(self.topics)


class ProbeTarget(Strict):
    path: str = Field(description="The path below the url.")
    headers: dict[str, str] = Field(default={}, description="More headers.")


class NoOptions(Strict):
    pass


class RuleOptions(Strict):
    rule: str = Field("item", description="CEL over payload, message and item.")


def _no_source(options: Any, context: AdapterContext) -> Source:
    raise AssertionError("nothing is built in these tests")


def _no_sink(options: Any, context: AdapterContext) -> Sink:
    raise AssertionError("nothing is built in these tests")


def _no_decoder(options: Any, context: AdapterContext) -> Decoder:
    raise AssertionError("nothing is built in these tests")


class _Silent:
    content_type = "text/plain"

    def decode(self, state: bytes | None, raw: RawMessage) -> tuple[bytes | None, Iterable[Event | Invalid]]:
        return state, ()

    def format(self, payload: Any) -> bytes:
        return b""


def _silent_decoder(options: Any, context: FormatContext) -> Decoder:
    if isinstance(options, RuleOptions):
        compile_expression(options.rule, ("payload", "message", "item"))
    return _Silent()


def _silent_formatter(options: Any) -> Formatter:
    return _Silent()


_ADAPTERS = {
    "probe": AdapterSpec(
        kind="probe",
        summary="both ways",
        config=ProbeOptions,
        source=_no_source,
        sink=_no_sink,
        target=ProbeTarget,
    ),
    "meter": AdapterSpec(
        kind="meter", summary="reads itself", config=NoOptions, source=_no_source, decoder=_no_decoder
    ),
    "outbox": AdapterSpec(kind="outbox", summary="delivers only", config=NoOptions, sink=_no_sink),
}
_FORMATS = {
    "json": FormatSpec(
        kind="json",
        summary="both ways",
        config=RuleOptions,
        decoder=_silent_decoder,
        formatter=_silent_formatter,
    ),
    "inscription": FormatSpec(
        kind="inscription", summary="read only", config=NoOptions, decoder=_silent_decoder
    ),
    "proclamation": FormatSpec(
        kind="proclamation", summary="written only", config=NoOptions, formatter=_silent_formatter
    ),
}


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on these kinds are installed, and no others."""

    def adapter_spec(kind: str) -> AdapterSpec:
        if kind not in _ADAPTERS:
            raise ConfigError(f"unknown adapter kind {kind!r}")
        return _ADAPTERS[kind]

    def format_spec(kind: str) -> FormatSpec:
        if kind not in _FORMATS:
            raise ConfigError(f"unknown format {kind!r}")
        return _FORMATS[kind]

    monkeypatch.setattr(spec, "adapter_spec", adapter_spec)
    monkeypatch.setattr(spec, "format_spec", format_spec)
    monkeypatch.setattr(
        spec, "installed", lambda group: sorted(_ADAPTERS if group == spec.ADAPTERS else _FORMATS)
    )
