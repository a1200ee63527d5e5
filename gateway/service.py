"""A hub as a service: its HTTP server and local socket around it, started and stopped in order.

Signals: SIGTERM and SIGINT drain and stop, a second one stops without draining; SIGHUP reads the
configuration anew, and keeps the present one when that is not sound.
"""

from __future__ import annotations

import asyncio
import errno
import signal
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, TypeVar

import structlog
import uvloop

from canonical.errors import ConfigError, CrossplantError
from canonical.spec import Log
from config.load import load
from config.model import Deployment, Tls
from gateway import serving
from gateway.app import build
from gateway.backedup import noting
from gateway.listening import listening
from gateway.runtime import Hub

__all__ = ["address", "in_loop", "listen", "run_hub", "serving_hub", "stopped_by_signals"]

T = TypeVar("T")
_BACKLOG: Final = 2048
_STOPPING: Final = (signal.SIGTERM, signal.SIGINT)


def in_loop(work: Coroutine[Any, Any, T]) -> T:
    """Runs it to its end on uvloop. Raises CrossplantError when a second signal cut it short."""
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(work)
    except asyncio.CancelledError as error:
        text = "stopped at once; what was taken in is on disk and goes on at the next start"
        raise CrossplantError(text, code="stopped") from error


def listen(bind: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises ConfigError."""
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            bind.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigError(f"gateway.bind: {bind} is no address of this machine: {error.strerror}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(where)
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            text = f"port {port} of {bind} is taken by another program: end that one, or choose another port"
        elif error.errno == errno.EACCES:
            text = f"port {port} needs rights that this user lacks: choose one from 1024 on"
        else:
            text = f"cannot listen on {bind}, port {port}: {error.strerror}"
        raise ConfigError(text, key="gateway.port") from error
    return listener


def address(listener: socket.socket, tls: Tls | None = None) -> str:
    """The URL under which people reach it."""
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return f"{'http' if tls is None else 'https'}://{shown}:{port}"


@asynccontextmanager
async def serving_hub(
    deployment: Deployment, data_dir: Path, listener: socket.socket, *, log: Log, path: Path | None = None
) -> AsyncIterator[Hub]:
    """A hub that takes messages in and answers on ``listener``, which is closed with it.

    ``path``: where the deployment was read, so that it can be read anew.

    Start: journal and routes, HTTP, then the sources. Stop: HTTP and the sources, then the routes
    deliver what is there, for a bounded time. Raises ConfigError.
    """
    async with AsyncExitStack() as stack:
        stack.callback(listener.close)
        hub = Hub(deployment, data_dir, log=log, path=path)
        stack.push_async_callback(hub.close)
        await hub.open()
        noted = noting(hub.journal, hub.audit.record)
        await stack.enter_async_context(listening(hub.keys, data_dir, noted))
        await stack.enter_async_context(_http(hub, listener))
        hub.start_sources()
        yield hub


@asynccontextmanager
async def _http(hub: Hub, listener: socket.socket) -> AsyncIterator[None]:
    """The HTTP server; it answers when the context is entered."""
    host, port = listener.getsockname()[:2]
    settings = hub.deployment.gateway
    server = serving.server(build(hub), host=host, port=port, tls=settings.tls, proxies=settings.proxies)
    task = asyncio.create_task(server.serve(sockets=[listener]), name="http")
    try:
        while not server.started:
            await asyncio.wait({task}, timeout=0.01)
            if task.done():
                task.result()
                raise CrossplantError("the HTTP server did not start")
        yield
    finally:
        server.should_exit = True
        await asyncio.gather(task, return_exceptions=True)


async def run_hub(path: Path, data_dir: Path, *, log: Log | None = None) -> None:
    """Runs the deployment at ``path`` until SIGTERM or SIGINT. Raises ConfigError for what cannot run."""
    log = log or structlog.get_logger()
    deployment = load(path)
    _make(data_dir)
    listener = listen(deployment.gateway.bind, deployment.gateway.port)
    url = address(listener, deployment.gateway.tls)
    with stopped_by_signals() as stop:
        async with serving_hub(deployment, data_dir, listener, log=log, path=path) as hub:
            with _on_signal(signal.SIGHUP, lambda: _reload(hub)):
                adapters, routes = len(deployment.adapters), len(deployment.routes)
                log.info("hub_ready", url=url, data=str(data_dir), adapters=adapters, routes=routes)
                await stop.wait()
                log.info("hub_stopping")
    log.info("hub_stopped")


def _make(data_dir: Path) -> None:
    """Raises ConfigError for what cannot be a folder."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ConfigError(f"--data {data_dir}: {error.strerror}") from error


async def _reload(hub: Hub) -> None:
    """Takes the configuration over if it is sound; why it is not stands in the log and the audit."""
    with suppress(CrossplantError):
        await hub.configuration.reload(by="SIGHUP")


@contextmanager
def stopped_by_signals() -> Iterator[asyncio.Event]:
    """An event that SIGTERM and SIGINT set; a second signal cancels the task that entered."""
    loop, owner, stop = asyncio.get_running_loop(), asyncio.current_task(), asyncio.Event()

    def told() -> None:
        if stop.is_set() and owner is not None:
            owner.cancel()
        stop.set()

    for number in _STOPPING:
        loop.add_signal_handler(number, told)
    try:
        yield stop
    finally:
        for number in _STOPPING:
            loop.remove_signal_handler(number)


@contextmanager
def _on_signal(number: signal.Signals, act: Callable[[], Coroutine[Any, Any, None]]) -> Iterator[None]:
    """Acts on the signal, one act after the other."""
    loop, acting = asyncio.get_running_loop(), set[asyncio.Task[None]]()

    def told() -> None:
        task = loop.create_task(act())
        acting.add(task)
        task.add_done_callback(acting.discard)

    loop.add_signal_handler(number, told)
    try:
        yield
    finally:
        loop.remove_signal_handler(number)
        for task in acting:
            task.cancel()
