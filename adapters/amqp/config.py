"""What an operator writes for an AMQP adapter, and what a route writes for its deliveries."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Annotated, Self
from urllib.parse import unquote, urlsplit

from msgspec import Struct
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from canonical.duration import Duration

__all__ = ["AmqpOptions", "AmqpTarget", "Binding", "DeclareOptions", "TlsOptions"]

PORTS = {"amqp": 5672, "amqps": 5671}
SHORT_STRING_BYTES = 255


def _short(text: str) -> str:
    """AMQP 0-9-1, 4.2.5.3: names and routing keys have one byte for their length."""
    if len(text.encode()) > SHORT_STRING_BYTES:
        raise ValueError(f"has {len(text.encode())} bytes; AMQP takes {SHORT_STRING_BYTES} at most")
    return text


Name = Annotated[str, Field(min_length=1), AfterValidator(_short)]
ShortText = Annotated[str, AfterValidator(_short)]
HeaderName = Annotated[str, Field(min_length=1, max_length=128)]


class _Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TlsOptions(_Options):
    """Certificates of an `amqps://` connection. The server's certificate and name are always verified."""

    ca: str | None = Field(
        default=None,
        description="The authorities to trust: PEM text (`${file:ca.pem}`) or the path of a PEM file. "
        "Default: those of the operating system.",
    )
    certificate: str | None = Field(
        default=None,
        description="Our own certificate, with its chain, where the broker asks for one: PEM text or path.",
    )
    key: SecretStr | None = Field(
        default=None,
        description="The unencrypted private key of `certificate`: PEM text (`${file:client.key}`) or path.",
    )

    @model_validator(mode="after")
    def _certificate_with_key(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together: give both or none")
        return self


class Binding(_Options):
    """From an exchange that exists to our queue."""

    exchange: Name = Field(description="The exchange; it must exist.")
    routing_key: ShortText = Field(
        default="#", description="What the queue gets of it; `*` and `#` are wildcards of a topic exchange."
    )


class DeclareOptions(_Options):
    """A durable quorum queue, made when it is not there, with a dead-letter exchange and queue behind it."""

    bind: tuple[Binding, ...] = Field(default=(), description="Where the queue gets its messages from.")
    delivery_limit: int = Field(
        default=20,
        ge=1,
        le=10_000,
        description="How often the broker delivers a message again before it dead-letters it: one that ends "
        "the hub, or its connection, each time. With 20 it is delivered 21 times.",
    )
    dead_letter_exchange: Name | None = Field(
        default=None,
        description="Where such messages go: a durable fanout exchange, made when it is not there, with a "
        "quorum queue of the same name behind it. Default: the queue's name with `.dead` behind.",
    )


class AmqpOptions(_Options):
    """An AMQP 0-9-1 broker: which queue to take messages from, and how to reach it."""

    url: str = Field(
        description="The broker and its virtual host: `amqp://HOST[:5672][/VHOST]`, or `amqps://HOST[:5671]"
        "[/VHOST]` for TLS. Without VHOST it is `/`; special characters in it are percent-encoded.",
        examples=["amqp://127.0.0.1:5672", "amqps://rabbit.example.com/mes"],
    )
    username: str | None = Field(
        default=None,
        min_length=1,
        description="User name at the broker. Default: `guest`, which RabbitMQ accepts from loopback only.",
    )
    password: SecretStr | None = Field(
        default=None, description="Password at the broker, by reference: `${env:NAME}` or `${file:PATH}`."
    )
    tls: TlsOptions = Field(default=TlsOptions(), description="Certificates, for `amqps://` only.")
    queue: Name | None = Field(
        default=None, description="The queue to take in. None: the adapter only delivers."
    )
    declare_queue: DeclareOptions | None = Field(
        default=None,
        description="Makes the queue when it is not there. Default: the queue must exist, since it belongs "
        "to the broker's owner.",
    )
    prefetch: int = Field(
        default=500,
        ge=1,
        le=65_535,
        description="Messages that may be on their way to us unacknowledged: our back-pressure, and with the "
        "size of a message the memory that we need.",
    )
    use_message_id: bool = Field(
        default=True,
        description="Whether the property message-id is the message's identity: the same again is a "
        "duplicate. False for senders that use one id for several messages.",
    )
    heartbeat: Annotated[Duration, Field(ge=1, le=3_600)] = Field(
        default=20.0,
        description="Longest silence. After 1.5 times as long without a byte from the broker the connection "
        "is given up and built anew. Whole seconds; fractions are rounded up.",
    )
    connect_timeout: Annotated[Duration, Field(gt=0)] = Field(
        default=10.0,
        description="Longest time for name look-up, TCP, TLS and login together, and for the broker's answer "
        "to a command; also how long a delivery waits for a connection.",
    )
    publish_timeout: Annotated[Duration, Field(gt=0)] = Field(
        default=20.0, description="How long deliveries wait for the broker's confirm."
    )
    max_backoff: Annotated[Duration, Field(gt=0)] = Field(
        default=60.0,
        description="Longest pause between two attempts to connect; they start at half a second. After a "
        "refused login it is taken at once, so that no account gets locked.",
    )
    fresh_within: Annotated[Duration, Field(gt=0)] | None = Field(
        default=None,
        description="Data older than this counts as not flowing. Default: no rhythm is expected.",
    )

    @field_validator("url")
    @classmethod
    def _is_a_broker(cls, url: str) -> str:
        _read(url)
        return url

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.tls != TlsOptions() and not self.secure:
            raise ValueError("tls: is for amqps:// only; change the url or leave tls: out")
        if (self.username is None) != (self.password is None):
            raise ValueError("username: and password: go together: give both or none")
        if self.declare_queue is not None and self.queue is None:
            raise ValueError("declare_queue: needs a queue:")
        return self

    @property
    def receives(self) -> bool:
        """Whether messages come in."""
        return self.queue is not None

    def warnings(self) -> Iterator[tuple[str, str]]:
        """Pairs of (option, what is risky about it), for ``crossplant check``; it runs all the same."""
        if not self.secure and not _is_loopback(self.host):
            if self.password is not None:
                yield "url", "the password crosses the network as plain text; use amqps://"
            else:
                yield (
                    "username",
                    "RabbitMQ accepts its user guest from loopback only; give username and password",
                )

    @property
    def host(self) -> str:
        """The broker's name or address."""
        return _read(self.url).host

    @property
    def port(self) -> int:
        """The broker's port."""
        return _read(self.url).port

    @property
    def vhost(self) -> str:
        """The virtual host."""
        return _read(self.url).vhost

    @property
    def secure(self) -> bool:
        """Whether the connection is TLS."""
        return _read(self.url).scheme == "amqps"


class AmqpTarget(_Options):
    """Where a route's deliveries go. Text is a template over the event."""

    exchange: ShortText = Field(
        default="",
        description="The exchange to publish to; it must exist. Default: AMQP's own default exchange, which "
        "takes the routing key for the name of a queue.",
        examples=["mes"],
    )
    routing_key: ShortText = Field(
        default="", description="The routing key.", examples=["orders.{data.order}"]
    )
    headers: dict[HeaderName, str | bool | int | float] = Field(
        default={}, max_length=100, description="Headers of the message."
    )
    mandatory: bool = Field(
        default=True,
        description="Whether a message that no queue gets is refused. False for news that may go unheard.",
    )
    cloudevents: bool = Field(
        default=False,
        description="Adds the event's attributes as headers `cloudEvents:id`, `cloudEvents:type` …, as in "
        "the binary mode of CloudEvents' AMQP binding.",
    )

    @model_validator(mode="after")
    def _goes_somewhere(self) -> Self:
        if not self.exchange and not self.routing_key:
            raise ValueError("give an exchange, or the name of a queue as routing_key")
        return self


class _Broker(Struct, frozen=True):
    scheme: str
    host: str
    port: int
    vhost: str


def _read(url: str) -> _Broker:
    parts = urlsplit(url)
    if parts.scheme not in PORTS:
        raise ValueError(f"{url!r}: write amqp:// or amqps://, then the host")
    if parts.username is not None or parts.password is not None:
        raise ValueError("credentials belong into username: and password:, not into the url")
    if not parts.hostname:
        raise ValueError(f"{url!r} names no host")
    if parts.query or parts.fragment or "/" in parts.path[1:]:
        raise ValueError(f"{url!r}: only the virtual host may follow the host; a / in its name is %2F")
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise ValueError(f"{url!r}: the port is a number from 1 to 65535")
    return _Broker(parts.scheme, parts.hostname, port or PORTS[parts.scheme], unquote(parts.path[1:]) or "/")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
