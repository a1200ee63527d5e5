"""The MES of Aachen over HTTP: offers released orders and stock to who asks, pushes completed operations.

- ``GET /api/orders?since=N&limit=M`` with ``Authorization: Bearer …`` answers
  ``{"orders": […], "next": "N"}``, oldest first; ``since`` is the ``next`` of the answer before,
  empty at first. An order is ``{"seq", "order", "item", "qty", "unit", "start", "end", "work_centre",
  "released_at"}``.
- ``GET /api/stock`` likewise has ``{"seq", "count", "item", "storage", "qty", "unit", "counted_at"}``.
- A completed operation, ``{"order", "operation", "good", "scrap", "rework", "unit", "run_time_s",
  "completed_at"}``, goes to the hub's ``/v1/webhooks/aachen-mes``, signed by the Standard Webhooks
  specification, and is sent again until it is answered with 2xx.
"""

from __future__ import annotations

import asyncio
import hmac
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

from aiohttp import web

from simulator.feed import Feed
from simulator.ledger import Document, Fact, Ledger
from simulator.moments import Moments, rfc3339
from simulator.serving import Service
from simulator.shift import Shift
from simulator.stock import stock_document
from simulator.story import AACHEN_ITEMS, UNKNOWN_ITEM, Rhythm, is_unknown
from simulator.webhook import Outbox

__all__ = ["OPERATIONS", "ORDERS", "STOCK", "Mes"]

ORDERS: Final = "aachen-mes-orders"
"""The hub's adapter that polls orders."""
STOCK: Final = "aachen-mes-stock"
"""The hub's adapter that polls stock."""
OPERATIONS: Final = "aachen-mes"
"""The hub's adapter that is called."""
OPERATION: Final = "0010"
_FIRST_ORDER: Final = 100001
_WORK_CENTRES: Final = ("PRESS-1", "PRESS-2")


class Mes:
    """Releases orders while the shift runs. Offered is safe for orders and stock, 2xx for an operation.

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
        self._token = token
        self._on_release = on_release
        self._chance = random.Random(30)
        self._orders, self._stock = (Feed(ledger, name, first=moments.first) for name in ("orders", "stock"))
        self._outbox = Outbox(ledger, adapter=OPERATIONS, secret=webhook_secret)
        app = web.Application()
        app.add_routes([web.get("/api/orders", self._list), web.get("/api/stock", self._list)])
        self.service = Service(app)

    async def open(self) -> None:
        """Listens."""
        await self._outbox.open()
        await self.service.open()

    async def close(self) -> None:
        """Stops listening; what the outbox holds is given up."""
        await self.service.close()
        await self._outbox.close()

    def hub_is_at(self, url: str) -> None:
        """Where completed operations are pushed to."""
        self._outbox.hub_is_at(url)

    async def work(self, shift: Shift) -> None:
        """Releases and completes orders until the shift ends, then empties the outbox, within a bound."""
        if await shift.started():
            counting = asyncio.create_task(self._count_stock(shift))
            await self._release(shift)
            await counting
        await self._outbox.emptied()

    async def _list(self, request: web.Request) -> web.StreamResponse:
        given = request.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {self._token}".encode()):
            return web.json_response({"title": "the bearer token is missing or wrong"}, status=401)
        feed = self._orders if request.path.endswith("/orders") else self._stock
        return await feed.answer(request)

    # ── orders ──────────────────────────────────────────────────────────────────────────────────

    async def _release(self, shift: Shift) -> None:
        completions: list[asyncio.Task[None]] = []
        while await shift.pause(self._rhythm.order):
            index = len(self._orders)
            order = self._order(index)
            self._on_release(index, order["order"])
            self._orders.offer(order, _released(order))
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
            "order": f"AAC-{_FIRST_ORDER + index}",
            "item": item,
            "qty": str(self._chance.randint(2, 50) * 10),
            "unit": "H87",
            "start": rfc3339(start),
            "end": rfc3339(start + timedelta(hours=4)),
            "work_centre": _WORK_CENTRES[index % 2],
            "released_at": rfc3339(released),
        }

    # ── stock ───────────────────────────────────────────────────────────────────────────────────

    async def _count_stock(self, shift: Shift) -> None:
        while await shift.pause(self._rhythm.stock):
            for item in AACHEN_ITEMS:
                at = self._moments.next()
                count = f"AAC-CNT-{len(self._stock) + 1:06d}"
                counted = {
                    "count": count,
                    "item": item,
                    "storage": "FG-A1",
                    "qty": str(self._chance.randint(20, 400)),
                    "unit": "H87",
                    "counted_at": rfc3339(at),
                }
                fact = Fact(
                    adapter=STOCK,
                    protocol="rest",
                    format="json",
                    type="inventory.balance.reported",
                    key=f"{item}/{rfc3339(at)}",
                    at=at,
                    detail=f"stock of {item}, polled",
                    documents=(stock_document(count),),
                )
                self._stock.offer(counted, fact)

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
            documents=(Document(system="erp", kind="confirmations", reference=key),),
        )
        self._outbox.put(operation, fact)


def _released(order: dict[str, Any]) -> Fact:
    return Fact(
        adapter=ORDERS,
        protocol="rest",
        format="json",
        type="production.order.released",
        key=order["order"],
        at=datetime.fromisoformat(order["released_at"]),
        detail=f"order {order['order']} for {order['item']}, polled",
        documents=(Document(system="wms", kind="pick-lists", reference=order["order"]),),
    )
