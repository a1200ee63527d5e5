"""HTTP servers on loopback: one that a test tells what to answer, and one that sends any bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from ssl import SSLContext
from typing import Any
from zoneinfo import ZoneInfo

from aiohttp import web

from adapters.rest import SPEC
from adapters.rest.config import RestConfig
from adapters.rest.sink import HttpSink
from canonical.event import Event
from canonical.ports import Delivery, Sink, SinkOutcome
from canonical.spec import AdapterContext

__all__ = ["KEY", "Log", "Peer", "Request", "context", "delivery", "options", "raw_peer", "send", "sink"]

KEY = "idem-1"
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request as the server saw it."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


Answer = Callable[[Request], web.StreamResponse | Awaitable[web.StreamResponse]]


@dataclass(kw_only=True)
class Peer:
    """A server that answers as ``answer`` says and remembers every request."""

    answer: Answer = lambda _: web.Response()
    requests: list[Request] = field(default_factory=list)
    port: int = 0
    tls: SSLContext | None = None
    _runner: web.ServerRunner | None = None

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"{'https' if self.tls else 'http'}://{LOOPBACK}:{self.port}"

    async def start(self) -> None:
        """Listens; on the same port as the last time."""
        server = web.Server(self._handle)
        runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, LOOPBACK, self.port, ssl_context=self.tls)
        await site.start()
        self._runner = runner
        self.port = runner.addresses[0][1]

    async def stop(self) -> None:
        """Ends it with all its connections."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> Peer:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        seen = Request(method=request.method, target=request.path_qs, headers=request.headers, body=body)
        self.requests.append(seen)
        found = self.answer(seen)
        return found if isinstance(found, web.StreamResponse) else await found


@asynccontextmanager
async def raw_peer(
    handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[str]:
    """The base URL of a server that does to each connection what ``handle`` does."""

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handle(reader, writer)
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connection, LOOPBACK, 0)
    try:
        yield f"http://{LOOPBACK}:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


class Log:
    """Keeps what is logged, as (event, fields)."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, dict[str, Any]]] = []

    def _keep(self, event: str, **fields: Any) -> None:
        self.entries.append((event, fields))

    debug = info = warning = error = _keep

    @property
    def events(self) -> list[str]:
        """The names of what was logged, in order."""
        return [event for event, _ in self.entries]


def context(folder: Path = Path(), *, state: bytes | None = None, log: Log | None = None) -> AdapterContext:
    """What the hub gives to an adapter called ``erp``."""
    return AdapterContext(
        name="erp",
        source="/plants/aachen/adapters/erp",
        plant="aachen",
        partner=None,
        timezone=ZoneInfo("Europe/Berlin"),
        data_dir=folder,
        log=log or Log(),
        state=state,
    )


def options(**given: Any) -> RestConfig:
    """The adapter's options, with time-outs short enough for tests."""
    return RestConfig.model_validate({"timeout": "3s", "connect_timeout": "2s", **given})


def delivery(payload: bytes = b'{"qty": 3}', *, key: str = KEY, **target: Any) -> Delivery:
    """One delivery; ``target`` is what the route sets."""
    event = Event(
        id="e-1",
        source="/plants/aachen/lines/1",
        type="com.crossplant.procurement.asn.received.v1",
        correlationid="corr-7",
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        data={"asn": "DN/1 001", "lines": []},
    )
    return Delivery(
        event=event,
        payload=payload,
        content_type="application/json",
        key="k",
        idempotency_key=key,
        target=target,
    )


@asynccontextmanager
async def sink(settings: RestConfig, where: AdapterContext | None = None) -> AsyncIterator[HttpSink]:
    """An open sink, as the spec builds it."""
    assert SPEC.sink is not None
    made = SPEC.sink(settings, where or context())
    assert isinstance(made, HttpSink)
    await made.open()
    try:
        yield made
    finally:
        await made.close()


async def send(to: Sink, *deliveries: Delivery) -> SinkOutcome:
    """The outcome of the first delivery."""
    outcomes: Sequence[SinkOutcome] = await to.send(deliveries or [delivery()])
    return outcomes[0]
