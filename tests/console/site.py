"""A hub with its console on loopback: a supplier that calls it, an ERP behind it, and people with keys."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from aiohttp import web

from gateway.keys import Role
from tests.gateway.hubs import Served, served
from tests.servers.ports import LOOPBACK
from tests.waiting import eventually

__all__ = ["REFUSED", "Erp", "Site", "csrf_of", "sections", "site_of"]

SECRET = "a-hook-secret-of-the-tests"
REFUSED = "DN-REFUSED"
"""The ERP refuses this ASN as long as ``Erp.refuses`` says so."""
TOKEN = re.compile(r'name="(?:token|csrf)" value="([^"]+)"')


class Erp:
    """Takes deliveries, and refuses one until it is told not to."""

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []
        self.lots: list[dict[str, Any]] = []
        self.closed: set[str] = set()
        """Orders for which no lot is taken."""
        self.refuses = True
        self.url = ""
        self._runner: web.AppRunner | None = None

    async def open(self) -> None:
        app = web.Application()
        app.router.add_post("/deliveries", self._take)
        app.router.add_post("/lots", self._take_lot)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, LOOPBACK, 0)
        await site.start()
        name: tuple[str, int] = self._runner.addresses[0]
        self.url = f"http://{LOOPBACK}:{name[1]}"

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.json()
        if body["delivery_note"] == REFUSED and self.refuses:
            return web.json_response({"title": "the delivery is closed"}, status=422)
        self.taken.append(body)
        return web.json_response({"number": f"50{len(self.taken):04d}"})

    async def _take_lot(self, request: web.Request) -> web.Response:
        body = await request.json()
        if body["order"] in self.closed:
            return web.json_response({"title": f"order {body['order']} is closed"}, status=422)
        self.lots.append(body)
        return web.json_response({"number": f"L{len(self.lots):03d}"})

    def notes(self) -> list[str]:
        """Delivery notes in the order in which they came."""
        return [str(body["delivery_note"]) for body in self.taken]


def sections(erp: str, lot: str = "data.lines[0].lot") -> dict[str, Any]:
    """The deployment's sections. ``lot``: what the quality system is told of a purchase order's line."""
    return {
        "partners": {"nordstahl": {"name": "Nordstahl"}},
        "adapters": {
            "nordstahl-hook": {
                "kind": "rest",
                "plant": "aachen",
                "codes": {"system": "nordstahl", "fields": ["data.lines[].item"]},
                "webhook": {"verify": {"kind": "bearer", "secret": SECRET}},
                "format": {
                    "kind": "json",
                    "events": [
                        {
                            "type": "procurement.asn.received",
                            "id": "payload.asn",
                            "data": {
                                "asn": "payload.asn",
                                "supplier": "'nordstahl'",
                                "ship_to": "'GOODS-IN'",
                                "lines": "payload.lines",
                                "shipped_at": "payload.at",
                                "eta": "payload.at",
                            },
                        }
                    ],
                },
            },
            "erp": {"kind": "rest", "url": erp, "timeout": "5s"},
            "qms": {"kind": "rest", "url": erp, "timeout": "5s"},
        },
        "routes": {
            "asn-to-erp": {
                "on": ["procurement.asn.received"],
                "from": "beginning",
                "map": {"delivery_note": "data.asn", "item": "data.lines[0].item"},
                "to": {"adapter": "erp", "path": "deliveries", "receipt": "/number"},
                "retry": {"first": "100ms", "max": "1s", "give_up_after": "5s"},
            },
            "lots-to-qms": {
                "on": ["procurement.asn.received"],
                "when": "has(data.lines[0].purchase_order)",
                "from": "beginning",
                "map": {"order": "data.lines[0].purchase_order", "lot": lot},
                "to": {"adapter": "qms", "path": "lots", "receipt": "/number"},
                "owner": "quality",
            },
        },
        "service_levels": {
            "inbound": {"domain": "procurement", "latency": "30s", "window": "1h"},
            "lots": {
                "domain": "procurement",
                "route": "lots-to-qms",
                "failed_rate": 0.2,
                "window": "1h",
                "owner": "quality",
            },
        },
    }


class Site:
    """The running hub, its ERP, and how the supplier calls."""

    def __init__(self, gate: Served, erp: Erp) -> None:
        self.gate, self.erp, self.hub = gate, erp, gate.hub
        self._clients: list[httpx.AsyncClient] = []

    @property
    def url(self) -> str:
        return self.gate.base

    async def send(self, asn: str, item: str = "X-1") -> int:
        """An ASN as the supplier sends it; its position."""
        body = {
            "asn": asn,
            "at": datetime.now(UTC).isoformat(),
            "lines": [{"item": item, "quantity": {"value": "5", "uom": "H87"}}],
        }
        return await self._post(body)

    async def send_unmapped(self, asn: str, order: str = "4500012345", **line: str) -> int:
        """An ASN for an order, of which the quality system needs a lot; its position."""
        body = {
            "asn": asn,
            "at": datetime.now(UTC).isoformat(),
            "lines": [
                {"item": "X-1", "quantity": {"value": "5", "uom": "H87"}, "purchase_order": order, **line}
            ],
        }
        return await self._post(body)

    async def send_rubbish(self) -> None:
        """A message that nobody can read."""
        client = await self.gate.client()
        await client.post(
            "/v1/webhooks/nordstahl-hook", content=b'{"asn": "DN-CUT', headers=_hook("application/json")
        )
        await self.letters(1)

    async def _post(self, body: dict[str, Any]) -> int:
        client = await self.gate.client()
        answer = await client.post(
            "/v1/webhooks/nordstahl-hook", json=body, headers=_hook("application/json")
        )
        assert answer.status_code == 202, answer.text
        result = answer.json()["results"][0]
        assert result["outcome"] == "accepted", result
        position: int = result["positions"][0]
        return position

    async def known(self, item: str = "X-1", canonical: str = "ITEM-1") -> None:
        """A crosswalk row."""
        client = await self.gate.client("admin")
        row = {"domain": "item", "system": "nordstahl", "value": item, "canonical": canonical}
        answer = await client.post("/v1/crosswalks", json=row)
        assert answer.status_code == 201, answer.text

    async def letters(self, number: int) -> list[dict[str, Any]]:
        """The open dead letters once there are so many."""
        client = await self.gate.client("viewer")

        async def listed() -> list[dict[str, Any]]:
            found = (await client.get("/v1/dead-letters?status=open")).json()["items"]
            return found if len(found) >= number else []

        await eventually(listed)
        return await listed()

    async def parked(self) -> None:
        """Returns once something is parked."""
        client = await self.gate.client("viewer")

        async def any_lane() -> bool:
            return bool((await client.get("/v1/lanes")).json()["items"])

        await eventually(any_lane)

    async def visitor(self, *roles: Role, **bounds: Any) -> httpx.AsyncClient:
        """A client without scripts that has logged in; it follows no redirects."""
        client = self.stranger()
        await self.login(client, await self.gate.key(*roles, **bounds))
        return client

    def stranger(self) -> httpx.AsyncClient:
        """One that has not."""
        client = httpx.AsyncClient(base_url=self.url)
        self._clients.append(client)
        return client

    @staticmethod
    async def login(client: httpx.AsyncClient, key: str, **more: str) -> httpx.Response:
        """Sends the login form."""
        token = TOKEN.search((await client.get("/login")).text)
        assert token is not None
        return await client.post("/login", data={"token": token[1], "key": key, "next": "/", **more})

    async def close(self) -> None:
        for client in self._clients:
            await client.aclose()
        await self.erp.close()


def csrf_of(page: str) -> str:
    """The token of a page's forms."""
    found = TOKEN.search(page)
    assert found is not None
    return found[1]


def _hook(content_type: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {SECRET}", "Content-Type": content_type}


@asynccontextmanager
async def site_of(folder: Path, **more: Any) -> AsyncIterator[Site]:
    """All of it, running; ``more`` are sections of the deployment."""
    erp = Erp()
    await erp.open()
    async with served(folder, **{**sections(erp.url), **more}) as gate:
        site = Site(gate, erp)
        try:
            yield site
        finally:
            await site.close()
