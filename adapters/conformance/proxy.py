"""A TCP proxy that does to a connection what networks do: holes, cuts, latency, narrow links.

It sits between a client and its real server on loopback; every fault is switched while it runs::

    async with FaultProxy("127.0.0.1", 1883) as proxy:
        client.connect(proxy.host, proxy.port)
        proxy.black_hole()
        …
        proxy.heal()
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import Coroutine, Sequence
from typing import Any, Literal, Self

__all__ = ["Direction", "FaultProxy"]

Direction = Literal["up", "down", "both"]
"""``up``: from the client to the server."""

CHUNK_BYTES = 65_536
QUEUED_CHUNKS = 16
RESET = struct.pack("ii", 1, 0)
LOOPBACK = "127.0.0.1"

_Way = asyncio.Queue[tuple[float, bytes]]
"""What is on its way in one direction, and when it is due; empty bytes end it."""


class FaultProxy:
    """Forwards TCP connections and can be told, at any time, to do it badly.

    ``connections``: how many were ever accepted. ``bytes_up``, ``bytes_down``: forwarded so far.
    Faults hold for present and later connections until ``heal``, except ``cut``, which is an event.
    """

    def __init__(self, host: str, port: int) -> None:
        self.target = (host, port)
        self.host = LOOPBACK
        self.port = 0
        self.connections = 0
        self.bytes_up = 0
        self.bytes_down = 0
        self.delay_s = 0.0
        self.rate_bytes_s = 0.0
        self._budget: int | None = None
        self._flowing = {"up": asyncio.Event(), "down": asyncio.Event()}
        self._links: set[_Link] = set()
        self._server: asyncio.Server | None = None
        self.heal()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def start(self) -> None:
        """Listens, on the port of last time if there was one."""
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, self.host, self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def refuse(self) -> None:
        """New connections are refused until ``start``; present ones go on."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def close(self) -> None:
        """Ends everything; safe to call twice."""
        await self.refuse()
        self.cut()
        while self._links:
            await asyncio.gather(*(link.done.wait() for link in self._links))

    @property
    def open_connections(self) -> int:
        """How many connections it holds now."""
        return len(self._links)

    def heal(self) -> None:
        """Forwards as it should: no hole, no latency, no limit. What a hole held back goes on its way."""
        self.delay_s = 0.0
        self.rate_bytes_s = 0.0
        self._budget = None
        for event in self._flowing.values():
            event.set()

    def black_hole(self, direction: Direction = "both") -> None:
        """Nothing passes and nobody is told: connections stay open, also those opened meanwhile.

        As with TCP's own retransmissions, what is sent into the hole waits and passes once it heals.
        """
        for name, event in self._flowing.items():
            if direction in (name, "both"):
                event.clear()

    def cut(self, *, reset: bool = True) -> None:
        """Ends every present connection at once, with RST, or with FIN when ``reset`` is false."""
        for link in list(self._links):
            link.end(reset=reset)

    def cut_after(self, size_bytes: int) -> None:
        """Resets all connections once so many more bytes have passed, both directions counted."""
        self._budget = size_bytes

    def delay(self, seconds: float) -> None:
        """Every byte arrives so much later; the throughput stays, up to 1 MB per delay."""
        self.delay_s = seconds

    def limit_rate(self, bytes_s: float) -> None:
        """At most so many bytes a second pass, per connection and direction."""
        self.rate_bytes_s = bytes_s

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        link = _Link(self, reader, writer)
        self._links.add(link)
        try:
            await link.run()
        finally:
            self._links.discard(link)

    async def _passing(self, name: Literal["up", "down"], data: bytes) -> bytes:
        """What of ``data`` may pass, before a cut; waits as long as a hole lasts."""
        await self._flowing[name].wait()
        if self._budget is not None:
            data = data[: self._budget]
            self._budget -= len(data)
        if name == "up":
            self.bytes_up += len(data)
        else:
            self.bytes_down += len(data)
        return data

    def _spent(self) -> bool:
        if self._budget is None or self._budget > 0:
            return False
        self._budget = None
        return True


class _Link:
    """One client's connection and its counterpart to the server."""

    def __init__(self, proxy: FaultProxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.proxy = proxy
        self.reader = reader
        self.writer = writer
        self.writers = [writer]
        self.over = asyncio.Event()
        self.done = asyncio.Event()

    def end(self, *, reset: bool) -> None:
        for writer in self.writers:
            if reset:
                _reset(writer)
            else:
                writer.close()
        self.over.set()

    async def run(self) -> None:
        try:
            server = await self._connected()
            if server is not None:
                await self._pump(*server)
        finally:
            self.end(reset=False)
            self.done.set()

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """The connection to the server; in a hole it is made once the hole heals."""
        await _first(self.proxy._flowing["up"].wait(), self.over.wait())
        if self.over.is_set():
            return None
        try:
            server = await asyncio.open_connection(*self.proxy.target)
        except OSError:
            self.end(reset=True)
            return None
        self.writers.append(server[1])
        return server

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Both directions, until one of them, or a cut, ends the connection."""
        up, down = _Way(maxsize=QUEUED_CHUNKS), _Way(maxsize=QUEUED_CHUNKS)
        readers = [
            asyncio.create_task(self._take(self.reader, up)),
            asyncio.create_task(self._take(reader, down)),
        ]
        try:
            await _first(
                self._give("up", up, writer), self._give("down", down, self.writer), self.over.wait()
            )
        finally:
            await _finished(readers)

    async def _take(self, reader: asyncio.StreamReader, way: _Way) -> None:
        """Reads on while what was read is still on its way, so that latency costs no throughput."""
        data = b"-"
        while data:
            try:
                data = await reader.read(self._chunk_bytes())
            except OSError:
                data = b""
            await way.put((time.monotonic() + self.proxy.delay_s, data))

    def _chunk_bytes(self) -> int:
        """Small pieces on a narrow link, so that it does not move in jumps."""
        rate = self.proxy.rate_bytes_s
        return CHUNK_BYTES if not rate else max(1, min(CHUNK_BYTES, int(rate / 20)))

    async def _give(self, name: Literal["up", "down"], way: _Way, writer: asyncio.StreamWriter) -> None:
        """Writes until the sender's end of stream, or until the connection is lost."""
        while True:
            due, data = await way.get()
            if (left_s := due - time.monotonic()) > 0:
                await asyncio.sleep(left_s)
            data = await self.proxy._passing(name, data)
            if data:
                try:
                    writer.write(data)
                    await writer.drain()
                except OSError:
                    return
            if self.proxy._spent():
                self.proxy.cut()
            if not data:
                return
            if self.proxy.rate_bytes_s:
                await asyncio.sleep(len(data) / self.proxy.rate_bytes_s)


async def _first(*waits: Coroutine[Any, Any, object]) -> None:
    """Runs them until the first is done, then cancels the rest."""
    tasks = [asyncio.create_task(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await _finished(tasks)


async def _finished(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _reset(writer: asyncio.StreamWriter) -> None:
    """RST instead of FIN: what is still on its way is thrown away."""
    if not writer.transport.is_closing():
        connection: socket.socket = writer.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()
