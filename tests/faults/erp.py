"""An ERP over HTTP that has bad days: sick, silent, throttling, away. It remembers every document."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from aiohttp import web

from tests.faults.rig import Ledger
from tests.servers.ports import LOOPBACK

__all__ = ["Erp", "erp_at"]

Mood = Literal["well", "sick", "silent", "throttles"]


class Erp:
    """``mood``: well, or 500 for all, or no answer for all, or 429 with ``Retry-After`` for all."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.mood: Mood = "well"
        self.refuses: set[str] = set()
        """Orders whose documents are answered 500."""
        self.bad: set[str] = set()
        """Orders for which a whole batch is answered 422."""
        self.parts: set[str] = set()
        """Orders that a batch is answered 207 for: the others are taken."""
        self.batches: list[list[str]] = []
        """The orders of each batch that came, refused ones included."""
        self.asked_at_s: list[float] = []
        """When a document came while it throttled."""
        self.looked_up = 0
        self.retry_after_s = 1

    async def take(self, request: web.Request) -> web.Response:
        """POST /orders."""
        body = await request.json()
        match self.mood:
            case "sick":
                return web.Response(status=500, text="a fault of ours")
            case "silent":
                await asyncio.sleep(3600)
            case "throttles":
                self.asked_at_s.append(asyncio.get_running_loop().time())
                return web.Response(status=429, headers={"Retry-After": str(self.retry_after_s)})
            case "well":
                pass
        if body["order"] in self.refuses:
            return web.Response(status=500, text="a fault of this document")
        self.ledger.note(body, request.headers["Idempotency-Key"])
        return web.json_response({"ok": True})

    async def take_batch(self, request: web.Request) -> web.Response:
        """POST /batches: all of it or nothing, unless some of it is in ``parts``."""
        bodies = await request.json()
        self.batches.append([body["order"] for body in bodies])
        if self.bad & set(self.batches[-1]):
            return web.Response(status=422, text="one of them is wrong")
        for body in bodies:
            if body["order"] not in self.parts:
                self.ledger.note(body, request.headers["Idempotency-Key"])
        if self.parts & set(self.batches[-1]):
            return web.json_response([_told(body["order"] in self.parts) for body in bodies], status=207)
        return web.json_response({"ok": True})

    async def look_up(self, request: web.Request) -> web.Response:
        """GET /receipts/KEY."""
        self.looked_up += 1
        known = any(request.match_info["key"] in keys for keys in self.ledger.keys.values())
        return web.json_response({"known": known}, status=200 if known else 404)


def _told(refused: bool) -> dict[str, object]:
    return {"status": 422, "detail": "no such item"} if refused else {"status": 201}


class Site:
    """The ERP's server, which can be shut and opened again on its port."""

    def __init__(self, erp: Erp, port: int) -> None:
        self._erp, self._port = erp, port
        self._runner: web.AppRunner | None = None

    async def open(self) -> None:
        """Listens; nothing when it does so already."""
        if self._runner is not None:
            return
        app = web.Application()
        app.router.add_post("/orders", self._erp.take)
        app.router.add_post("/batches", self._erp.take_batch)
        app.router.add_get("/receipts/{key}", self._erp.look_up)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, LOOPBACK, self._port, reuse_address=True).start()

    async def shut(self) -> None:
        """New connections are refused, present ones end."""
        if self._runner is not None:
            await self._runner.cleanup()
        self._runner = None


@asynccontextmanager
async def erp_at(port: int) -> AsyncIterator[tuple[Erp, Site]]:
    """An ERP that listens on a port of loopback."""
    erp = Erp()
    site = Site(erp, port)
    await site.open()
    try:
        yield erp, site
    finally:
        await site.shut()
