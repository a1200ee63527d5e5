"""One connection to an SFTP server, behind one thread.

paramiko waits without a limit in several places (#462, #515, #1380), so every call has one here: when
nothing got on for so long, the socket is shut down, which ends whatever waits on it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Self, TypeVar

import paramiko

from adapters.sftp.client import Client
from adapters.sftp.config import SftpConfig
from adapters.sftp.faults import explain, is_answer
from adapters.sftp.login import log_in
from canonical.errors import CrossplantError
from canonical.exchange.worker import Worker

__all__ = ["Session"]

T = TypeVar("T")

_LEAVE_S = 1.0


class Session:
    """Usable until ``alive`` is false; then another one is needed."""

    def __init__(self, settings: SftpConfig, name: str, connection: socket.socket) -> None:
        self._settings, self._connection = settings, connection
        self._worker = Worker(f"sftp {name}")
        self._transport: paramiko.Transport | None = None
        self._client: Client | None = None
        self._over = False

    @classmethod
    async def connect(cls, settings: SftpConfig, key: paramiko.PKey | None, name: str) -> Self:
        """A session that is logged in. Raises Unauthorized, or TransientError with ``outage``."""
        try:
            async with asyncio.timeout(settings.connect_timeout):
                connection = await _dial(settings.host, settings.port)
        except OSError as error:
            raise explain(error, settings.url) from error
        session = cls(settings, name, connection)
        await session._log_in(key)
        return session

    @property
    def alive(self) -> bool:
        """Whether it may still work."""
        if self._over or self._transport is None or self._client is None:
            return False
        channel = self._client.get_channel()
        return self._transport.is_active() and channel is not None and not channel.closed

    def tick(self) -> None:
        """The call under way got on."""
        self._worker.progressed()

    async def run(self, work: Callable[[Client], T], path: str = "") -> T:
        """What ``work`` returns. Raises NotFound, Denied, or TransientError; the connection is over
        unless the server itself answered so. Cancelled, it ends the connection, too."""
        client = self._client
        assert client is not None
        try:
            return await self._worker.run(lambda: work(client), self._settings.timeout)
        except asyncio.CancelledError:
            self.abort()
            raise
        except Exception as error:
            alive = self.alive and (isinstance(error, CrossplantError) or is_answer(error))
            if not alive:
                self.abort()
            raise explain(error, self._settings.url, path=path, alive=alive) from error

    async def close(self) -> None:
        """Leaves, in an orderly way if the server lets us within a second."""
        if not self._over:
            with contextlib.suppress(Exception):
                await self._worker.run(self._leave, _LEAVE_S)
            self.abort()

    def abort(self) -> None:
        """Ends the connection at once; safe to call twice."""
        if self._over:
            return
        self._over = True
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._worker.close(self._dispose)

    async def _log_in(self, key: paramiko.PKey | None) -> None:
        def started(transport: paramiko.Transport) -> None:
            self._transport = transport

        try:
            self._client = await self._worker.run(
                lambda: log_in(self._connection, self._settings, key, started, self.tick),
                self._settings.connect_timeout,
            )
        except asyncio.CancelledError:
            self.abort()
            raise
        except Exception as error:
            self.abort()
            raise explain(error, self._settings.url) from error

    def _leave(self) -> None:
        if self._client is not None:
            self._client.close()
        self._dispose()

    def _dispose(self) -> None:
        if self._transport is not None:
            self._transport.close()
        self._connection.close()


async def _dial(host: str, port: int) -> socket.socket:
    """A connected socket, of the first address that answers. Raises OSError."""
    loop = asyncio.get_running_loop()
    failure: OSError = OSError(f"{host} has no address")
    for family, kind, protocol, _, address in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        connection = socket.socket(family, kind, protocol)
        connection.setblocking(False)
        try:
            await loop.sock_connect(connection, address)
        except OSError as error:
            connection.close()
            failure = error
        except asyncio.CancelledError:
            connection.close()
            raise
        else:
            return connection
    raise failure
