"""Messages that a system pushes to the hub's webhook, signed, again and again until they are taken."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import aiohttp

from simulator.ledger import Fact, Ledger

__all__ = ["Outbox", "webhook_headers"]

_PUSH_S: Final = 10.0
_RETRY_S: Final = (0.2, 0.5, 1.0, 2.0)
_SETTLE_S: Final = 10.0


def webhook_headers(secret: str, message_id: str, body: bytes, at: int) -> dict[str, str]:
    """The headers of a Standard Webhooks message. ``secret``: ``whsec_`` and Base64; ``at``: Unix seconds."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = hmac.digest(key, f"{message_id}.{at}.".encode() + body, hashlib.sha256)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(at),
        "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
    }


class Outbox:
    """Sends in order; 2xx is safe. Until the hub is known everything waits."""

    def __init__(self, ledger: Ledger, *, adapter: str, secret: str) -> None:
        self._ledger, self._adapter, self._secret = ledger, adapter, secret
        self._waiting: deque[tuple[dict[str, Any], Fact]] = deque()
        self._filled, self._emptied = asyncio.Event(), asyncio.Event()
        self._emptied.set()
        self._hub_url: str | None = None
        self._session: aiohttp.ClientSession | None = None
        self._pusher: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Begins to send what there is."""
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_PUSH_S))
        self._pusher = asyncio.create_task(self._push(self._session))

    async def close(self) -> None:
        """What still waits is given up."""
        if self._pusher is not None:
            self._pusher.cancel()
            await asyncio.wait([self._pusher])
        if self._session is not None:
            await self._session.close()

    def hub_is_at(self, url: str) -> None:
        """Where messages are pushed to."""
        self._hub_url = url.rstrip("/")
        self._filled.set()

    def put(self, message: dict[str, Any], fact: Fact) -> None:
        """The message goes out when those before it are taken."""
        self._ledger.record_sent(fact)
        self._waiting.append((message, fact))
        self._emptied.clear()
        self._filled.set()

    async def emptied(self) -> None:
        """Returns when everything is taken, or after a while, or at once when there is no hub."""
        if self._hub_url is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(_SETTLE_S):
                    await self._emptied.wait()

    async def _push(self, session: aiohttp.ClientSession) -> None:
        failures = 0
        while True:
            if not self._waiting:
                self._emptied.set()
            if not self._waiting or self._hub_url is None:
                self._filled.clear()
                await self._filled.wait()
                continue
            message, fact = self._waiting[0]
            if await self._push_one(session, self._hub_url, message, fact):
                self._waiting.popleft()
                self._ledger.record_safe(fact)
                failures = 0
            else:
                await asyncio.sleep(_RETRY_S[min(failures, len(_RETRY_S) - 1)])
                failures += 1

    async def _push_one(
        self, session: aiohttp.ClientSession, hub_url: str, message: Mapping[str, Any], fact: Fact
    ) -> bool:
        body = json.dumps(message).encode()
        headers = webhook_headers(self._secret, f"op-{fact.key}", body, int(time.time()))
        headers["Content-Type"] = "application/json"
        url = f"{hub_url}/v1/webhooks/{self._adapter}"
        try:
            async with session.post(url, data=body, headers=headers) as response:
                await response.read()
                return 200 <= response.status < 300
        except (aiohttp.ClientError, TimeoutError):
            return False
