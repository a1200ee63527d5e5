"""The line to the broker: name look-up, TCP and TLS, and when the last byte came.

aio-pika asks a transport factory for its streams; with one of our own every failure has a name, the
silence of a broker is seen to the byte (aiormq itself waits three heartbeats), a connection that does
not end by itself can be cut off, what the library cannot read does no harm (``frames``), and confirms
are read at once (``confirms``).
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Iterable
from typing import Any, SupportsIndex

from aiormq.connection import TransportFactory
from yarl import URL

from adapters.amqp.config import AmqpOptions, TlsOptions
from adapters.amqp.confirms import Confirms
from adapters.amqp.frames import CONTENT_HEADER, legible
from canonical.errors import ConfigError, TransientError
from canonical.spec import Log

__all__ = ["Line", "tls_context"]

PEM = "-----BEGIN "
PIECES = 3
FRAME_TYPES = b"\x01\x02\x03\x08A"
"""AMQP 0-9-1, 4.2.3, and the A of AMQP, with which a server names the version that it wants."""
LARGEST_FRAME_BYTES = 16_777_216
"""RabbitMQ's own limit is 131,072 unless it is configured otherwise."""


class Line(TransportFactory):
    """Makes one connection's streams. ``last_byte_at`` is in the loop's time."""

    def __init__(self, options: AmqpOptions, tls: ssl.SSLContext | None, log: Log) -> None:
        self._host = options.host
        self._port = options.port
        self._tls = tls
        self._log = log
        self._transport: asyncio.Transport | None = None
        self.confirms = Confirms()
        self.last_byte_at = asyncio.get_running_loop().time()

    async def create(self, url: URL, **_: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connected streams. Raises TransientError(outage=True)."""
        loop = asyncio.get_running_loop()
        reader = _Reader(self)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        try:
            transport, _protocol = await loop.create_connection(
                lambda: protocol, self._host, self._port, ssl=self._tls
            )
        except OSError as error:
            raise _failure(f"{self._host}:{self._port}", error) from error
        self._transport = transport
        self.last_byte_at = loop.time()
        return reader, asyncio.StreamWriter(transport, protocol, reader, loop)

    def abort(self) -> None:
        """Closes at once, without a word and without sending what waits."""
        if self._transport is not None:
            self._transport.abort()

    def illegible(self) -> None:
        """Says that a message comes in without its properties."""
        self._log.warning(
            "amqp_properties_illegible",
            broker=f"{self._host}:{self._port}",
            effect="a message is taken in without its properties and headers",
            action="its sender must write text as UTF-8, and time stamps in seconds",
        )


class _Reader(asyncio.StreamReader):
    def __init__(self, line: Line) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(loop=loop)
        self._line = line
        self._pieces: list[bytes] = []
        self._time = loop.time

    def feed_data(self, data: Iterable[SupportsIndex]) -> None:
        now = self._line.last_byte_at = self._time()
        if rest := self._line.confirms.strip(bytes(data), now):
            super().feed_data(rest)

    async def readexactly(self, n: int) -> bytes:
        """aiormq asks for a frame's type, then for the rest of its head, then for its body with its end.

        Raises ConnectionError for what is no frame: its length could be anything.
        """
        if n > LARGEST_FRAME_BYTES:
            raise ConnectionError(f"a frame of {n} bytes was announced")
        piece = await super().readexactly(n)
        if not self._pieces and piece[0] not in FRAME_TYPES:
            raise ConnectionError("what answers is not AMQP 0-9-1")
        self._pieces.append(piece)
        if len(self._pieces) < PIECES:
            return piece
        kind, head, body = self._pieces
        self._pieces.clear()
        if kind[0] == CONTENT_HEADER and (mended := legible(kind + head + body)) is not None:
            self._line.illegible()
            return mended[-len(body) :]
        return piece


def _failure(address: str, error: OSError) -> TransientError:
    match error:
        case ssl.SSLCertVerificationError():
            code = "certificate_refused"
            text = (
                f"the certificate of {address} is not accepted: {error.verify_message}; "
                "check tls.ca, the host name in url, and the certificate's dates"
            )
        case ssl.SSLError():
            code, text = "tls_failed", f"TLS with {address} failed: {error.reason or error}"
        case socket.gaierror():
            code, text = "name_unknown", f"the name in {address} cannot be looked up: {error.strerror}"
        case ConnectionRefusedError():
            code, text = "connection_refused", f"{address} refuses the connection: no broker listens there"
        case _:
            code, text = "unreachable", f"{address} cannot be reached: {error}"
    return TransientError(text, code=code, outage=True)


def tls_context(options: AmqpOptions) -> ssl.SSLContext | None:
    """What an ``amqps://`` connection is verified with; None for ``amqp://``. Reads files.

    Certificate and host name are verified, TLS is at least 1.2. Raises ConfigError.
    """
    if not options.secure:
        return None
    tls = options.tls
    try:
        ca = _as_pem(tls.ca) if tls.ca is not None else None
        context = ssl.create_default_context(cadata=ca)
    except (OSError, ValueError) as error:
        raise ConfigError(f"tls.ca cannot be used: {error}", key="tls.ca") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load_own_certificate(context, tls)
    return context


def _load_own_certificate(context: ssl.SSLContext, tls: TlsOptions) -> None:
    if tls.certificate is None or tls.key is None:
        return
    try:
        pair = _as_pem(tls.certificate) + "\n" + _as_pem(tls.key.get_secret_value())
        descriptor = os.memfd_create("client-certificate")  # ssl reads files only; this one is on no disk
        try:
            os.write(descriptor, pair.encode())
            # Without a password function OpenSSL would ask on the terminal for an encrypted key.
            context.load_cert_chain(f"/proc/self/fd/{descriptor}", password=_no_password)
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as error:
        raise ConfigError(f"tls.certificate and tls.key cannot be used: {error}", key="tls.key") from error


def _as_pem(text_or_path: str) -> str:
    if PEM in text_or_path:
        return text_or_path
    with open(text_or_path, encoding="ascii") as file:  # noqa: PTH123 - a path of the operator's, once at start
        text = file.read()
    if PEM not in text:
        raise ValueError(f"{text_or_path} is not a PEM file")
    return text


def _no_password() -> str:
    raise ValueError("the key is encrypted; give an unencrypted one, by reference")
