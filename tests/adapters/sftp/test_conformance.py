"""The contract that every adapter keeps, against OpenSSH's server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from adapters.conformance import sink as sink_suite
from adapters.conformance import source as source_suite
from adapters.sftp import SPEC
from adapters.sftp.config import SftpConfig
from canonical.event import Event
from canonical.ports import Delivery, RawMessage, Sink, Source
from canonical.spec import AdapterContext
from tests.servers import OpenSsh, requires_server


class Peer:
    """What both harnesses share: a server whose folder is in the test's own."""

    patience_s = 15.0

    def __init__(self, server: OpenSsh) -> None:
        self.server = server
        self.folder = server.folder / "exchange"
        self.folder.mkdir()

    async def start_server(self) -> tuple[str, int]:
        if self.server.process.running is None:
            await asyncio.to_thread(self.server.start)
        return self.server.host, self.server.port

    async def stop_server(self) -> None:
        if self.server.process.running is not None:
            await asyncio.to_thread(self.server.kill9)

    def settings(self, port: int) -> SftpConfig:
        return SftpConfig.model_validate(
            {
                "url": self.server.url(self.folder, port),
                "host_key": self.server.host_key,
                "key": str(self.server.key_path),
                "connect_timeout": "3s",
                "timeout": "2s",
                "max_backoff": "1s",
                "pick_up": {"every": "200ms", "ready": {"kind": "renamed"}},
            }
        )


class Inbox(Peer):
    """Files are put by rename, their names in the order in which they are put."""

    guarantees = SPEC.guarantees
    count = 0

    def make_source(self, context: AdapterContext, host: str, port: int) -> Source:
        assert SPEC.source is not None
        return SPEC.source(self.settings(port), context)

    async def publish(self, count: int, size_bytes: int = 0) -> Sequence[str]:
        marks = [f"m{self.count + at:06}" for at in range(count)]
        self.count += count
        for mark in marks:
            part = self.folder / f"{mark}.part"
            part.write_bytes(mark.encode().ljust(size_bytes, b"."))
            part.rename(self.folder / f"{mark}.txt")
        return marks

    def mark(self, raw: RawMessage) -> str | None:
        return raw.body[:7].decode()


class Outbox(Peer):
    """A receiver who looks into the folder: complete files only, oldest first by name."""

    traits = SPEC.traits

    def make_sink(self, context: AdapterContext, host: str, port: int) -> Sink:
        assert SPEC.sink is not None
        return SPEC.sink(self.settings(port), context)

    def delivery(self, number: int, *, poison: bool = False) -> Delivery | None:
        return Delivery(
            event=Event(id=f"e-{number}", source="/test", type="test"),
            payload=f"i-{number}".encode(),
            content_type="text/plain",
            key=f"k-{number}",
            idempotency_key=f"i-{number}",
            target={"name": "../passwd" if poison else f"{number:06}.txt"},
        )

    async def received(self) -> Sequence[str]:
        return [path.read_text() for path in sorted(self.folder.glob("*.txt"))]


@pytest.fixture
def server(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[OpenSsh]:
    requires_server("sshd")
    server = OpenSsh.create(tmp_path / "sshd", port=free_port())
    yield server
    server.stop()


@pytest.mark.parametrize(
    "case",
    source_suite.cases(SPEC.guarantees, acknowledges_by_connection=False),
    ids=lambda case: case.__name__,
)
async def test_source(case: source_suite.Case, server: OpenSsh) -> None:
    await case(Inbox(server))


@pytest.mark.parametrize("case", sink_suite.cases(), ids=lambda case: case.__name__)
async def test_sink(case: sink_suite.Case, server: OpenSsh) -> None:
    await case(Outbox(server))
