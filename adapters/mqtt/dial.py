"""From a name to a connected socket: look-up, TCP and TLS, nothing of it blocking the loop."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from functools import partial

from adapters.mqtt.config import MqttOptions, TlsOptions
from canonical.errors import ConfigError, TransientError

__all__ = ["dial", "tls_context"]

PEM = "-----BEGIN "


def tls_context(options: MqttOptions) -> ssl.SSLContext | None:
    """What a ``mqtts://`` connection is verified with; None for ``mqtt://``. Reads files.

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
        descriptor = os.memfd_create(
            "client-certificate"
        )  # ssl reads files only; this one is never on a disk
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


async def dial(host: str, port: int, context: ssl.SSLContext | None) -> socket.socket:
    """A connected, non-blocking socket, after the TLS handshake where there is a context.

    Every address of the name is tried. The caller sets the deadline. Raises TransientError(outage=True).
    """
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise _outage(
            "name_unknown", f"the name {host!r} cannot be looked up: {error.strerror or error}"
        ) from error
    last: OSError | None = None
    for family, kind, protocol, _, address in dict.fromkeys(found):
        plain = socket.socket(family, kind, protocol)
        try:
            plain.setblocking(False)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.sock_connect(plain, address)
            return await _secured(plain, host, context)
        except ssl.SSLError as error:
            plain.close()
            raise _tls_failure(host, port, error) from error
        except OSError as error:
            plain.close()
            last = error
        except BaseException:
            plain.close()
            raise
    code = "connection_refused" if isinstance(last, ConnectionRefusedError) else "unreachable"
    raise _outage(code, f"{host}:{port} cannot be reached: {last}") from last


async def _secured(plain: socket.socket, host: str, context: ssl.SSLContext | None) -> socket.socket:
    if context is None:
        return plain
    secure = context.wrap_socket(plain, server_hostname=host, do_handshake_on_connect=False)
    try:
        while True:
            try:
                secure.do_handshake()
                return secure
            except ssl.SSLWantReadError:
                await _ready(secure.fileno(), for_writing=False)
            except ssl.SSLWantWriteError:
                await _ready(secure.fileno(), for_writing=True)
    except BaseException:
        secure.close()
        raise


async def _ready(descriptor: int, *, for_writing: bool) -> None:
    """Waits until the socket can be read from, or written to."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    add, remove = (
        (loop.add_writer, loop.remove_writer) if for_writing else (loop.add_reader, loop.remove_reader)
    )
    add(descriptor, partial(_set, ready))
    try:
        await ready
    finally:
        remove(descriptor)


def _set(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


def _outage(code: str, message: str) -> TransientError:
    return TransientError(message, code=code, outage=True)


def _tls_failure(host: str, port: int, error: ssl.SSLError) -> TransientError:
    if isinstance(error, ssl.SSLCertVerificationError):
        return _outage(
            "certificate_refused",
            f"the certificate of {host}:{port} is not accepted: {error.verify_message}; "
            "check tls.ca, the host name in url, and the certificate's dates",
        )
    return _outage("tls_failed", f"TLS with {host}:{port} failed: {error.reason or error}")
