"""A hub as far as the simulator knows one: it shows what a test put in, and takes webhooks."""

from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

__all__ = ["KEY", "FakeHub", "event"]

KEY = "a-key"
_PAGE = 50


def event(adapter: str, suffix: str, data: Mapping[str, Any], id: str = "") -> dict[str, Any]:
    """A CloudEvent as the hub shows it."""
    return {
        "specversion": "1.0",
        "id": id or f"{suffix}-{sorted(data.items())}",
        "source": f"/plants/somewhere/adapters/{adapter}",
        "type": f"com.crossplant.{suffix}.v1",
        "data": dict(data),
    }


class FakeHub:
    """Events by position, oldest first, in pages of 50 joined by `Link` headers; refuses who has no key."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.dead_letters: list[dict[str, Any]] = []
        self.lanes: list[dict[str, Any]] = []
        self.webhooks: list[tuple[dict[str, str], bytes]] = []
        self.webhook_status = 202
        self.status = 200
        self.asked_after: list[int] = []
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def __aenter__(self) -> "FakeHub":
        app = web.Application()
        app.add_routes(
            [
                web.get("/v1/events", self._events),
                web.get("/v1/dead-letters", self._dead_letters),
                web.get("/v1/lanes", self._lanes),
                web.post("/v1/webhooks/{adapter}", self._webhook),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _events(self, request: web.Request) -> web.Response:
        self.asked_after.append(int(request.query["cursor"]))
        placed = [{"position": 10 * at, **one} for at, one in enumerate(self.events, start=1)]
        return self._page(request, placed, position=lambda one: int(one["position"]))

    async def _dead_letters(self, request: web.Request) -> web.Response:
        return self._page(request, self.dead_letters)

    async def _lanes(self, request: web.Request) -> web.Response:
        return self._page(request, self.lanes)

    async def _webhook(self, request: web.Request) -> web.Response:
        self.webhooks.append((dict(request.headers), await request.read()))
        return web.json_response({}, status=self.webhook_status)

    def _page(
        self,
        request: web.Request,
        entries: list[dict[str, Any]],
        position: Callable[[dict[str, Any]], int] | None = None,
    ) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            return web.json_response({"title": "no key"}, status=401)
        if self.status != 200:
            return web.json_response({"title": "away"}, status=self.status)
        after = int(request.query.get("cursor", "0"))
        places = [position(one) if position else at for at, one in enumerate(entries, start=1)]
        rest = [(place, one) for place, one in zip(places, entries, strict=True) if place > after]
        response = web.json_response({"items": [one for _, one in rest[:_PAGE]]})
        if len(rest) > _PAGE:
            following = request.rel_url.update_query(cursor=str(rest[_PAGE - 1][0]))
            response.headers["Link"] = f'<{following}>; rel="next"'
        return response
