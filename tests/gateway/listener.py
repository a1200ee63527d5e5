"""An adapter kind of the tests that listens on a port of its own, and cannot open where that is taken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

import pytest
from pydantic import BaseModel, ConfigDict

from canonical import spec
from canonical.event import new_id
from canonical.ports import Inbound, Outcome, RawMessage
from canonical.spec import AdapterContext, AdapterSpec
from tests.servers.ports import LOOPBACK

__all__ = ["install"]


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    port: int


class Listener:
    """Each line that comes is a message; it is answered ``ok`` once it is safe."""

    def __init__(self, options: Options, context: AdapterContext) -> None:
        self._port, self._name = options.port, context.name
        self._lines: asyncio.Queue[tuple[bytes, asyncio.StreamWriter] | None] = asyncio.Queue()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Raises OSError where the port is taken."""
        self._server = await asyncio.start_server(self._serve, LOOPBACK, self._port)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for line in reader:
            self._lines.put_nowait((line, writer))
        writer.close()

    async def receive(self) -> AsyncIterator[Inbound]:
        """Until it is closed."""
        while (came := await self._lines.get()) is not None:
            line, writer = came

            async def safe(_: Sequence[Outcome], writer: asyncio.StreamWriter = writer) -> None:
                writer.write(b"ok\n")

            raw = RawMessage(adapter=self._name, id=new_id(), body=line, received_at=datetime.now(UTC))
            yield Inbound(messages=[raw], ack=safe)

    async def close(self) -> None:
        """Gives the port back."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self._lines.put_nowait(None)


SPEC = AdapterSpec(kind="listener", summary="of the tests", config=Options, source=Listener)


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on the kind is installed beside the others."""
    others = spec.adapter_spec
    monkeypatch.setattr(spec, "adapter_spec", lambda kind: SPEC if kind == "listener" else others(kind))
