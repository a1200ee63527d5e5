"""The MES of Aachen over HTTP: offers released orders to who asks, pushes completed operations.

- ``GET /api/orders?since=N&limit=M`` with ``Authorization: Bearer …`` answers
  ``{"orders": […], "next": "N"}``, oldest first; ``since`` is the ``next`` of the answer before,
  empty at first. An order is ``{"seq", "order", "item", "qty", "unit", "start", "end", "work_centre",
  "released_at"}``.
- A completed operation, ``{"order", "operation", "good", "scrap", "rework", "unit", "run_time_s",
  "completed_at"}``, goes to the hub's ``/v1/webhooks/aachen-mes``, signed by the Standard Webhooks
  specification, and is sent again until it is answered with 2xx.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import random
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Final

import aiohttp
from aiohttp import web

from simulator.ledger import Document, Fact, Ledger
from simulator.moments import Moments, rfc3339
from simulator.serving import Service
from simulator.shift import Shift
from simulator.story import AACHEN_ITEMS, UNKNOWN_ITEM, Rhythm, is_unknown

__all__ = ["OPERATIONS", "ORDERS", "Mes", "webhook_headers"]

ORDERS: Final = "aachen-mes-orders"
"""The hub's adapter that polls."""
OPERATIONS: Final = "aachen-mes"
"""The hub's adapter that is called."""
OPERATION: Final = "0010"
_FIRST_ORDER: Final = 100001
_WORK_CENTRES: Final = ("PRESS-1", "PRESS-2")
_PAGE: Final = 100
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


class Mes:
    """Releases orders while the shift runs. Offered is safe for an order, 2xx for an operation.

    ``on_release`` is told the index, from 0, and number of every order, before it is offered.
    """

    def __init__(
        self,
        ledger: Ledger,
        moments: Moments,
        rhythm: Rhythm,
        *,
        token: str,
        webhook_secret: str,
        on_release: Callable[[int, str], None] = lambda _index, _order: None,
    ) -> None:
        self._ledger, self._moments, self._rhythm = ledger, moments, rhythm
        self._token, self._webhook_secret = token, webhook_secret
        self._on_release = on_release
        self._chance = random.Random(30)
        self._orders: list[dict[str, Any]] = []
        self._offered = 0
        self._outbox: deque[tuple[dict[str, Any], Fact]] = deque()
        self._filled, self._emptied = asyncio.Event(), asyncio.Event()
        self._emptied.set()
        self._hub_url: str | None = None
        self._session: aiohttp.ClientSession | None = None
        app = web.Application()
        app.add_routes([web.get("/api/orders", self._list_orders)])
        self.service = Service(app)

    async def open(self) -> None:
        """Listens."""
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_PUSH_S))
        await self.service.open()

    async def close(self) -> None:
        """Stops listening; what the outbox holds is given up."""
        await self.service.close()
        if self._session is not None:
            await self._session.close()

    def hub_is_at(self, url: str) -> None:
        """Where completed operations are pushed to."""
        self._hub_url = url.rstrip("/")
        self._filled.set()

    async def work(self, shift: Shift) -> None:
        """Releases and completes orders until the shift ends, then empties the outbox, within a bound."""
        pusher = asyncio.create_task(self._push())
        try:
            if await shift.started():
                await self._release(shift)
            if self._hub_url is not None:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_SETTLE_S):
                        await self._emptied.wait()
        finally:
            pusher.cancel()
            await asyncio.wait([pusher])

    # ── orders ──────────────────────────────────────────────────────────────────────────────────

    async def _release(self, shift: Shift) -> None:
        completions: list[asyncio.Task[None]] = []
        while await shift.pause(self._rhythm.order):
            index = len(self._orders)
            order = self._order(index)
            self._on_release(index, order["order"])
            self._ledger.record_sent(self._released(order))
            self._orders.append(order)
            if is_unknown(index):
                self._ledger.on_purpose["unknown_item"] += 1
            else:
                completions.append(asyncio.create_task(self._complete(shift, order)))
            completions = [one for one in completions if not one.done()]
        if completions:
            await asyncio.wait(completions)

    def _order(self, index: int) -> dict[str, Any]:
        released = self._moments.next()
        start = released + timedelta(minutes=30)
        item = UNKNOWN_ITEM if is_unknown(index) else AACHEN_ITEMS[index % len(AACHEN_ITEMS)]
        return {
            "seq": index + 1,
            "order": f"AAC-{_FIRST_ORDER + index}",
            "item": item,
            "qty": str(self._chance.randint(2, 50) * 10),
            "unit": "H87",
            "start": rfc3339(start),
            "end": rfc3339(start + timedelta(hours=4)),
            "work_centre": _WORK_CENTRES[index % 2],
            "released_at": rfc3339(released),
        }

    @staticmethod
    def _released(order: dict[str, Any]) -> Fact:
        return Fact(
            adapter=ORDERS,
            protocol="rest",
            format="json",
            type="production.order.released",
            key=order["order"],
            at=datetime.fromisoformat(order["released_at"]),
            detail=f"order {order['order']} for {order['item']}, polled",
            document=Document(system="wms", kind="pick-lists", reference=order["order"]),
        )

    async def _list_orders(self, request: web.Request) -> web.StreamResponse:
        given = request.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {self._token}".encode()):
            return web.json_response({"title": "the bearer token is missing or wrong"}, status=401)
        try:
            since = max(int(request.query.get("since") or "0"), 0)
            limit = min(max(int(request.query.get("limit") or _PAGE), 1), _PAGE)
        except ValueError:
            return web.json_response({"title": "since and limit are numbers"}, status=400)
        page = self._orders[since : since + limit]
        response = web.json_response({"orders": page, "next": str(since + len(page))})
        await response.prepare(request)
        await response.write_eof()
        self._book_offered(since + len(page))
        return response

    def _book_offered(self, until: int) -> None:
        for order in self._orders[self._offered : until]:
            self._ledger.record_safe(self._released(order))
        self._offered = max(self._offered, until)

    # ── operations ──────────────────────────────────────────────────────────────────────────────

    async def _complete(self, shift: Shift, order: dict[str, Any]) -> None:
        if not await shift.pause(self._rhythm.operation):
            return
        scrap = self._chance.choice((0, 0, 0, 1, 2))
        at = self._moments.next()
        operation = {
            "order": order["order"],
            "operation": OPERATION,
            "good": str(int(order["qty"]) - scrap),
            "scrap": str(scrap),
            "rework": "0",
            "unit": order["unit"],
            "run_time_s": self._chance.randint(600, 7200),
            "completed_at": rfc3339(at),
        }
        key = f"{order['order']}/{OPERATION}"
        fact = Fact(
            adapter=OPERATIONS,
            protocol="rest",
            format="json",
            type="production.operation.completed",
            key=key,
            at=at,
            detail=f"operation {key}, pushed by webhook",
            document=Document(system="erp", kind="confirmations", reference=key),
        )
        self._ledger.record_sent(fact)
        self._outbox.append((operation, fact))
        self._emptied.clear()
        self._filled.set()

    async def _push(self) -> None:
        """Sends the head of the outbox until it is answered with 2xx, then the next."""
        failures = 0
        while True:
            if not self._outbox:
                self._emptied.set()
            if not self._outbox or self._hub_url is None:
                self._filled.clear()
                await self._filled.wait()
                continue
            operation, fact = self._outbox[0]
            if await self._push_one(operation, fact):
                self._outbox.popleft()
                self._ledger.record_safe(fact)
                failures = 0
            else:
                await asyncio.sleep(_RETRY_S[min(failures, len(_RETRY_S) - 1)])
                failures += 1

    async def _push_one(self, operation: dict[str, Any], fact: Fact) -> bool:
        if self._session is None:
            return False
        body = json.dumps(operation).encode()
        headers = webhook_headers(self._webhook_secret, f"op-{fact.key}", body, int(time.time()))
        headers["Content-Type"] = "application/json"
        url = f"{self._hub_url}/v1/webhooks/{OPERATIONS}"
        try:
            async with self._session.post(url, data=body, headers=headers) as response:
                await response.read()
                return 200 <= response.status < 300
        except (aiohttp.ClientError, TimeoutError):
            return False
