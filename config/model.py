"""Deployment: everything that an operator writes, checked as far as one look can.

What needs a second look, across parts or into expressions, is in ``config.check``.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, PrivateAttr, SecretStr, field_validator, model_validator

from canonical.catalogue import Domain
from canonical.duration import Duration, Size
from config.adapter import AdapterConfig, Codes, FormatConfig, options_model
from config.exceptions import Exceptions
from config.part import Name, Part, Timezone
from config.partner import Partner, PartnerId, agreed
from config.route import Bound, Retry, Route, Target
from config.stewardship import AttributeGroup, Stewardship
from config.written import Written

__all__ = [
    "AdapterConfig",
    "Case",
    "Codes",
    "Deployment",
    "Expectation",
    "ExpectedDelivery",
    "ExpectedEvent",
    "FormatConfig",
    "Gateway",
    "Journal",
    "Partner",
    "PartnerId",
    "Plant",
    "Retry",
    "Route",
    "Sent",
    "ServiceLevel",
    "Stewardship",
    "Target",
    "Tls",
]

_DAY_S = 86_400.0
_PEM = "-----BEGIN "


class Tls(Part):
    """The gateway's certificate, both as PEM text, best by ``${file:…}``."""

    certificate: str = Field(description="The certificate with its chain, PEM.")
    key: SecretStr = Field(description="Its private key, PEM, by reference.")

    @field_validator("certificate")
    @classmethod
    def _certificate(cls, text: str) -> str:
        if not text.lstrip().startswith(_PEM):
            raise ValueError("this is no PEM text; write ${file:path/to/certificate.pem}")
        return text

    @field_validator("key")
    @classmethod
    def _key(cls, secret: SecretStr) -> SecretStr:
        if not secret.get_secret_value().lstrip().startswith(_PEM):
            raise ValueError("this is no PEM text; write ${file:path/to/key.pem}")
        return secret


def _network(text: str) -> str:
    try:
        ip_network(text)
    except ValueError:
        raise ValueError(f"{text!r} is no address or network; write 10.0.0.7, 10.0.0.0/24 or ::1") from None
    return text


Network = Annotated[str, AfterValidator(_network)]


class Gateway(Part):
    """Where people and systems reach the hub over HTTP."""

    bind: str = Field("127.0.0.1", min_length=1, description="The address to listen on.")
    port: int = Field(8080, ge=0, le=65_535, description="The TCP port; 0 takes a free one.")
    tls: Tls | None = Field(None, description="With it HTTPS, without it HTTP.")
    second_person: bool = Field(
        True, description="Whether an edited dead letter needs another person's approval than its author's."
    )
    proxies: list[Network] = Field(
        [],
        description="Addresses or networks of proxies in front of it. What these say of a caller counts: its "
        "address (`X-Forwarded-For`), and whether it came over TLS (`X-Forwarded-Proto`).",
    )


class Journal(Part):
    """How long history is kept. Nothing is removed that a route or read model has not passed."""

    retain: Duration = Field(30 * _DAY_S, gt=0, description="How long events are kept.")
    retain_size: Size = Field(
        20_000_000_000, gt=0, description="How much is kept; when it is full, sources have to wait."
    )
    claim_over: Size = Field(
        1_000_000,
        ge=100_000,
        description="Raw messages over this size lie in files beside the journal (claim check).",
    )


class Plant(Part):
    """A site with its own clock and systems."""

    name: str = Field(min_length=1, description="Its name for people.")
    timezone: Timezone = Field(description="Its IANA time zone.")
    legal_entity: str | None = Field(None, description="The company that it belongs to.")


class ServiceLevel(Part):
    """What is promised for the messages of a domain, and measured."""

    domain: Domain = Field(description="The domain of the catalogue that it is about.")
    plants: list[Name] | None = Field(None, min_length=1, description="Only these; default: each by itself.")
    route: Name | None = Field(None, description="Only deliveries of this route; default: all.")
    latency: Duration | None = Field(
        None, gt=0, description="From taking a message in until its target has it, at most."
    )
    target: float = Field(0.99, gt=0, le=1, description="The part of messages that must keep the latency.")
    window: Duration = Field(
        _DAY_S, ge=60, le=366 * _DAY_S, description="The time over which it is measured, a minute at least."
    )
    backlog_age: Duration | None = Field(None, gt=0, description="How old the oldest waiting one may be.")
    failed_rate: float | None = Field(
        None, ge=0, le=1, description="The part of those that ended that may have failed for good."
    )
    owner: str | None = Field(None, description="The team that is told.")

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.latency is None and self.backlog_age is None and self.failed_rate is None:
            raise ValueError("needs at least one of latency, backlog_age and failed_rate")
        return self


class Sent(Part):
    """The message of a case, as if it came in through an adapter."""

    adapter: Name = Field(description="The adapter that takes it in.")
    file: Path | None = Field(None, description="A file with its body, relative to this one.")
    body: Any = Field(None, description="The body itself: text, or what becomes JSON.")
    attributes: dict[str, str | int | float | bool] = Field(
        default={}, description="What the transport would know, such as topic."
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.file is None) == (self.body is None):
            raise ValueError("needs either file or body")
        return self


class ExpectedEvent(Part):
    """An event that must come of it."""

    type: str = Field(description="Its type, a suffix of the catalogue.")
    contains: Any = Field(None, description="What its data must hold, at least.")


class ExpectedDelivery(Part):
    """A delivery that must come of it."""

    route: Name = Field(description="The route that makes it.")
    contains: Any = Field(None, description="What its payload must hold, at least.")


class Expectation(Part):
    """What must come of a message: these and no others, of each that is given."""

    events: list[ExpectedEvent] | None = Field(None, description="The events, in order.")
    deliveries: list[ExpectedDelivery] | None = Field(None, description="The deliveries, in any order.")
    refused: list[str] = Field(
        default=[],
        description="Codes of what must be refused, of the message or on a route, such as unresolved.",
    )


class Case(Part):
    """A test of the deployment itself, for `crossplant test`."""

    name: str = Field(min_length=1, description="What it shows, in words.")
    send: Sent = Field(description="The message.")
    knows: dict[str, dict[str, dict[str, Any]]] = Field(
        default={},
        description="What routes enrich from: the fields of records, by service and key. A record with a "
        "plant is that plant's, others are everybody's.",
    )
    expect: Expectation = Field(description="What must come of it.")


class Deployment(Part):
    """The whole configuration of a hub. The names in its mappings are identities: of metrics, logs,
    cursors and event sources."""

    company: Name = Field(description="The company, the top level of equipment paths.")
    gateway: Gateway = Field(default=Gateway(), description="HTTP for people and systems.")
    journal: Journal = Field(default=Journal(), description="How much history is kept.")
    plants: dict[Name, Plant] = Field(default={}, description="The plants by name.")
    partners: dict[Name, Partner] = Field(default={}, description="The partners by name.")
    adapters: dict[Name, AdapterConfig] = Field(default={}, description="The connections by name.")
    routes: dict[Name, Route] = Field(default={}, description="The routes by name.")
    service_levels: dict[Name, ServiceLevel] = Field(default={}, description="What is promised, by name.")
    crosswalks: list[Path] = Field(
        default=[], description="CSV files with crosswalk rows, relative to this file."
    )
    python: list[Path] = Field(
        default=[],
        description="Folders with the modules of functions that routes map by, relative to this file; "
        "searched after what is installed.",
    )
    exceptions: Exceptions = Field(
        default=Exceptions(), description="How urgent exceptions are, who is told of them, and when not."
    )
    stewardship: dict[AttributeGroup, Stewardship] = Field(
        default={}, description="Who keeps the crosswalk rows of a domain of codes; others are refused."
    )
    tests: list[Case] = Field(default=[], description="The deployment's own tests.")
    _written: Written = PrivateAttr(default_factory=Written)

    @property
    def written(self) -> Written:
        """As it stands in its files; nothing for one that was not read from any."""
        return self._written

    def with_written(self, written: Written) -> Self:
        """The same, with what stands in its files."""
        copy = self.model_copy()
        copy._written = written
        return copy

    @model_validator(mode="before")
    @classmethod
    def _tidy(cls, value: Any) -> Any:
        """Sections without content count as absent; a route's target learns its adapter's kind."""
        if not isinstance(value, Mapping):
            return value
        sections = {name: section for name, section in value.items() if section is not None}
        routes = sections.get("routes")
        if isinstance(routes, Mapping):
            sections["routes"] = {
                name: _bound(route, sections.get("adapters")) for name, route in routes.items()
            }
        return sections

    @model_validator(mode="after")
    def _agreed(self) -> Self:
        """Formats of partners' adapters, and of routes to them, have the partner's profile under them."""
        adapters, routes = agreed(self.partners, self.adapters, self.routes)
        self.__dict__.update(adapters=adapters, routes=routes)
        return self

    def timezone(self, adapter: str) -> ZoneInfo:
        """The zone of an adapter's times without one: its own, else its plant's or partner's, else UTC."""
        settings = self.adapters[adapter]
        plant = self.plants.get(settings.plant or "")
        partner = self.partners.get(settings.partner or "")
        zones = (settings.timezone, plant.timezone if plant else None, partner.timezone if partner else None)
        return next((zone for zone in zones if zone is not None), ZoneInfo("UTC"))

    def event_source(self, adapter: str) -> str:
        """The CloudEvents ``source`` of an adapter's events (domain.md, 1)."""
        settings = self.adapters[adapter]
        if settings.plant:
            return f"/plants/{settings.plant}/adapters/{adapter}"
        if settings.partner:
            return f"/partners/{settings.partner}/adapters/{adapter}"
        return f"/adapters/{adapter}"


def _bound(route: Any, adapters: Any) -> Any:
    """A route as written, its target bound to the kind of the adapter that it names."""
    if not isinstance(route, Mapping) or "to" not in route or not isinstance(adapters, Mapping):
        return route
    target = route["to"]
    name = target.get("adapter") if isinstance(target, Mapping) else target
    adapter = adapters.get(name) if isinstance(name, str) else None
    kind = adapter.get("kind") if isinstance(adapter, Mapping) else getattr(adapter, "kind", None)
    try:
        options_model(kind) if isinstance(kind, str) else None
    except ValueError:
        return route
    return {**route, "to": Bound(target, kind)} if isinstance(kind, str) else route
