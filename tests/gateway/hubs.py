"""A real hub in a temporary folder, its API in process or on loopback, and keys for everybody."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from canonical import catalogue
from canonical.event import Event, new_id
from canonical.ports import Outcome, RawMessage
from canonical.spec import SinkTraits
from config.model import Deployment
from gateway import serving
from gateway.app import build
from gateway.hub import Hub as HubPort
from gateway.keys import NewKey, Role
from gateway.runtime import Hub
from router.engine import Engine
from router.journal import Message
from router.routes import Route
from tests.waiting import eventually

__all__ = [
    "BATCH",
    "HOOK_SECRET",
    "STRUCTURED",
    "Gate",
    "Served",
    "cloud_event",
    "opened",
    "order_data",
    "served",
]

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
HOOK_SECRET = "a-hook-secret-of-the-tests"
ORDER = "com.crossplant.production.order.created.v1"

_DEPLOYMENT: dict[str, Any] = {
    "company": "acme",
    "plants": {
        "aachen": {"name": "Aachen", "timezone": "Europe/Berlin"},
        "brno": {"name": "Brno", "timezone": "Europe/Prague"},
    },
    "adapters": {
        "mes": {
            "kind": "rest",
            "plant": "aachen",
            "format": {
                "kind": "json",
                "events": [
                    {
                        "type": "production.order.created",
                        "id": "payload.order",
                        "data": {
                            "order": "payload.order",
                            "item": "payload.item",
                            "quantity": {"value": "payload.quantity", "uom": "'H87'"},
                            "planned_start": "payload.at",
                            "planned_end": "payload.at",
                        },
                    }
                ],
            },
            "webhook": {"verify": {"kind": "bearer", "secret": HOOK_SECRET}},
        }
    },
}


def order_data(order: str = "O-1", **more: Any) -> dict[str, Any]:
    """Data of production.order.created."""
    return {
        "order": order,
        "item": "A-1",
        "quantity": {"value": "5", "uom": "H87"},
        "planned_start": "2026-03-31T10:00:00Z",
        "planned_end": "2026-03-31T12:00:00Z",
        **more,
    }


def cloud_event(identifier: str = "e-1", **more: Any) -> dict[str, Any]:
    """A valid event of plant aachen; ``more`` replaces attributes, None leaves them out."""
    made = {
        "specversion": "1.0",
        "id": identifier,
        "source": "/systems/planning",
        "type": ORDER,
        "plantid": "aachen",
        "data": order_data(),
        **more,
    }
    return {name: value for name, value in made.items() if value is not None}


class Gate:
    """A hub with its app, and clients with keys."""

    def __init__(self, hub: Hub, app: FastAPI) -> None:
        self.hub, self.app = hub, app
        self._keys: dict[object, str] = {}
        self._clients: list[httpx.AsyncClient] = []
        self.base = "http://hub"

    @property
    def port(self) -> HubPort:
        """The hub as the API sees it; mypy checks that the real one fits."""
        return self.hub

    async def key(
        self, *roles: Role, plants: Sequence[str] | None = None, domains: Sequence[str] | None = None
    ) -> str:
        """The text of a key, made once per combination."""
        what = (roles, None if plants is None else tuple(plants), None if domains is None else tuple(domains))
        if what not in self._keys:
            wanted = NewKey(
                name=f"test {len(self._keys)}",
                roles=roles,
                plants=None if plants is None else tuple(plants),
                domains=None if domains is None else tuple(domains),
            )
            self._keys[what] = (await self.hub.keys.create(wanted, by="test")).text
        return self._keys[what]

    async def client(
        self, *roles: Role, plants: Sequence[str] | None = None, domains: Sequence[str] | None = None
    ) -> httpx.AsyncClient:
        """A client with such a key; without roles, one without a key."""
        headers = {}
        if roles:
            headers["Authorization"] = f"Bearer {await self.key(*roles, plants=plants, domains=domains)}"
        client = httpx.AsyncClient(transport=self._transport(), base_url=self.base, headers=headers)
        self._clients.append(client)
        return client

    def _transport(self) -> httpx.AsyncBaseTransport | None:
        return httpx.ASGITransport(self.app)

    async def close(self) -> None:
        for client in self._clients:
            await client.aclose()

    # ── what tests do to a hub ──

    async def record(self, *events: Event) -> list[int]:
        """Records events as an adapter would; their positions."""
        messages = [
            Message(
                raw=RawMessage(
                    adapter="api",
                    id=new_id(),
                    body=b"{}",
                    received_at=event.recordedtime or datetime.now(UTC),
                ),
                events=[event],
            )
            for event in events
        ]
        outcomes: Sequence[Outcome] = await self.hub.ingest.record("api", messages)
        return [outcome.positions[0] for outcome in outcomes]

    async def route(self, route: Route, sink: Any, traits: SinkTraits = SinkTraits(concurrency=8)) -> Engine:  # noqa: B008 - frozen
        """A route with a sink that does as it is told."""
        return self.hub.routing.run(route, sink, traits, after=0)


def event(number: int, **more: Any) -> Event:
    """A recorded-looking event; ``number`` is its identity."""
    now = datetime.now(UTC)
    fields: dict[str, Any] = {
        "id": f"{number:06d}",
        "source": "/plants/aachen/adapters/mes",
        "type": ORDER,
        "time": now,
        "plantid": "aachen",
        "data": order_data(f"O-{number}"),
        **more,
    }
    fields.setdefault("domain", catalogue.get(fields["type"]).domain)
    return Event(**fields)


def deployment(**more: Any) -> Deployment:
    """The tests' deployment, its sections replaced by ``more``."""
    return Deployment.model_validate({**_DEPLOYMENT, **more})


@asynccontextmanager
async def opened(folder: Path, **sections: Any) -> AsyncIterator[Gate]:
    """A hub with its API in process."""
    hub = Hub(deployment(**sections), folder)
    await hub.open()
    hub.start_sources()
    gate = Gate(hub, build(hub))
    try:
        yield gate
    finally:
        await gate.close()
        await hub.close()


class Served(Gate):
    """The same behind a real server on loopback."""

    def __init__(self, hub: Hub, app: FastAPI, server: serving.Server) -> None:
        super().__init__(hub, app)
        self.server = server

    def listening(self) -> None:
        """Takes over where the server listens."""
        name = self.server.servers[0].sockets[0].getsockname()
        self.address: tuple[str, int] = (name[0], name[1])
        self.base = f"http://{name[0]}:{name[1]}"

    def _transport(self) -> None:
        return None


@asynccontextmanager
async def served(
    folder: Path, *, app_state: Mapping[str, Any] | None = None, **sections: Any
) -> AsyncIterator[Served]:
    """A hub with its API on loopback."""
    hub = Hub(deployment(**sections), folder)
    await hub.open()
    hub.start_sources()
    app = build(hub)
    for name, value in (app_state or {}).items():
        setattr(app.state, name, value)
    server = serving.server(app, host="127.0.0.1", port=0, proxies=hub.deployment.gateway.proxies)
    task = asyncio.create_task(server.serve())
    gate = Served(hub, app, server)
    try:
        await eventually(lambda: server.started)
        gate.listening()
        yield gate
    finally:
        await gate.close()
        server.should_exit = True
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait_for(task, 15)
        await hub.close()
