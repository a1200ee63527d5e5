"""A connection test, step by step: what each step did, what failed, and what to do about it.

An adapter kind brings its own steps by ``AdapterSpec.probe``, made of the parts here; without, its source or
sink is opened. Nothing is acknowledged, moved or written: what was seen comes again to the hub.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from fnmatch import fnmatchcase
from typing import Any, Final

from msgspec import Struct

from canonical.errors import ConfigError, CrossplantError
from canonical.exchange.folder import Denied, Folder, NotFound
from canonical.exchange.options import PickUp
from canonical.ports import RawMessage, Sink, Source
from canonical.spec import AdapterContext

__all__ = ["Step", "by_folder", "by_sink", "by_source", "reached"]

_LOGIN_S: Final = 15.0
_SAMPLE_S: Final = 10.0
_CLOSE_S: Final = 5.0
_LOOK_S: Final = 0.05
_SAMPLE_BYTES: Final = 16_000_000


class Step(Struct, frozen=True, kw_only=True):
    """One step. ``ok`` None: it could not be told, which is no failure. ``remedy`` says what to do about a
    failure; ``message`` is a sample that came in."""

    name: str
    ok: bool | None
    detail: str
    remedy: str = ""
    message: RawMessage | None = None


async def reached(
    host: str, port: int, tls: ssl.SSLContext | None, *, timeout_s: float = _LOGIN_S
) -> AsyncIterator[Step]:
    """Name, TCP, and TLS where there is a context; ends after the first step that fails."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout_s):
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError) as error:
        remedy = "check the host in url; `getent hosts` shows whether this machine's resolver knows it"
        yield Step(name="name", ok=False, detail=f"{host!r}: {_reason(error)}", remedy=remedy)
        return
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    yield Step(name="name", ok=True, detail=f"{host} is {', '.join(addresses)}")
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError) as error:
        yield Step(name="tcp", ok=False, detail=f"{host}:{port}: {_reason(error)}", remedy=_tcp_remedy(error))
        return
    peer = writer.get_extra_info("peername")
    await _ended(writer)
    yield Step(name="tcp", ok=True, detail=f"connected to {peer[0]} port {peer[1]}")
    if tls is not None:
        yield await _tls(host, port, tls, timeout_s)


async def _tls(host: str, port: int, tls: ssl.SSLContext, timeout_s: float) -> Step:
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(host, port, ssl=tls, server_hostname=host)
    except ssl.SSLCertVerificationError as error:
        remedy = (
            "name the authority's certificate in tls.ca; the host in url must be one of the certificate's"
        )
        return Step(name="tls", ok=False, detail=error.verify_message, remedy=remedy)
    except (OSError, TimeoutError) as error:
        remedy = "does this port speak TLS, 1.2 or later? does it ask for a client certificate?"
        return Step(name="tls", ok=False, detail=_reason(error), remedy=remedy)
    told = writer.get_extra_info("ssl_object")
    subject = dict(pair for entry in told.getpeercert().get("subject", ()) for pair in entry)
    until = told.getpeercert().get("notAfter", "")
    detail = f"{told.version()}, certificate of {subject.get('commonName') or host}, valid until {until}"
    await _ended(writer)
    return Step(name="tls", ok=True, detail=detail)


async def _ended(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(_CLOSE_S):
            await writer.wait_closed()


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError) and not error.args:
        return "no answer in time"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _tcp_remedy(error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there: is the server running, and is this its port?"
    if isinstance(error, TimeoutError):
        return "a firewall between here and there may drop it, or the host is off"
    return "check the route to it: `ip route get` with its address"


async def by_source(
    source: Source, context: AdapterContext, *, login_s: float = _LOGIN_S, sample_s: float = _SAMPLE_S
) -> AsyncIterator[Step]:
    """Opens the source, waits until it is connected, then for one message. It is not acknowledged."""
    try:
        step = await _opened(source, context, login_s)
        yield step
        if step.ok:
            yield await _sample(source, sample_s)
    finally:
        await _closed(source)


async def by_sink(sink: Sink, context: AdapterContext, *, login_s: float = _LOGIN_S) -> AsyncIterator[Step]:
    """Opens the sink and waits until it is connected. Nothing is sent."""
    try:
        yield await _opened(sink, context, login_s)
    finally:
        await _closed(sink)


async def _opened(side: Source | Sink, context: AdapterContext, login_s: float) -> Step:
    health = context.health
    try:
        async with asyncio.timeout(login_s):
            await side.open()
            while not health.connected:  # noqa: ASYNC110 - health is a fact to be read, nobody announces it
                await asyncio.sleep(_LOOK_S)
    except TimeoutError:
        if health.detail == "not started":
            return Step(name="login", ok=None, detail="it connects with the first delivery only")
        return Step(name="login", ok=False, detail=health.detail, remedy=_LOGIN_REMEDY)
    except CrossplantError as error:
        remedy = "mend the configuration" if isinstance(error, ConfigError) else _LOGIN_REMEDY
        return Step(name="login", ok=False, detail=error.message, remedy=remedy)
    return Step(name="login", ok=True, detail=health.detail)


_LOGIN_REMEDY: Final = (
    "check user, password, certificates and rights with whoever runs the server; its log tells its side"
)


async def _sample(source: Source, sample_s: float) -> Step:
    try:
        async with asyncio.timeout(sample_s):
            async with aclosing(source.receive()) as inbounds:  # type: ignore[type-var]  # a generator in practice
                async for inbound in inbounds:
                    if inbound.messages:
                        return _came(inbound.messages[0])
    except TimeoutError:
        pass
    except CrossplantError as error:
        return Step(name="sample", ok=False, detail=error.message, remedy=_LOGIN_REMEDY)
    text = f"nothing came within {sample_s:g} s; that may well be so"
    return Step(name="sample", ok=None, detail=text)


def _came(message: RawMessage) -> Step:
    known = ", ".join(f"{name} {value}" for name, value in message.attributes.items())
    detail = f"{len(message.body):,} bytes{f' ({known})' if known else ''}"
    return Step(name="sample", ok=True, detail=detail, message=message)


async def _closed(side: Source | Sink) -> None:
    with suppress(CrossplantError, TimeoutError, OSError):
        async with asyncio.timeout(_CLOSE_S):
            await side.close()


async def by_folder(
    folder: Folder, where: str, rules: PickUp, context: AdapterContext
) -> AsyncIterator[Step]:
    """Lists a folder, and reads its oldest file that matches; nothing is moved."""
    try:
        try:
            async with asyncio.timeout(_LOGIN_S):
                entries = [entry for entry in await folder.entries() if entry.kind == "file"]
        except (CrossplantError, TimeoutError) as error:
            yield Step(name="login", ok=False, detail=_told(error), remedy=_folder_remedy(error))
            return
        yield Step(name="login", ok=True, detail=f"{where} can be listed: {len(entries)} files")
        wanted = [entry for entry in entries if _takes(rules, entry.name)]
        wanted.sort(key=lambda entry: entry.mtime_ns)
        if not wanted:
            yield Step(name="sample", ok=None, detail="no file is there that `pick_up` would take")
            return
        first = wanted[0]
        try:
            async with asyncio.timeout(_SAMPLE_S):
                body = await folder.read(first.name, _SAMPLE_BYTES)
        except (CrossplantError, TimeoutError) as error:
            detail = f"{first.name}: {_told(error)}"
            yield Step(name="sample", ok=False, detail=detail, remedy=_folder_remedy(error))
            return
        attributes: dict[str, Any] = {"file": first.name, "folder": where, "size_bytes": first.size_bytes}
        yield _came(
            RawMessage(
                adapter=context.name,
                id=first.name,
                body=body,
                received_at=context.clock(),
                attributes=attributes,
            )
        )
    finally:
        with suppress(CrossplantError, TimeoutError):
            async with asyncio.timeout(_CLOSE_S):
                await folder.close()


def _takes(rules: PickUp, name: str) -> bool:
    ours, others = (
        any(fnmatchcase(name, pattern) for pattern in patterns) for patterns in (rules.match, rules.ignore)
    )
    return ours and not others


def _told(error: Exception) -> str:
    return error.message if isinstance(error, CrossplantError) else "no answer in time"


def _folder_remedy(error: Exception) -> str:
    match error:
        case NotFound():
            return "make the folder, or mend its path"
        case Denied():
            return "the hub's user needs the right to list, read and rename there"
        case _:
            return _LOGIN_REMEDY
