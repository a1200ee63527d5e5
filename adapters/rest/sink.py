"""The HTTP sink: one request per delivery, the same idempotency key on every attempt."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import aiohttp
from msgspec import Struct
from multidict import CIMultiDict
from pydantic import ValidationError
from yarl import URL

from adapters.rest.body import read_some
from adapters.rest.client import Attempt, address, open_session, reason, redacted, secrets
from adapters.rest.config import ANSWER_VARIABLES, LOOKUP_VARIABLES, RestConfig, RestTarget
from adapters.rest.outcome import judge, unanswered
from canonical import event
from canonical.errors import ConfigError, CrossplantError, Invalid, Stage, TransientError
from canonical.expression import Template, compile_expression
from canonical.jsontext import read_json
from canonical.ports import Accepted, Delivery, Failed, SinkOutcome
from canonical.spec import AdapterContext

__all__ = ["HttpSink"]

_ANSWER_BYTES = 262_144  # of an answer, for its receipt or its reason; a longer one is cut
_RECEIPT_CHARACTERS = 500
_MOST_ADDRESSES = 1000
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_NETWORK = (aiohttp.ClientError, OSError)  # TimeoutError is an OSError


class _Answer(Struct, frozen=True):
    status: int
    headers: Mapping[str, str]
    body: bytes


class HttpSink:
    """Delivers over HTTP; see ``outcome`` for what answers mean."""

    def __init__(self, settings: RestConfig, context: AdapterContext) -> None:
        """Raises ConfigError without a url."""
        if settings.url is None:
            raise ConfigError("a route delivers to this adapter, so it needs a url", key="url")
        self._settings = settings
        self._context = context
        self._url = settings.url
        self._secrets = secrets(settings)
        self._slots = asyncio.Semaphore(settings.concurrency)
        self._session: aiohttp.ClientSession | None = None
        self._last_target: tuple[dict[str, Any], RestTarget | None] = ({}, None)
        self._addresses: dict[str, URL] = {}

    async def open(self) -> None:
        """Makes the session; connects with the first delivery. Raises ConfigError for bad certificates."""
        self._session = await open_session(self._settings)
        self._health(True, "nothing sent yet")
        if self._secrets and self._url.startswith("http://"):
            self._context.log.warning("credentials_in_clear", adapter=self._context.name, url=self._url)

    async def send(self, deliveries: Sequence[Delivery]) -> Sequence[SinkOutcome]:
        """One outcome per delivery, in order. Failures are values; only cancellation is raised."""
        return [await self._deliver(delivery) for delivery in deliveries]

    async def close(self) -> None:
        """Closes idle connections; safe to call twice."""
        if self._session is not None:
            await self._session.close()
            self._session = None
        self._health(False, "closed")

    async def _deliver(self, delivery: Delivery) -> SinkOutcome:
        attempt = Attempt()
        try:
            target = self._target(delivery)
            answer = await self._exchange(
                target.method,
                self._address(target.path),
                self._headers(delivery, target),
                None if target.method == "DELETE" else delivery.payload,
            )
        except Invalid as error:
            return Failed(error)
        except _NETWORK as error:
            if not isinstance(error, aiohttp.InvalidURL):
                return self._broken(error, attempt)
            return Failed(_unsendable(error))
        except ValueError as error:
            return Failed(_unsendable(error))
        return self._judged(answer, target)

    async def _exchange(
        self, method: str, url: URL, headers: Mapping[str, str], body: bytes | None = None
    ) -> _Answer:
        """The answer with the start of its body, within the adapter's time-out."""
        if self._session is None:
            raise aiohttp.ClientConnectionError("the sink is closed")
        async with (
            self._slots,
            self._session.request(method, url, headers=headers, data=body, allow_redirects=False) as response,
        ):
            text = redacted(await read_some(response, _ANSWER_BYTES), self._secrets)
            return _Answer(response.status, response.headers, text)

    def _target(self, delivery: Delivery) -> RestTarget:
        """The route's options, expanded; mostly those of the delivery before. Raises Invalid."""
        given, target = self._last_target
        if target is None or given != delivery.target:
            target = _target(delivery)
            self._last_target = dict(delivery.target), target
        return target

    def _address(self, path: str) -> URL:
        """Where a request goes; mostly to where it went before. Raises Invalid, ValueError."""
        known = self._addresses.get(path)
        if known is None:
            if len(self._addresses) >= _MOST_ADDRESSES:
                self._addresses.clear()
            known = self._addresses[path] = URL(address(self._url, path))
        return known

    def _headers(self, delivery: Delivery, target: RestTarget) -> CIMultiDict[str]:
        headers = CIMultiDict({"Accept-Encoding": "identity"})
        if target.method != "DELETE" and delivery.content_type:
            headers["Content-Type"] = delivery.content_type
        if _TRACEPARENT.fullmatch(delivery.event.traceparent or ""):
            headers["Traceparent"] = str(delivery.event.traceparent)
        if delivery.event.correlationid and delivery.event.correlationid.isprintable():
            headers["X-Correlation-Id"] = delivery.event.correlationid
        for name, value in target.headers.items():
            headers[name] = value
        headers[self._settings.idempotency_header] = delivery.idempotency_key
        return headers

    def _judged(self, answer: _Answer, target: RestTarget) -> SinkOutcome:
        now = self._context.clock()
        outcome = judge(answer.status, answer.headers, answer.body, now=now, success=target.success)
        match outcome:
            case Accepted():
                self._health(True, "answers")
                self._context.health.last_good_at = now
                return Accepted(_receipt(answer, target))
            case Failed(error=error):
                outage = isinstance(error, TransientError) and error.outage
                self._health(not outage, error.message if outage else f"answers, lately {answer.status}")
                return outcome

    def _broken(self, error: BaseException, attempt: Attempt) -> SinkOutcome:
        code, text = reason(error)
        text = f"{text} ({self._url})"
        self._health(False, text)
        return unanswered(code, text, maybe_sent=attempt.connected)

    async def lookup(self, delivery: Delivery) -> Accepted | Failed | None:
        """Accepted when the server has it, None when it answers 404 or ``found`` is false.

        Without ``lookup`` None, too: nothing can be asked, and the key guards against a second effect.
        Failed with a TransientError: ask again later. Failed with a PermanentError: the answer says
        nothing, so the option is wrong.
        """
        if self._settings.lookup is None:
            return None
        try:
            Attempt()
            url = URL(address(self._url, self._lookup_path(delivery)))
            answer = await self._exchange("GET", url, {"Accept-Encoding": "identity"})
            return self._found(answer)
        except CrossplantError as error:
            return Failed(error)
        except _NETWORK as error:
            code, text = reason(error)
            return Failed(
                TransientError(f"lookup: {text} ({self._url})", code=code, outage=code != "timeout")
            )
        except ValueError as error:
            return Failed(_unsendable(error))

    def _lookup_path(self, delivery: Delivery) -> str:
        assert self._settings.lookup is not None
        values = {
            "key": delivery.idempotency_key,
            "event": event.to_json(delivery.event),
            "data": delivery.event.data,
        }
        return Template(self._settings.lookup.path, LOOKUP_VARIABLES).expand(_quoted(values))

    def _found(self, answer: _Answer) -> Accepted | Failed | None:
        """Raises Invalid for what is no JSON, ExpressionError for what ``found`` cannot read."""
        asked = self._settings.lookup
        assert asked is not None
        if answer.status in {404, 410}:
            return None
        outcome = judge(answer.status, answer.headers, answer.body, now=self._context.clock())
        if isinstance(outcome, Failed) or (asked.found is None and asked.receipt is None):
            return outcome
        values = {"payload": read_json(answer.body, exact=True)}
        if asked.found and not compile_expression(asked.found, ANSWER_VARIABLES).holds(values):
            return None
        if asked.receipt is None:
            return Accepted()
        return Accepted(_short(compile_expression(asked.receipt, ANSWER_VARIABLES).evaluate(values)))

    def _health(self, connected: bool, detail: str) -> None:
        self._context.health.connected, self._context.health.detail = connected, detail


def _quoted(value: Any) -> Any:
    """The value with all its text percent-encoded, so that none can change the meaning of a URL."""
    match value:
        case str():
            return quote(value, safe="")
        case dict():
            return {name: _quoted(entry) for name, entry in value.items()}
        case list():
            return [_quoted(entry) for entry in value]
        case _:
            return value


def _target(delivery: Delivery) -> RestTarget:
    """The route's options, expanded. Raises Invalid when a value of the message does not fit."""
    try:
        return RestTarget.model_validate(delivery.target)
    except ValidationError as error:
        wrong = [
            (".".join(map(str, entry["loc"])), entry["msg"]) for entry in error.errors(include_url=False)
        ]
        text = "; ".join(f"{where}: {what}" for where, what in wrong)
        raise Invalid(
            f"the route's target does not fit: {text}", code="target", stage=Stage.SENDING
        ) from error


def _unsendable(error: ValueError) -> Invalid:
    """aiohttp and yarl refuse what is no URL and no header: it came from the message."""
    return Invalid(f"no request can be made of it: {error}", code="request", stage=Stage.SENDING)


def _receipt(answer: _Answer, target: RestTarget) -> str:
    if target.receipt is None:
        return _short(answer.headers.get("Location", ""))
    try:
        value = read_json(answer.body, exact=True)
        for step in target.receipt.split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            value = value[int(name)] if isinstance(value, list) else value[name]
    except (Invalid, LookupError, TypeError, ValueError):
        return ""  # accepted all the same: the receipt is a convenience
    return _short(value)


def _short(value: Any) -> str:
    return "" if value is None else str(value)[:_RECEIPT_CHARACTERS]
