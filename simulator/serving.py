"""Small HTTP services on loopback: one per system of the company, each on a free port."""

from __future__ import annotations

import socket
from contextlib import suppress

from aiohttp import ClientConnectionResetError, web

__all__ = ["LOOPBACK", "Service", "free_port"]

LOOPBACK = "127.0.0.1"


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


class Service:
    """An aiohttp application that listens on loopback; ``port`` is known once it is open."""

    def __init__(self, app: web.Application) -> None:
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        self.port = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{LOOPBACK}:{self.port}"

    async def open(self) -> None:
        """Listens on a port that the system chooses."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, LOOPBACK, 0)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def close(self) -> None:
        """Stops listening and drops what is open; safe to call twice."""
        with suppress(ClientConnectionResetError):
            await self._runner.cleanup()
