"""What an operator writes for ``kind: opcua``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from adapters.opcua.nodes import parse_node
from adapters.opcua.tags import read_tags
from canonical.catalogue.equipment import MachineState
from canonical.duration import Duration
from canonical.values import equipment_path

__all__ = ["OpcuaConfig", "Security", "Tag"]


def _path(text: str) -> str:
    equipment_path(text)
    return text


def _node(text: str) -> str:
    return parse_node(text).text


def _deadband(text: object) -> object:
    """Numbers, and text like ``2%``; YAML gives the first as numbers, CSV as text."""
    if isinstance(text, str) and not text.strip().endswith("%"):
        return float(text)
    return text


EquipmentOption = Annotated[str, AfterValidator(_path)]
Percent = Annotated[str, Field(pattern=r"^\s*[0-9]{1,3}(\.[0-9]+)?\s*%\s*$")]


class _Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Security(_Options):
    """How messages are protected. The server's certificate is always checked against the trust list."""

    policy: Literal["Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss"] = Field(
        "Basic256Sha256", description="The security policy; weaker ones are not offered."
    )
    mode: Literal["Sign", "SignAndEncrypt"] = Field("SignAndEncrypt", description="The security mode.")


class Tag(_Options):
    """One node to watch, and what its values mean."""

    node: Annotated[str, AfterValidator(_node)] = Field(
        description="NodeId with the namespace's URI: nsu=http://example.com/line;s=Oil.Temperature.",
    )
    tag: str = Field(min_length=1, max_length=128, description="The tag's name in events.")
    equipment: EquipmentOption | None = Field(
        None, description="The equipment that it belongs to; default: the adapter's `equipment`."
    )
    uom: str | None = Field(
        None, min_length=1, max_length=128, description="Unit (Rec 20 code); default: the server's own."
    )
    sampling_interval: Duration | None = Field(
        None, description="How often the server looks at it; default: the publishing interval."
    )
    deadband: Annotated[float, Field(ge=0)] | Percent | None = Field(
        None,
        description="Smaller changes are not sent: absolute (0.5), or of the value's range (2%).",
    )
    states: dict[str, MachineState] | None = Field(
        None, min_length=1, description="Raw value → machine state: the tag gives equipment.state.changed."
    )

    @field_validator("deadband", mode="before")
    @classmethod
    def _number(cls, value: object) -> object:
        return _deadband(value)


class OpcuaConfig(_Options):
    """Options of an OPC UA server that is listened to. Nothing is ever written to it."""

    url: str = Field(description="The server's endpoint: opc.tcp://HOST:PORT/PATH.")
    security: Security | Literal["none"] = Field(
        default_factory=lambda: Security(), description="Policy and mode; `none`, if that is really meant."
    )
    anonymous: bool = Field(False, description="Log in without a user; must be asked for.")
    username: str | None = Field(None, min_length=1, description="User name.")
    password: SecretStr | None = Field(None, description="Password, by reference.")
    password_in_clear: bool = Field(
        False, description="Send the password although neither the server's policy nor the mode encrypts it."
    )
    application_uri: str | None = Field(
        None, description="Our ApplicationUri, also in our certificate; default: urn:crossplant:ADAPTER."
    )
    equipment: EquipmentOption | None = Field(None, description="The equipment of tags that name none.")
    tags: tuple[Tag, ...] = Field((), description="The nodes to watch.")
    tags_file: Path | None = Field(
        None, description="CSV file with more of them; its columns are the options of a tag."
    )
    publishing_interval: Duration = Field(0.5, description="How often the server sends what has changed.")
    sampling_interval: Duration | None = Field(
        None, description="How often the server looks at values; default: the publishing interval."
    )
    keep_alive_count: int = Field(
        10, ge=1, le=100_000, description="After so many quiet intervals the server says that it is alive."
    )
    lifetime_count: int = Field(
        600, ge=3, le=10_000_000, description="After so many intervals without us the server gives up."
    )
    queue_size: int = Field(
        100, ge=1, le=100_000, description="Values per tag that the server keeps while we are away or slow."
    )
    discard_oldest: bool = Field(True, description="What a full queue loses: the oldest value, or new ones.")
    max_notifications: int = Field(1000, ge=1, le=100_000, description="Values in one message, at most.")
    publish_requests: int = Field(2, ge=1, le=20, description="Publish requests under way at a time.")
    buffer: int = Field(32, ge=1, le=10_000, description="Messages taken in before the server has to wait.")
    resume: bool = Field(
        True, description="Take the subscription over after a cut or a restart, with what the server kept."
    )
    stale_after: Duration | None = Field(
        None, description="Silence that counts as a broken connection; default: from interval and keep-alive."
    )
    connect_timeout: Duration = Field(15.0, description="Until a session must stand.")
    request_timeout: Duration = Field(10.0, description="Until an answer must come.")
    min_backoff: Duration = Field(0.5, description="The first wait before connecting again.")
    max_backoff: Duration = Field(
        60.0, description="The longest; also the one after a refused login or certificate."
    )
    retry_tags: Duration = Field(10.0, description="The first wait before a refused tag is tried again.")

    @field_validator("url")
    @classmethod
    def _url(cls, text: str) -> str:
        parts = urlsplit(text)
        if parts.scheme != "opc.tcp" or not parts.hostname:
            raise ValueError(f"{text!r} is not an endpoint; write opc.tcp://HOST:PORT/PATH")
        if parts.username or parts.password:
            raise ValueError("user and password do not belong into the url; use username and password")
        return text if parts.port else text.replace(parts.netloc, f"{parts.netloc}:4840", 1)

    @model_validator(mode="before")
    @classmethod
    def _with_file(cls, options: Any, info: ValidationInfo) -> Any:
        """Adds the rows of `tags_file` to the tags, so that both are checked alike."""
        if not isinstance(options, dict) or not options.get("tags_file"):
            return options
        path = Path(str(options["tags_file"]))
        folder = (info.context or {}).get("folder") if isinstance(info.context, dict) else None
        rows = read_tags(Path(folder) / path if folder else path)
        return {**options, "tags": [*(options.get("tags") or ()), *rows]}

    @model_validator(mode="after")
    def _login(self) -> Self:
        if self.anonymous and (self.username or self.password):
            raise ValueError("anonymous and username exclude each other")
        if not self.anonymous and not self.username:
            raise ValueError("needs username and password, or anonymous: true")
        if self.username and self.password is None:
            raise ValueError("username needs a password")
        return self

    @model_validator(mode="after")
    def _timing(self) -> Self:
        if self.lifetime_count < 3 * self.keep_alive_count:
            raise ValueError("lifetime_count must be at least 3 × keep_alive_count (OPC 10000-4, 5.14.2)")
        if self.min_backoff > self.max_backoff:
            raise ValueError("min_backoff is longer than max_backoff")
        quiet_s = self.publishing_interval * self.keep_alive_count
        if self.stale_after is not None and self.stale_after <= quiet_s:
            raise ValueError(f"stale_after must be longer than interval × keep_alive_count, {quiet_s:g} s")
        return self

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if not self.tags:
            raise ValueError("needs tags, or a tags_file")
        seen: set[tuple[str, str]] = set()
        for number, tag in enumerate(self.tags):
            equipment = tag.equipment or self.equipment
            if equipment is None:
                raise ValueError(f"tags.{number}: {tag.tag!r} needs an equipment, here or for all")
            if (equipment, tag.tag) in seen:
                raise ValueError(f"tags.{number}: {equipment} has two tags called {tag.tag!r}")
            seen.add((equipment, tag.tag))
        return self

    def equipment_of(self, tag: Tag) -> str:
        """The equipment path of one of the tags."""
        path = tag.equipment or self.equipment
        assert path is not None  # _distinct saw to it
        return path

    def warnings(self) -> Iterator[tuple[str, str]]:
        """Pairs of (option, what is risky about it), for ``crossplant check``; it runs all the same."""
        if self.security == "none":
            yield "security", "messages are neither signed nor encrypted, and the server is not authenticated"
        if self.anonymous:
            yield "anonymous", "anyone who reaches the server reads the same; give this client a user"
        if self.password_in_clear:
            yield "password_in_clear", "the password may cross the network as plain text"
        if self.queue_size == 1:
            yield "queue_size", "with 1 the server cannot say that it lost values (no overflow bit)"
        for number, tag in enumerate(self.tags):
            address = parse_node(tag.node)
            if address.uri is None and address.index:
                yield (
                    f"tags.{number}.node",
                    f"ns={address.index} may be another namespace after the server restarts; write nsu=URI",
                )
