"""The gateway's HTTP API as the commands use it: on the standard library, so that a command starts fast."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

from canonical.errors import ConfigError, CrossplantError

__all__ = ["Client", "GatewayError"]

_CONNECT_S = 10.0
_ANSWER_S = 60.0
_QUIET_S = 90.0
_ANSWER_BYTES = 256_000_000
_PAGES = 10_000
_PART_BYTES = 65_536

Query = Mapping[str, str | int | None]


class GatewayError(CrossplantError):
    """The gateway did not do what it was asked; ``status`` is HTTP's, 0 when there was no answer."""

    code = "gateway"

    def __init__(self, message: str, *, status: int = 0) -> None:
        super().__init__(message, context={"status": status})
        self.status = status


class Client:
    """Asks one gateway with one key. Redirects are not followed: the key goes to this host only."""

    def __init__(self, url: str, key: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
            raise ConfigError(
                f"{url!r} is not the address of a gateway; write http://HOST:PORT or https://HOST"
            )
        self._url, self._secure, self._netloc = url.rstrip("/"), parts.scheme == "https", parts.netloc
        self._headers = {"Authorization": f"Bearer {key}", "Accept": "application/json"}

    def get(self, path: str, query: Query | None = None) -> Any:
        """The JSON value at ``path``. Raises GatewayError."""
        return self._json("GET", self._target(path, query), None)[0]

    def post(self, path: str, body: Any = None) -> Any:
        """What the gateway answers; None for an answer without content. Raises GatewayError."""
        return self._json("POST", self._target(path), {} if body is None else body)[0]

    def send(self, path: str, query: Query, content: bytes, content_type: str) -> Any:
        """What the gateway answers to a body that is no JSON. Raises GatewayError."""
        target, headers = self._target(path, query), {"Content-Type": content_type}
        return self._json("POST", target, content, headers)[0]

    def download(self, path: str, query: Query | None = None) -> Iterator[bytes]:
        """A body that is no JSON, part by part. Raises GatewayError."""
        with self._answer("GET", self._target(path, query), None, {}, quiet_s=_ANSWER_S) as answer:
            while part := answer.read(_PART_BYTES):
                yield part

    def items(self, path: str, query: Query | None = None, *, at_most: int | None = None) -> Iterator[Any]:
        """The items of a list, page after page along the ``Link`` headers. Raises GatewayError."""
        target: str | None = self._target(path, query)
        seen = 0
        for _ in range(_PAGES):
            if target is None:
                return
            page, target = self._json("GET", target, None)
            for item in page["items"] if isinstance(page, dict) else page:
                yield item
                seen += 1
                if seen == at_most:
                    return

    def stream(self, path: str, query: Query | None = None, *, after: str = "") -> Iterator[tuple[str, Any]]:
        """(id, data) of server-sent events until the gateway ends the stream. Raises GatewayError.

        Source: WHATWG HTML, 9.2.6. ``after`` is the id of the last one seen.
        """
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": after} if after else {})
        with self._answer("GET", self._target(path, query), None, headers, quiet_s=_QUIET_S) as answer:
            yield from _server_sent(answer)

    # ── one request ─────────────────────────────────────────────────────────────────────────────

    def _target(self, path: str, query: Query | None = None) -> str:
        base = urlsplit(self._url).path
        wanted = {name: value for name, value in (query or {}).items() if value is not None}
        return f"{base}{path}{'?' + urlencode(wanted) if wanted else ''}"

    def _json(
        self, method: str, target: str, body: Any, headers: Mapping[str, str] | None = None
    ) -> tuple[Any, str | None]:
        """(the answer's JSON, the target of the next page)."""
        with self._answer(method, target, body, headers or {}, quiet_s=_ANSWER_S) as answer:
            text = answer.read(_ANSWER_BYTES)
            following = _next(answer.getheader("Link") or "", target)
        try:
            return (json.loads(text) if text else None), following
        except ValueError as error:
            raise GatewayError(f"{self._url} is no gateway of Crossplant: its answer is no JSON") from error

    @contextmanager
    def _answer(
        self, method: str, target: str, body: Any, headers: Mapping[str, str], *, quiet_s: float
    ) -> Iterator[HTTPResponse]:
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        typed = {"Content-Type": "application/json"} if content is not None else {}
        connection = self._connection()
        try:
            connection.connect()
            connection.sock.settimeout(quiet_s)
            connection.request(method, target, content, {**self._headers, **typed, **headers})
            answer = connection.getresponse()
            if answer.status >= 300:
                raise _refusal(answer, method, target)
            yield answer
        except TimeoutError as error:
            raise GatewayError(f"{self._url} did not answer in time") from error
        except ConnectionRefusedError as error:
            raise GatewayError(
                f"no hub answers at {self._url} (connection refused): start one with "
                "`crossplant run --config PATH`, or say where it is with --url or CROSSPLANT_URL"
            ) from error
        except ssl.SSLCertVerificationError as error:
            raise GatewayError(
                f"the certificate of {self._url} is not trusted ({error.verify_message}): "
                "name its authority's PEM file in SSL_CERT_FILE"
            ) from error
        except (OSError, HTTPException) as error:
            raise GatewayError(f"{self._url} cannot be asked: {_reason(error)}") from error
        finally:
            connection.close()

    def _connection(self) -> HTTPConnection:
        if self._secure:
            return HTTPSConnection(self._netloc, timeout=_CONNECT_S, context=ssl.create_default_context())
        return HTTPConnection(self._netloc, timeout=_CONNECT_S)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _next(link: str, target: str) -> str | None:
    """The path and query of ``rel=next`` of a Link header (RFC 8288); its host is not heeded."""
    for entry in link.split(","):
        address, _, parameters = entry.strip().partition(">")
        if address.startswith("<") and 'rel="next"' in parameters.replace("rel=next", 'rel="next"'):
            parts = urlsplit(urljoin(target, address[1:]))
            return parts.path + (f"?{parts.query}" if parts.query else "")
    return None


def _refusal(answer: HTTPResponse, method: str, target: str) -> GatewayError:
    """The gateway's problem details (RFC 9457) as one message that says what to do."""
    try:
        problem = json.loads(answer.read(1_000_000))
    except (ValueError, OSError, HTTPException):
        problem = {}
    problem = problem if isinstance(problem, dict) else {}
    text = str(problem.get("detail") or problem.get("title") or answer.reason or "no reason given")
    faults = "".join(f"\n  {_fault(entry)}" for entry in problem.get("errors") or ())
    path = target.partition("?")[0]
    match answer.status:
        case 401:
            text = f"{text}: is CROSSPLANT_API_KEY (or --key-file) this hub's, not expired, not revoked?"
        case 403:
            text = f"the key may not do this: {text}"
        case status if status < 400:
            text = f"{method} {path} leads elsewhere; is --url complete?"
        case 404 | 409 | 422 | 429:
            pass
        case status:
            text = f"{method} {path}: {status} {text}"
    return GatewayError(text + faults, status=answer.status)


def _fault(entry: Any) -> str:
    if isinstance(entry, dict):
        return f"{entry.get('pointer', '')} {entry.get('detail', '')}".strip()
    return str(entry)


def _server_sent(answer: HTTPResponse) -> Iterator[tuple[str, Any]]:
    identifier, lines = "", list[str]()
    for raw in answer:
        line = raw.decode("utf-8", "replace").rstrip("\r\n")
        name, _, value = line.partition(":")
        if not line and lines:
            yield identifier, json.loads("\n".join(lines))
            lines = []
        elif name == "data":
            lines.append(value.removeprefix(" "))
        elif name == "id":
            identifier = value.removeprefix(" ")
