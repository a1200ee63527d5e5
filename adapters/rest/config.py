"""What an operator writes for ``kind: rest``, and what a route may set for its deliveries."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from canonical.duration import Duration, Size
from canonical.expression import ExpressionError, Template, compile_expression
from canonical.spec import Guarantees

__all__ = [
    "Basic",
    "BearerVerification",
    "Cursor",
    "HeaderSecret",
    "HmacVerification",
    "LookupConfig",
    "PollConfig",
    "RestConfig",
    "RestTarget",
    "StandardWebhooksVerification",
    "Tls",
    "Verification",
    "WebhookConfig",
]

ANSWER_VARIABLES = ("payload",)
ITEM_VARIABLES = ("item", "payload")
LOOKUP_VARIABLES = ("key", "event", "data")

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 5.6.2
_VISIBLE = re.compile(r"[\x20-\x7e\x80-\xff]+")  # RFC 9110 5.5: field-vchar, obs-text and space
_POINTER = re.compile(r"(/([^~/]|~[01])*)*")  # RFC 6901 3
_OURS = frozenset(
    {
        "authorization",
        "connection",
        "content-encoding",
        "content-length",
        "cookie",
        "expect",
        "host",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


def _header_name(name: str) -> str:
    if not _TOKEN.fullmatch(name):
        raise ValueError(f"{name!r} is not a header name")
    return name


def _visible(value: SecretStr) -> SecretStr:
    """Without the line end that a secret's file has; what no header can carry is refused."""
    text = value.get_secret_value().strip()
    if not text or not _VISIBLE.fullmatch(text):
        raise ValueError("is empty or has characters that a header cannot carry")
    return SecretStr(text)


def _expression(*variables: str) -> AfterValidator:
    def check(source: str) -> str:
        try:
            compile_expression(source, variables)
        except ExpressionError as error:
            raise ValueError(f"column {error.column}: {error.message}") from error
        return source

    return AfterValidator(check)


def _template(*variables: str) -> AfterValidator:
    def check(source: str) -> str:
        try:
            Template(source, variables)
        except ExpressionError as error:
            raise ValueError(error.message) from error
        return source

    return AfterValidator(check)


HeaderName = Annotated[str, AfterValidator(_header_name)]
HeaderSecretValue = Annotated[SecretStr, AfterValidator(_visible)]
AnswerExpression = Annotated[str, _expression(*ANSWER_VARIABLES)]
ItemExpression = Annotated[str, _expression(*ITEM_VARIABLES)]
LookupTemplate = Annotated[str, _template(*LOOKUP_VARIABLES)]


class _Options(BaseModel):
    # Inputs may be secrets: an error names the option, not what was written.
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, hide_input_in_errors=True)


class Basic(_Options):
    """User name and password (RFC 7617)."""

    username: str = Field(min_length=1, description="User name; no colon.", pattern=r"^[^:\x00-\x1f\x7f]+$")
    password: SecretStr = Field(description="Password, by reference.")


class HeaderSecret(_Options):
    """A secret in a header of the server's own, such as an API key."""

    name: HeaderName = Field(description="The header, such as X-API-Key.")
    value: HeaderSecretValue = Field(description="Its value, by reference.")


class Tls(_Options):
    """Certificates. The server's is always verified, with its host name; TLS 1.2 is the least."""

    ca: Path | None = Field(
        None, description="PEM file of the authorities to trust; default: the machine's own store."
    )
    certificate: Path | None = Field(None, description="PEM file of our client certificate, with its chain.")
    key: Path | None = Field(None, description="PEM file of its private key, not encrypted.")

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together")
        return self


class _SecretVerification(_Options):
    secret: HeaderSecretValue = Field(description="The secret shared with the sender, by reference.")
    previous: HeaderSecretValue | None = Field(
        None, description="The secret before it, accepted too while the sender changes over."
    )


class BearerVerification(_SecretVerification):
    """``Authorization: Bearer SECRET``."""

    kind: Literal["bearer"] = Field(description="The sender proves itself by a bearer token.")


class HmacVerification(_SecretVerification):
    """A signature over the body in a header."""

    kind: Literal["hmac"] = Field(description="The sender signs the body with a shared secret.")
    header: HeaderName = Field("X-Hub-Signature-256", description="The header with the signature.")
    algorithm: Literal["sha256", "sha512"] = Field("sha256", description="The hash under the HMAC.")
    prefix: str = Field("sha256=", description="What stands before the signature in the header.")
    encoding: Literal["hex", "base64"] = Field("hex", description="How the signature is written.")


class StandardWebhooksVerification(_SecretVerification):
    """Standard Webhooks: the headers webhook-id, webhook-timestamp and webhook-signature."""

    kind: Literal["standard-webhooks"] = Field(description="The sender follows standardwebhooks.com.")
    tolerance: Duration = Field(
        300.0, description="How far the sender's clock may be off, and how old a message may be."
    )


Verification = Annotated[
    BearerVerification | HmacVerification | StandardWebhooksVerification, Field(discriminator="kind")
]


class WebhookConfig(_Options):
    """A source that is called: ``POST /v1/webhooks/ADAPTER`` on the gateway."""

    verify: Verification = Field(description="How the sender proves itself.")
    id_header: HeaderName = Field(
        "Idempotency-Key",
        description="The header with the message's own id, if it comes; the same id again is a duplicate. "
        "Standard Webhooks always uses webhook-id.",
    )
    headers: list[HeaderName] = Field(
        default=["X-Request-Id", "X-Correlation-Id", "Traceparent"],
        max_length=32,
        description="Headers that expressions may use, as message['header.x-request-id'].",
    )
    content_types: list[str] = Field(
        default=[], description="Accepted media types, such as application/json; default: any."
    )
    max_body: Size = Field(10_000_000, gt=0, description="The largest body.")


class Cursor(_Options):
    """Where the last poll ended, kept with what it brought."""

    query: str = Field(min_length=1, description="The query parameter that takes the cursor.")
    from_: ItemExpression = Field(
        alias="from",
        description="CEL over payload (a page) and item (its last element): the cursor after that page. "
        "The server must give the oldest first; empty or missing keeps the cursor as it is.",
    )
    initial: str | None = Field(None, description="The first cursor; default: the parameter is left out.")


class PollConfig(_Options):
    """A source that asks again and again."""

    path: str = Field("", description="Path under url.")
    every: Duration = Field(60.0, ge=0.1, description="From the start of one poll to the next, ± 10 %.")
    method: Literal["GET", "POST"] = Field("GET", description="POST is for searches; it must change nothing.")
    query: dict[str, str] = Field(default={}, description="Query parameters.")
    body: Any = Field(None, description="JSON body of a POST.")
    items: AnswerExpression | None = Field(
        None,
        description="CEL over payload that gives a list: every element becomes a message. "
        "A plain path (payload.value) keeps the elements' bytes. Default: the whole body is one message.",
    )
    id: ItemExpression | None = Field(
        None,
        description="CEL over item and payload: the element's identity with its version. "
        "Default: a hash of the content, so that a change is a new message.",
    )
    next: AnswerExpression | None = Field(
        None,
        description="CEL over payload: the URL of the next page; default: the header Link with rel=next.",
    )
    cursor: Cursor | None = Field(None, description="Asks only for what is new.")
    max_pages: int = Field(
        100, ge=1, le=10_000, description="Pages per poll; the next poll goes on from there."
    )
    max_body: Size = Field(32_000_000, gt=0, description="The largest page, unpacked.")
    retry_max: Duration = Field(300.0, ge=1, description="The longest pause after failures.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.id is not None and self.items is None:
            raise ValueError("id needs items: it is evaluated for each element")
        if self.body is not None and self.method == "GET":
            raise ValueError("body needs method: POST")
        return self


class LookupConfig(_Options):
    """How the server is asked whether an attempt without an answer arrived."""

    path: LookupTemplate = Field(
        min_length=1,
        description="Path under url with CEL in braces over key (the idempotency key), event and data; "
        "values are percent-encoded. 404 means that it has not arrived.",
    )
    found: AnswerExpression | None = Field(
        None, description="CEL over payload (the answer's JSON): whether it has it; default: 200 is enough."
    )
    receipt: AnswerExpression | None = Field(
        None, description="CEL over payload: the server's own id for it."
    )


class RestConfig(_Options):
    """Options of ``kind: rest``: a source with ``webhook`` or ``poll``, and a sink for routes."""

    url: str | None = Field(
        None,
        description="Base URL, http or https; a webhook needs none. Redirects to other hosts are refused.",
    )
    token: HeaderSecretValue | None = Field(None, description="Bearer token, by reference.")
    basic: Basic | None = Field(None, description="User name and password.")
    header: HeaderSecret | None = Field(None, description="A secret in a header of the server's own.")
    headers: dict[HeaderName, str] = Field(
        default={}, description="Fixed headers of every request; no secrets."
    )
    tls: Tls = Field(default=Tls(), description="Certificates.")
    timeout: Duration = Field(
        30.0, gt=0, description="For a whole exchange, from connecting to the last byte."
    )
    connect_timeout: Duration = Field(10.0, gt=0, description="For name, TCP and TLS.")
    keep_alive: Duration = Field(
        4.0,
        description="Idle connections are closed after it; keep it below the server's own limit (often 5s).",
    )
    webhook: WebhookConfig | None = Field(None, description="Takes messages in through the gateway.")
    poll: PollConfig | None = Field(None, description="Takes messages in by asking.")
    concurrency: int = Field(16, ge=1, le=16, description="Requests at the same time, as a sink.")
    idempotency_header: HeaderName = Field(
        "Idempotency-Key", description="The header that carries a delivery's key, the same on every attempt."
    )
    lookup: LookupConfig | None = Field(
        None, description="Asked when an answer is missing; default: it is sent again under the same key."
    )

    @field_validator("url")
    @classmethod
    def _base(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url.strip())
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("write a full URL, such as https://erp.example.com/api")
        if parts.username is not None or parts.password is not None:
            raise ValueError("no credentials in the URL: use token, basic or header")
        if parts.query or parts.fragment:
            raise ValueError("no query or fragment in the base URL: they belong to the path")
        _ = parts.port  # raises ValueError when it is none
        return url.strip()

    @field_validator("headers")
    @classmethod
    def _fixed(cls, headers: dict[str, str]) -> dict[str, str]:
        return _sendable(headers)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if sum(auth is not None for auth in (self.token, self.basic, self.header)) > 1:
            raise ValueError("use one of token, basic and header")
        if self.webhook is not None and self.poll is not None:
            raise ValueError("webhook and poll are two sources: make two adapters")
        if self.url is None and self.webhook is None:
            raise ValueError("url is missing")
        return self

    @property
    def receives(self) -> bool:
        """Whether messages come in."""
        return self.webhook is not None or self.poll is not None

    @property
    def guarantees(self) -> Guarantees:
        """What HTTP can do with this source: only Standard Webhooks oblige the sender to give ids."""
        signed = self.webhook is None or self.webhook.verify.kind == "standard-webhooks"
        sender = "the sender repeats what it got no 2xx for" if self.webhook is not None else ""
        return Guarantees(redelivers=True, back_pressure=True, stable_ids=signed, while_=sender)

    @property
    def looks_up(self) -> bool:
        """Whether the server can be asked what has arrived."""
        return self.lookup is not None


class RestTarget(_Options):
    """What a route may set: text is a template over event and data."""

    path: str = Field("", description="Path under the adapter's url.")
    method: Literal["POST", "PUT", "PATCH", "DELETE"] = Field("POST", description="HTTP method.")
    headers: dict[HeaderName, str] = Field(
        default={}, description="Headers of this route's requests; no secrets."
    )
    success: list[Annotated[int, Field(ge=200, le=499)]] = Field(
        default=[], description="Status codes that mean it has arrived; default: 200 to 299, but for 207."
    )
    receipt: str | None = Field(
        None,
        pattern=f"^{_POINTER.pattern}$",
        description="JSON pointer to the server's own id in its answer; default: the header Location.",
    )

    @field_validator("headers")
    @classmethod
    def _own(cls, headers: dict[str, str]) -> dict[str, str]:
        return _sendable(headers)


def _sendable(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if name.lower() in _OURS:
            raise ValueError(f"{name} is set by the adapter")
        if value and not _VISIBLE.fullmatch(value):
            raise ValueError(f"{name} has characters that a header cannot carry")
    return headers
