"""A signed webhook: Standard Webhooks headers, and no way into the private network unless it is allowed.

Source: Standard Webhooks, "Signature scheme" and "Server side request forgery". The address is looked at
where it is connected to, so a name that resolves to something else a moment later does not help.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
import socket
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from canonical.errors import PermanentError, TransientError
from config.exceptions import Hook

__all__ = ["post", "signature"]

_TIMEOUT_S: Final = 15.0
_PREFIX: Final = "whsec_"
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def signature(secret: str, identifier: str, at_s: int, body: bytes) -> str:
    """``v1,`` and base64 of the HMAC-SHA256 over ``id.timestamp.body``. Raises PermanentError for a secret
    that is none."""
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError) as error:
        raise PermanentError("the webhook's secret is not whsec_ and base64", code="secret") from error
    signed = hmac.digest(key, f"{identifier}.{at_s}.".encode() + body, hashlib.sha256)
    return "v1," + base64.b64encode(signed).decode()


def _private(address: str) -> bool:
    parsed = _within(ipaddress.ip_address(address.partition("%")[0]))
    return not parsed.is_global or parsed.is_multicast


def _within(address: _Address) -> _Address:
    """The IPv4 address that a network may make of an IPv6 one: mapped, by NAT64 (RFC 6052), by 6to4."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address


class _Public(AbstractResolver):
    """Resolves names, without the addresses that are not public."""

    def __init__(self) -> None:
        self._names = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = [each for each in await self._names.resolve(host, port, family) if not _private(each["host"])]
        if not found:
            raise OSError(None, f"{host} has no public address; allow_private lets it be called")
        return found

    async def close(self) -> None:
        await self._names.close()


async def post(hook: Hook, identifier: str, at_s: int, body: bytes) -> None:
    """Returns once the endpoint has answered with a 2xx; redirects are not followed.

    Raises TransientError, or PermanentError for what no repetition mends.
    """
    headers = {
        "content-type": "application/json",
        "webhook-id": identifier,
        "webhook-timestamp": str(at_s),
        "webhook-signature": signature(hook.secret.get_secret_value(), identifier, at_s, body),
    }
    options: dict[str, Any] = {}
    if not hook.allow_private:
        _refuse_literal(hook.url)
        options["connector"] = aiohttp.TCPConnector(resolver=_Public())
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, **options) as session,
            session.post(hook.url, data=body, headers=headers, allow_redirects=False) as answer,
        ):
            status = answer.status
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise TransientError(f"the webhook cannot be called: {error!r}", code="unreachable") from error
    if not 200 <= status < 300:
        raise TransientError(f"the webhook answered {status}", code=f"http_{status}")


def _refuse_literal(url: str) -> None:
    """A literal address is never resolved, so it is looked at here."""
    host = urlsplit(url).hostname or ""
    try:
        private = _private(host)
    except ValueError:
        return
    if private:
        text = f"{host} is no public address; allow_private lets it be called"
        raise PermanentError(text, code="private_address")
