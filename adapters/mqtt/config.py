"""What an operator writes for an MQTT adapter, and what a route writes for its deliveries."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from adapters.mqtt.topics import overlap, parse_filter
from canonical.duration import Duration, format_duration
from canonical.spec import Guarantees

__all__ = ["MqttOptions", "MqttTarget", "Subscription", "TlsOptions"]

PORTS = {"mqtt": 1883, "mqtts": 8883}


class Subscription(BaseModel):
    """One topic filter."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    topic: str = Field(
        description="Topic filter. `+` and `#` are MQTT's wildcards; `{name}` is a `+` whose level becomes "
        "the message's attribute `name`. `$share/GROUP/FILTER` is a shared subscription.",
        examples=["acme/brno/{area}/{line}/{tag}", "factory/+/alarms/#"],
    )
    qos: Literal[0, 1] = Field(
        default=1,
        description="Quality of service. 1: acknowledged after the commit, redelivered otherwise. "
        "0: whatever is on its way when a connection or the hub fails is lost.",
    )

    @field_validator("topic")
    @classmethod
    def _is_a_filter(cls, topic: str) -> str:
        parse_filter(topic)
        return topic


class TlsOptions(BaseModel):
    """Certificates of a `mqtts://` connection. The server's certificate and host name are always verified."""

    model_config = ConfigDict(extra="forbid", frozen=True)

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


class MqttOptions(BaseModel):
    """An MQTT broker: what to subscribe to there, and how to reach it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field(
        description="The broker: `mqtt://HOST[:1883]`, or `mqtts://HOST[:8883]` for TLS.",
        examples=["mqtt://127.0.0.1:1883", "mqtts://broker.example.com"],
    )
    client_id: Annotated[str, Field(min_length=1, max_length=256)] | None = Field(
        default=None,
        description="The name of our session at the broker; no other client may use it, nor a second hub. "
        "Changing it starts a new session, and the old one's queue is lost. Deliveries use it with `-out` "
        "behind. Default: `crossplant-` and the adapter's name.",
    )
    protocol: Literal["5", "3.1.1"] = Field(
        default="5",
        description="MQTT version. 5 has flow control, refusals with a reason, and user properties.",
    )
    subscribe: tuple[Subscription, ...] = Field(
        default=(),
        description="What to take in. Filters must not overlap: a broker may send a message once for each. "
        "None: the adapter only delivers.",
    )
    username: str | None = Field(default=None, description="User name at the broker.")
    password: SecretStr | None = Field(
        default=None, description="Password at the broker, by reference: `${env:NAME}` or `${file:PATH}`."
    )
    tls: TlsOptions = Field(default=TlsOptions(), description="Certificates, for `mqtts://` only.")
    keepalive: Annotated[Duration, Field(ge=1, le=65_535)] = Field(
        default=30.0,
        description="Longest silence. After 1.5 times as long without a byte from the broker the connection "
        "is given up and built anew. Whole seconds; fractions are rounded up.",
    )
    session_expiry: Annotated[Duration, Field(ge=1, le=0xFFFF_FFFE)] = Field(
        default=604_800.0,
        description="How long the broker keeps our session and queues messages while we are away (MQTT 5; "
        "with 3.1.1 the broker decides).",
    )
    receive_maximum: int = Field(
        default=1_000,
        ge=1,
        le=65_535,
        description="Messages that may be on their way to us unacknowledged. MQTT 5 brokers heed it; "
        "with 3.1.1 set the broker's own limit (mosquitto: `max_inflight_messages`).",
    )
    connect_timeout: Annotated[Duration, Field(gt=0)] = Field(
        default=10.0,
        description="Longest time for name look-up, TCP, TLS and login together; also how long a delivery "
        "waits for a connection.",
    )
    publish_timeout: Annotated[Duration, Field(gt=0)] = Field(
        default=20.0, description="How long deliveries wait for the broker's acknowledgement."
    )
    max_backoff: Annotated[Duration, Field(gt=0)] = Field(
        default=60.0,
        description="Longest pause between two attempts to connect; they start at half a second.",
    )
    fresh_within: Annotated[Duration, Field(gt=0)] | None = Field(
        default=None,
        description="Data older than this counts as not flowing. Default: no rhythm is expected.",
    )

    @field_validator("url")
    @classmethod
    def _is_a_broker(cls, url: str) -> str:
        _split(url)
        return url

    @model_validator(mode="after")
    def _filters_are_apart(self) -> Self:
        filters = [parse_filter(each.topic) for each in self.subscribe]
        for index, one in enumerate(filters):
            for other in filters[:index]:
                if overlap(one, other):
                    raise ValueError(
                        f"subscribe: {other.text!r} and {one.text!r} overlap, and the broker may send "
                        "a message once for each; keep one of them, or give the other an adapter of its own"
                    )
        return self

    @model_validator(mode="after")
    def _secrets_fit(self) -> Self:
        if self.tls != TlsOptions() and not self.secure:
            raise ValueError("tls: is for mqtts:// only; change the url or leave tls: out")
        if self.password is not None and self.username is None:
            raise ValueError("password: needs a username:")
        return self

    @property
    def receives(self) -> bool:
        """Whether messages come in."""
        return bool(self.subscribe)

    @property
    def guarantees(self) -> Guarantees:
        """What the protocol can do with these subscriptions."""
        confirmed = all(each.qos == 1 for each in self.subscribe)
        lasting = format_duration(self.session_expiry)
        return Guarantees(
            redelivers=confirmed,
            back_pressure=True,
            stable_ids=True,
            while_=f"the hub is away no longer than its session lasts ({lasting})",
        )

    def warnings(self) -> Iterator[tuple[str, str]]:
        """Pairs of (option, what is risky about it), for ``crossplant check``; it runs all the same."""
        if self.password is not None and not self.secure and not _is_loopback(self.host):
            yield "url", "the password crosses the network as plain text; use mqtts://"
        for number, each in enumerate(self.subscribe):
            if each.qos == 0:
                yield (
                    f"subscribe.{number}.qos",
                    "with 0, messages on their way are lost when a connection fails",
                )

    @property
    def host(self) -> str:
        """The broker's name or address."""
        return _split(self.url)[1]

    @property
    def port(self) -> int:
        """The broker's port."""
        return _split(self.url)[2]

    @property
    def secure(self) -> bool:
        """Whether the connection is TLS."""
        return _split(self.url)[0] == "mqtts"


class MqttTarget(BaseModel):
    """Where a route's deliveries go. Text is a template over the event."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    topic: str = Field(
        min_length=1,
        description="The topic to publish to, without wildcards.",
        examples=["acme/brno/orders/released"],
    )
    qos: Literal[0, 1] = Field(
        default=1,
        description="Quality of service. 1: accepted once the broker acknowledges. 0: accepted once sent, "
        "so it can be lost.",
    )
    retain: bool = Field(
        default=False,
        description="Whether the broker keeps it as the topic's last value for later subscribers.",
    )

    @property
    def confirmed(self) -> bool:
        """Whether the broker says that it has a delivery."""
        return self.qos == 1


def _split(url: str) -> tuple[str, str, int]:
    """(scheme, host, port). Raises ValueError that says what to write."""
    parts = urlsplit(url)
    if parts.scheme not in PORTS:
        raise ValueError(f"{url!r} does not start with mqtt:// or mqtts://")
    if parts.username is not None or parts.password is not None:
        raise ValueError("the url holds a user name or password: write username: and password: instead")
    if not parts.hostname:
        raise ValueError(f"{url!r} names no host")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(f"{url!r} has more than host and port; topics belong into subscribe:")
    try:
        port = parts.port
    except ValueError:
        raise ValueError(f"{url!r}: the port is a number from 1 to 65535") from None
    if port == 0:
        raise ValueError(f"{url!r}: the port is a number from 1 to 65535")
    return parts.scheme, parts.hostname, port or PORTS[parts.scheme]


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
