"""The HTTP server: uvicorn, closed towards those who keep it waiting.

uvicorn itself waits for ever for the rest of a request's headers, for the first byte of a silent
socket, and for a reader that does not read (seen with 0.54). The deadlines here end all three; the
one for bodies is in ``gateway.limits``.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import uvicorn
from starlette.applications import Starlette

from canonical.errors import ConfigError
from config.model import Tls

if TYPE_CHECKING:
    from uvicorn.protocols.http.h11_impl import H11Protocol as HttpProtocol
    from uvicorn.protocols.http.h11_impl import RequestResponseCycle
else:  # the faster parser where it is installed
    from uvicorn.protocols.http.auto import AutoHTTPProtocol as HttpProtocol

__all__ = ["Guarded", "Server", "server"]

_CONNECTIONS = 1000
_HEADER_BYTES = 32_768
_KEEP_ALIVE_S = 20
_DRAIN_S = 5
_TIMED_OUT = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class Guarded(HttpProtocol):
    """uvicorn's protocol with deadlines for a request's headers and for a reader that stalls."""

    headers_s = 20.0
    """From the connection, or the end of the last answer, until the next request's headers are here."""
    stalled_s = 30.0
    """How long the peer may leave our answer unread."""

    _headers_due: asyncio.TimerHandle | None = None
    _stalled_due: asyncio.TimerHandle | None = None
    _begun = False
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        self._begun = True
        super().data_received(data)
        self._watch()
        if self._headers_due is not None:  # still no request
            self._head_bytes += len(data)
            if self._head_bytes > _HEADER_BYTES:
                self._refuse(_TOO_LARGE)

    def on_response_complete(self) -> None:
        self._begun, self._head_bytes = False, 0
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._headers_due, self._stalled_due = _cancel(self._headers_due), _cancel(self._stalled_due)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._stalled_due is None:
            self._stalled_due = self.loop.call_later(self.stalled_s, self._abort)

    def resume_writing(self) -> None:
        self._stalled_due = _cancel(self._stalled_due)
        super().resume_writing()

    def _watch(self) -> None:
        """The deadline runs while no request is being answered, and single bytes do not extend it."""
        cycle: RequestResponseCycle | None = self.cycle  # None before the first request
        if cycle is not None and not cycle.response_complete:
            self._headers_due = _cancel(self._headers_due)
        elif self._headers_due is None and not self.transport.is_closing():
            self._headers_due = self.loop.call_later(self.headers_s, self._headers_late)

    def _headers_late(self) -> None:
        self._headers_due = None
        self._refuse(_TIMED_OUT if self._begun else b"")

    def _refuse(self, answer: bytes) -> None:
        """Says so and closes; cuts the connection when the peer does not even read that."""
        if not self.transport.is_closing():
            self.transport.write(answer)
            self.transport.close()
            self._stalled_due = self._stalled_due or self.loop.call_later(self.stalled_s, self._abort)

    def _abort(self) -> None:
        self._stalled_due = None
        self.transport.abort()


def _cancel(timer: asyncio.TimerHandle | None) -> asyncio.TimerHandle | None:
    """Ends a timer; None, which takes its place."""
    if timer is not None:
        timer.cancel()
    return None


class Server(uvicorn.Server):
    """Serves until ``should_exit``; signals are its owner's business. Streams are told to end first."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def shutdown(self, sockets: list[Any] | None = None) -> None:
        app = self.config.app
        closing = getattr(app.state, "closing", None) if isinstance(app, Starlette) else None
        if closing is not None:
            closing.set()
        await super().shutdown(sockets)


def server(
    app: Starlette, *, host: str, port: int, tls: Tls | None = None, proxies: Sequence[str] = ()
) -> Server:
    """A server, not started: ``await server.serve()``. Raises ConfigError for a bad certificate.

    From ``proxies`` (addresses, networks) the caller's address and scheme are believed. From nobody else: a
    forged X-Forwarded-For would dodge the limit on failed proofs.
    """
    context = None if tls is None else _context(tls)
    settings = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=Guarded,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=list(proxies),
        server_header=False,
        limit_concurrency=_CONNECTIONS,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_DRAIN_S,
        h11_max_incomplete_event_size=_HEADER_BYTES,
        ssl_context_factory=None if context is None else lambda *_: context,
    )
    return Server(settings)


def _context(tls: Tls) -> ssl.SSLContext:
    """TLS 1.2 and later. The key is only ever in memory: OpenSSL reads files, so it gets one there."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        with _memory_file(tls.certificate) as chain, _memory_file(tls.key.get_secret_value()) as key:
            context.load_cert_chain(chain, key)
    except (ssl.SSLError, OSError) as error:
        raise ConfigError(
            f"the gateway's certificate and key do not work: {error}", key="gateway.tls"
        ) from error
    return context


@contextlib.contextmanager
def _memory_file(text: str) -> Iterator[str]:
    handle = os.memfd_create("crossplant-tls")
    try:
        os.write(handle, text.encode())
        yield f"/proc/self/fd/{handle}"
    finally:
        os.close(handle)
