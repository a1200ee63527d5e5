"""Exceptions as an operator wants them: how urgent each class is, who is told, how, and when not."""

from __future__ import annotations

from datetime import time
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, PlainSerializer, SecretStr, WithJsonSchema, model_validator

from canonical.duration import Duration
from config.part import Part

__all__ = [
    "NOBODY",
    "PARTNERS",
    "STEWARDS",
    "Class",
    "ClassName",
    "Exceptions",
    "Hook",
    "Mail",
    "Quiet",
    "Team",
]

ClassName = Literal["unknown_code", "refused", "failed", "service_level", "told"]
"""A code that nobody knows; a document that its target refuses; a message or map that fails; a missed service
level; what another part of the hub found, such as an overdue acknowledgement."""


STEWARDS: Final = {
    "item": "engineering",
    "bom": "engineering",
    "routing": "production",
    "work_centre": "production",
    "workcentre": "production",
    "supplier": "procurement",
    "partner": "procurement",
    "customer": "sales",
    "uom": "quality",
    "unit": "quality",
    "status": "quality",
    "location": "logistics",
    "plant": "logistics",
}
"""Whose a code is where its route has no owner (domain.md, 3)."""
PARTNERS: Final = "edi"
"""Whose an overdue acknowledgement is where its route has no owner."""
NOBODY: Final = "operations"
"""Whose the rest is."""


def _clock(value: Any) -> Any:
    """A time of day, ``22:00``."""
    if isinstance(value, str):
        try:
            return time.fromisoformat(value)
        except ValueError:
            pass
    if isinstance(value, time):
        return value
    raise ValueError(f'{value!r} is no time of day; write one in quotes, like "22:00"')


ClockTime = Annotated[
    time,
    BeforeValidator(_clock),
    PlainSerializer(lambda at: f"{at:%H:%M}", return_type=str),
    WithJsonSchema({"type": "string", "examples": ["22:00", "06:00"]}),
]


class Class(Part):
    """How urgent exceptions are."""

    due: Duration | None = Field(None, gt=0, description="Due so long after it opened.")
    priority: int | None = Field(None, ge=1, le=9, description="1 is the most urgent.")


class Quiet(Part):
    """Hours in which nobody is told, in the zone of the exception's plant; UTC where it has none."""

    start: ClockTime = Field(description="From this time of day on.")
    end: ClockTime = Field(description="Until this time of day, the next day when it is the earlier one.")
    unless_priority: int = Field(
        1, ge=0, le=9, description="What is as urgent as that, or more, is told all the same; 0: nothing is."
    )

    def holds(self, at: time) -> bool:
        """Whether it is quiet at a time of day."""
        if self.start <= self.end:
            return self.start <= at < self.end
        return at >= self.start or at < self.end


class Hook(Part):
    """An HTTP endpoint that is told, signed as Standard Webhooks say."""

    url: str = Field(description="Where to: https, or http.")
    secret: SecretStr = Field(description="`whsec_` and base64, by reference.")
    allow_private: bool = Field(
        False, description="Whether the address may be a private, loopback or link-local one."
    )

    @model_validator(mode="after")
    def _usable(self) -> Self:
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.password:
            raise ValueError("url: write an http or https address without a user, https://host/path")
        return self


class Mail(Part):
    """The mail server."""

    host: str = Field(description="Its name.")
    port: int = Field(587, ge=1, le=65535, description="Its port.")
    tls: Literal["starttls", "tls", "none"] = Field(
        "starttls", description="`tls`: from the first byte, usually port 465; `none`: in clear."
    )
    ca: Path | None = Field(None, description="PEM file of the authority that signed its certificate.")
    username: str | None = Field(None, description="Who logs in; default: nobody.")
    password: SecretStr | None = Field(None, description="The password, by reference.")
    sender: str = Field(description="The From address.")

    @model_validator(mode="after")
    def _agreed(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password go together")
        if self.password is not None and self.tls == "none":
            raise ValueError("a password does not go over a line in clear: set tls to starttls or tls")
        return self


class Team(Class):
    """What is particular to a team's exceptions, and how it is told of them."""

    mail: list[str] = Field(default=[], description="Addresses that get a mail.")
    webhook: Hook | None = Field(None, description="What is called.")
    quiet: Quiet | None = Field(None, description="When not.")


class Exceptions(Part):
    """How urgent exceptions are, and who is told of them."""

    classes: dict[ClassName, Class] = Field(
        default={},
        description="By class: `unknown_code`, `refused` by a target, `failed` on the way, `service_level` "
        "missed, `told` by another part of the hub, such as an overdue acknowledgement.",
    )
    owners: dict[str, Team] = Field(
        default={},
        description="By team, as `owner` of routes and service levels names it; goes before `classes`.",
    )
    mail: Mail | None = Field(None, description="The mail server that mails go through.")
    gather: Duration = Field(
        60.0, ge=0, description="So long are exceptions of one team gathered into one message."
    )
    console: str = Field(
        "", description="Address of the console, for links in messages: https://hub.example."
    )

    @model_validator(mode="after")
    def _mailable(self) -> Self:
        for name, team in self.owners.items():
            if team.mail and self.mail is None:
                raise ValueError(f"owners.{name} is to get mails: exceptions.mail names the server")
        return self
