"""The HTTP client of one adapter: its session, its credentials, and what is known of a request's way."""

from __future__ import annotations

import asyncio
import base64
import re
import ssl
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from typing import Any

import aiohttp

from adapters.rest.config import RestConfig, Tls
from canonical.errors import ConfigError, Invalid, Stage

__all__ = ["Attempt", "address", "open_session", "reason", "redacted", "secrets"]

_USER_AGENT = "crossplant"
_ESCAPE = re.compile(
    r"^[^?]*?(?:^|[/\\])(?:\.|%2e){1,2}(?:[/\\?]|$)|[\x00-\x1f\x7f\ud800-\udfff]", re.IGNORECASE
)
_NAME_LIFE_S = 30  # a peer that moves to another address is found again within this


class Attempt:
    """How far one request of this task came, from now on. ``connected``: it may have been sent, in part or
    in whole."""

    __slots__ = ("connected",)

    def __init__(self) -> None:
        self.connected = False
        _present.set(self)


_present: ContextVar[Attempt] = ContextVar("_present")


class _Connector(aiohttp.TCPConnector):
    """Tells the attempt when it gets a connection. aiohttp's tracing would, too, at a fifth of a request."""

    async def connect(self, *arguments: Any, **options: Any) -> Any:
        connection = await super().connect(*arguments, **options)
        attempt = _present.get(None)
        if attempt is not None:
            attempt.connected = True
        return connection


async def open_session(settings: RestConfig) -> aiohttp.ClientSession:
    """A session with the adapter's credentials; an ``Attempt`` made before a request is told of its way.

    No cookies, no proxy or netrc of the environment, no unpacking (see ``body.read``). Its own limit
    on connections is off: who waits for one would use up the time meant for the exchange.
    Raises ConfigError for certificates that cannot be read.
    """
    context = await asyncio.to_thread(_tls_context, settings.tls)
    connector = _Connector(
        ssl=context, limit=0, keepalive_timeout=settings.keep_alive, ttl_dns_cache=_NAME_LIFE_S
    )
    return aiohttp.ClientSession(
        connector=connector,
        headers={"User-Agent": _USER_AGENT, "Accept": "application/json, */*;q=0.5", **_fixed(settings)},
        timeout=aiohttp.ClientTimeout(total=settings.timeout, sock_connect=settings.connect_timeout),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
    )


def _fixed(settings: RestConfig) -> Mapping[str, str]:
    headers = dict(settings.headers)
    if settings.token is not None:
        headers["Authorization"] = f"Bearer {settings.token.get_secret_value()}"
    elif settings.basic is not None:
        pair = f"{settings.basic.username}:{settings.basic.password.get_secret_value()}"
        headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    elif settings.header is not None:
        headers[settings.header.name] = settings.header.value.get_secret_value()
    return headers


def _tls_context(tls: Tls) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=tls.ca)
        if tls.certificate is not None and tls.key is not None:
            # An encrypted key would ask for its password on the terminal: the answer is always empty.
            context.load_cert_chain(tls.certificate, tls.key, password=lambda: "")
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        files = ", ".join(str(path) for path in (tls.ca, tls.certificate, tls.key) if path)
        raise ConfigError(f"cannot read the certificates ({files}): {error}", key="tls") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def address(url: str, path: str) -> str:
    """``path`` under the base ``url``; it can reach no other host.

    Raises Invalid for ``.`` and ``..`` segments and for what no URL can hold: parts of the path may
    come from a message.
    """
    if _ESCAPE.search(path):
        raise Invalid(f"the path {path!r} leaves its place", code="path", stage=Stage.SENDING)
    return f"{url.rstrip('/')}/{path.lstrip('/').replace('#', '%23')}" if path else url


def secrets(settings: RestConfig) -> list[bytes]:
    """What must not show up in errors and logs, even if the server quotes it."""
    found = [
        settings.token,
        settings.basic.password if settings.basic else None,
        settings.header.value if settings.header else None,
    ]
    return [secret.get_secret_value().encode() for secret in found if secret and secret.get_secret_value()]


def redacted(text: bytes, hidden: Sequence[bytes]) -> bytes:
    """``text`` with stars for every secret: some servers quote the request in their errors."""
    for secret in hidden:
        text = text.replace(secret, b"***")
    return text


def reason(error: BaseException) -> tuple[str, str]:
    """(code, text) of what went wrong on the network, for metrics and for people."""
    if isinstance(error, TimeoutError):
        return "timeout", "no answer in time"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "name_unknown", f"the host name {error.host!r} cannot be resolved"
    if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
        return "tls", f"TLS failed: {_cause(error)}"
    if isinstance(error, ConnectionRefusedError) or _refused(error):
        return "connection_refused", "the connection was refused"
    if isinstance(error, aiohttp.ClientConnectorError):
        return "unreachable", f"no connection: {_cause(error)}"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "cut_off", "the answer broke off"
    if isinstance(error, aiohttp.ClientResponseError):
        return "bad_answer", f"the answer is not HTTP: {error.message[:100]!r}"
    return "disconnected", f"the connection broke: {_cause(error)}"


def _refused(error: BaseException) -> bool:
    return isinstance(error, aiohttp.ClientConnectorError) and isinstance(
        error.os_error, ConnectionRefusedError
    )


def _cause(error: BaseException) -> str:
    """What the operating system or TLS said, in one line."""
    inner: BaseException = error
    if isinstance(error, aiohttp.ClientConnectorCertificateError):  # has no os_error before aiohttp 3.14
        inner = error.certificate_error
    elif isinstance(error, aiohttp.ClientConnectorError):
        inner = error.os_error
    return (str(inner) or type(inner).__name__).splitlines()[0][:200]
