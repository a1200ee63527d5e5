"""A weighing terminal as docs/examples/scale has it: it keeps records until they are acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from canonical.ports import RawMessage
from canonical.spec import AdapterContext
from crossplant_scale import SPEC
from crossplant_scale.config import ScaleOptions
from crossplant_scale.source import ScaleSource

__all__ = ["ScaleHarness", "Terminal"]


class Terminal:
    """Keeps its memory over restarts."""

    def __init__(self) -> None:
        self.memory: dict[str, str] = {}
        self.number = self.port = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._changed = asyncio.Condition()

    async def start(self) -> tuple[str, int]:
        """Listens, on the same port each time."""
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]
        return "127.0.0.1", self.port

    async def stop(self) -> None:
        """As if the plug were pulled; the memory stays."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._writers):
            writer.transport.abort()

    async def weigh(self, cells: str) -> str:
        """A record's number."""
        self.number += 1
        self.memory[str(self.number)] = f"{self.number};{cells}"
        async with self._changed:
            self._changed.notify_all()
        return str(self.number)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        writer.write(b"SCALE 4711\r\n")
        sending = asyncio.create_task(self._send(writer))
        try:
            while line := (await reader.readline()).split():
                if line[0] == b"ACK":
                    self.memory.pop(line[1].decode(), None)
                elif line[0] == b"PING":
                    writer.write(b"PONG\r\n")
        except OSError:
            pass
        finally:
            sending.cancel()
            self._writers.discard(writer)
            writer.close()

    async def _send(self, writer: asyncio.StreamWriter) -> None:
        sent = set[str]()
        while True:
            for number, record in list(self.memory.items()):
                if number not in sent and not writer.is_closing():
                    sent.add(number)
                    writer.write(f"REC {record}\r\n".encode())
                    await writer.drain()
            async with self._changed:
                if sent.issuperset(self.memory):
                    await self._changed.wait()


class ScaleHarness:
    """What the conformance suite needs to know. Implements ``adapters.conformance.harness.SourceHarness``."""

    guarantees = SPEC.guarantees
    patience_s = 60.0

    def __init__(self) -> None:
        self.terminal = Terminal()

    async def start_server(self) -> tuple[str, int]:
        return await self.terminal.start()

    async def stop_server(self) -> None:
        await self.terminal.stop()

    def make_source(self, context: AdapterContext, host: str, port: int) -> ScaleSource:
        quick = {"connect_timeout": "2s", "silence": "3s", "max_backoff": "300ms"}
        options = ScaleOptions.model_validate({"host": host, "port": port, **quick})
        return ScaleSource(options, context)

    async def publish(self, count: int, size_bytes: int = 0) -> Sequence[str]:
        return [
            await self.terminal.weigh(f"20260302111500;1.0;{'kg'.ljust(size_bytes)}") for _ in range(count)
        ]

    def mark(self, raw: RawMessage) -> str | None:
        return raw.id
