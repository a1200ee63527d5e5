"""The control surface: how the demo and the tests steer the company and read its account."""

from __future__ import annotations

from typing import Any, Final

from aiohttp import web

from simulator.company import Company
from simulator.serving import Service

__all__ = ["control"]

_LONGEST_WAIT_S: Final = 120.0


def control(company: Company) -> Service:
    """A service with ``/_control/…`` and ``/_ledger``; see the README for each."""

    async def hub(request: web.Request) -> web.StreamResponse:
        told = await _told(request)
        url, key = told.get("url"), told.get("key")
        if (
            not isinstance(url, str)
            or not isinstance(key, str)
            or not url.startswith(("http://", "https://"))
        ):
            return _bad("url and key are needed: where the hub's HTTP API is, and a key for it")
        await company.hub_is(url, key)
        return _done()

    async def start_producing(_request: web.Request) -> web.StreamResponse:
        company.start_producing()
        return _done()

    async def stop_producing(_request: web.Request) -> web.StreamResponse:
        await company.stop_producing()
        return _done()

    async def drop_one(_request: web.Request) -> web.StreamResponse:
        company.floor.line.drop_one()
        return _done()

    async def ledger(request: web.Request) -> web.StreamResponse:
        try:
            wait_s = float(request.query.get("wait_s", "0"))
        except ValueError:
            return _bad("wait_s is a number of seconds")
        return web.json_response(await company.account(min(max(wait_s, 0.0), _LONGEST_WAIT_S)))

    app = web.Application()
    app.add_routes(
        [
            web.post("/_control/hub", hub),
            web.post("/_control/start-producing", start_producing),
            web.post("/_control/stop-producing", stop_producing),
            web.post("/_control/drop-one", drop_one),
            web.get("/_ledger", ledger),
        ]
    )
    return Service(app)


async def _told(request: web.Request) -> dict[str, Any]:
    try:
        body = await request.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _done() -> web.StreamResponse:
    return web.json_response({"ok": True})


def _bad(text: str) -> web.StreamResponse:
    return web.json_response({"title": text, "status": 400}, status=400)
