"""The way in: one connection, records in the terminal's order, an acknowledgement after each commit.

The protocol: the terminal greets with ``SCALE serial``, then sends ``REC number;time;weight;unit`` for
each record in its memory. It keeps a record until it is told ``ACK number``, and sends what it still has
on the next connection. ``PING`` is answered by ``PONG``. Lines end with CR LF.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from functools import partial

from canonical.ports import Inbound, Outcome, RawMessage
from canonical.spec import AdapterContext
from crossplant_scale.config import ScaleOptions

__all__ = ["ScaleSource"]

FIRST_PAUSE_S = 0.25
WAITING = 100
"""Records that may wait for the hub; beyond that we do not read, and TCP holds the terminal back."""


class ScaleSource:
    """Records of one terminal. Implements ``canonical.ports.Source``."""

    def __init__(self, options: ScaleOptions, context: AdapterContext) -> None:
        self._options, self._context = options, context
        self._arrived: asyncio.Queue[Inbound | None] = asyncio.Queue(WAITING)
        self._running: asyncio.Task[None] | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._closed = False

    async def open(self) -> None:
        """Starts to connect, and returns at once: that the terminal is away is no reason not to start."""
        if self._running is None and not self._closed:
            self._running = asyncio.create_task(self._run(), name=f"scale {self._context.name}")

    async def receive(self) -> AsyncIterator[Inbound]:
        while not self._closed and (inbound := await self._arrived.get()) is not None:
            yield inbound

    async def close(self) -> None:
        """Ends the connection. What was not acknowledged the terminal still has."""
        self._closed = True
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])
        self._empty()
        self._arrived.put_nowait(None)

    async def _run(self) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                async for number, line in self._records():
                    pause_s = FIRST_PAUSE_S
                    await self._arrived.put(self._inbound(number, line))
            except (OSError, TimeoutError, ValueError) as error:
                self._context.health.detail = f"{self._options.host}: {str(error) or 'no answer'}"
                self._context.log.warning("scale_disconnected", reason=repr(error))
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, self._options.max_backoff)

    async def _records(self) -> AsyncIterator[tuple[str, bytes]]:
        """(number, line) of each record of one connection. Raises OSError, TimeoutError, ValueError."""
        reader, writer = await self._connected()
        pinging = asyncio.create_task(self._ping(writer))
        self._empty()  # the terminal sends these again; theirs is a connection that is gone
        self._writer = writer
        self._context.health.connected, self._context.health.detail = True, "connected"
        try:
            while line := await self._line(reader, self._options.silence):
                kind, _, record = line.partition(b" ")
                if kind == b"REC":
                    yield record.partition(b";")[0].decode("ascii"), record
        finally:
            self._writer = None
            self._context.health.connected = False
            pinging.cancel()
            writer.close()

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        async with asyncio.timeout(self._options.connect_timeout):
            reader, writer = await asyncio.open_connection(self._options.host, self._options.port)
            try:
                greeting = (await reader.readline()).split()
                if greeting[:1] != [b"SCALE"]:
                    raise ConnectionError(f"this is no scale: it said {greeting!r}")
            except BaseException:
                writer.close()
                raise
        return reader, writer

    async def _line(self, reader: asyncio.StreamReader, within_s: float) -> bytes:
        """The next line; nothing at the end of the stream."""
        async with asyncio.timeout(within_s):
            return (await reader.readline()).rstrip(b"\r\n")

    async def _ping(self, writer: asyncio.StreamWriter) -> None:
        """So that a connection that died without a word is noticed: whoever lives answers."""
        while True:
            await asyncio.sleep(self._options.silence / 3)
            with contextlib.suppress(OSError):
                writer.write(b"PING\r\n")

    def _inbound(self, number: str, line: bytes) -> Inbound:
        now = self._context.clock()
        self._context.health.last_good_at = now
        # The number is the identity: the same record has the same one when it comes again.
        raw = RawMessage(adapter=self._context.name, id=number, body=line, received_at=now)
        return Inbound(messages=[raw], ack=partial(self._acknowledge, self._writer, number))

    async def _acknowledge(
        self, writer: asyncio.StreamWriter | None, number: str, outcomes: Sequence[Outcome]
    ) -> None:
        """Called after the commit: whatever became of the record, it is safe with us."""
        if writer is None or writer is not self._writer:
            return  # the connection that brought it is gone: it comes again, and is a duplicate then
        with contextlib.suppress(OSError):
            writer.write(f"ACK {number}\r\n".encode())

    def _empty(self) -> None:
        while not self._arrived.empty():
            self._arrived.get_nowait()
