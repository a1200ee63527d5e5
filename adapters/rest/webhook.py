"""The webhook source: the gateway owns the server, this says whether a request is taken and as what."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

from adapters.rest.config import RestConfig, StandardWebhooksVerification
from adapters.rest.verify import Verifier
from canonical.errors import ConfigError, Invalid
from canonical.event import new_id
from canonical.ports import Attribute, Inbound, RawMessage
from canonical.spec import AdapterContext

__all__ = ["WebhookSource"]

_LONGEST_ID = 255
_MOST_PARAMETERS = 32
_LONGEST_ATTRIBUTE = 1024


class WebhookSource:
    """Implements ``canonical.ports.Webhook``: messages come through ``accept``, never ``receive``."""

    def __init__(self, settings: RestConfig, context: AdapterContext) -> None:
        """Raises ConfigError for a secret that the kind of verification cannot use."""
        if settings.webhook is None:
            raise ConfigError("used as a webhook, so it needs webhook", key="webhook")
        self._settings, self._context = settings.webhook, context
        self._verifier = Verifier(settings.webhook.verify)
        self._carried = [name.lower() for name in settings.webhook.headers]
        self._types = {name.lower() for name in settings.webhook.content_types}
        self._closed = asyncio.Event()

    async def open(self) -> None:
        """Ready at once."""
        self._context.health.connected, self._context.health.detail = True, "waits to be called"

    async def receive(self) -> AsyncIterator[Inbound]:
        """Yields nothing, until ``close``."""
        await self._closed.wait()
        never: tuple[Inbound, ...] = ()
        for inbound in never:
            yield inbound

    async def close(self) -> None:
        """Ends ``receive``; safe to call twice."""
        self._closed.set()
        self._context.health.connected, self._context.health.detail = False, "closed"

    def accept(self, headers: Mapping[str, str], query: Mapping[str, str], body: bytes) -> RawMessage:
        """The message of a request whose sender proved itself.

        Raises Unauthorized (401), or Invalid with the code ``too_large`` (413), ``content_type``
        (415), ``empty``, ``id`` or ``parameters`` (400). Nothing of the secret is in either.
        """
        now = self._context.clock()
        named = {name.lower(): value for name, value in headers.items()}
        if len(body) > self._settings.max_body:
            raise Invalid(f"the body is larger than {self._settings.max_body} bytes", code="too_large")
        self._verifier.check(named, body, now)
        content_type = named.get("content-type", "")[:_LONGEST_ATTRIBUTE]
        if self._types and content_type.partition(";")[0].strip().lower() not in self._types:
            raise Invalid(f"the content type must be one of {sorted(self._types)}", code="content_type")
        if named.get("content-encoding", "identity").strip().lower() not in {"", "identity"}:
            raise Invalid(
                "packed bodies are not taken: send it without Content-Encoding", code="content_type"
            )
        if not body:
            raise Invalid("the body is empty", code="empty")
        self._context.health.last_good_at = now
        return RawMessage(
            adapter=self._context.name,
            id=self._id(named),
            body=body,
            received_at=now,
            content_type=content_type,
            attributes=self._attributes(named, query),
        )

    def _id(self, headers: Mapping[str, str]) -> str:
        """The sender's own id, where it gives one. A signed one goes before one that is not."""
        own = self._settings.id_header.lower()
        signed = isinstance(self._settings.verify, StandardWebhooksVerification)
        names = ("webhook-id", own) if signed else (own, "webhook-id")
        given = next((headers[name].strip() for name in names if headers.get(name, "").strip()), None)
        if given is None:
            return new_id()
        if len(given) > _LONGEST_ID or not (given.isascii() and given.isprintable()):
            raise Invalid(
                f"the message's id must be at most {_LONGEST_ID} printable ASCII characters", code="id"
            )
        return given

    def _attributes(self, headers: Mapping[str, str], query: Mapping[str, str]) -> dict[str, Attribute]:
        found: dict[str, Attribute] = {
            f"header.{name}": headers[name] for name in self._carried if name in headers
        }
        found.update((f"query.{name}", value) for name, value in query.items())
        if len(query) > _MOST_PARAMETERS or any(
            len(name) + len(str(value)) > _LONGEST_ATTRIBUTE for name, value in found.items()
        ):
            raise Invalid(
                f"at most {_MOST_PARAMETERS} query parameters, of {_LONGEST_ATTRIBUTE} characters each; "
                "headers likewise",
                code="parameters",
            )
        return found
