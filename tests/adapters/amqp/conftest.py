"""What the AMQP tests share: a stand-in for the hub whose log can be read, quick options, a queue, a peer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from adapters.amqp.config import AmqpOptions
from adapters.conformance.hub import Hub
from canonical.spec import AdapterContext
from tests.adapters.amqp.peers import Peer, connected, unique
from tests.servers import RabbitMQ

MakeOptions = Callable[..., AmqpOptions]


class RecordingLog:
    """Keeps what is logged: (level, event, fields)."""

    def __init__(self) -> None:
        self.records: list[tuple[str, str, dict[str, Any]]] = []

    def debug(self, event: str, **fields: Any) -> None:
        self.records.append(("debug", event, fields))

    def info(self, event: str, **fields: Any) -> None:
        self.records.append(("info", event, fields))

    def warning(self, event: str, **fields: Any) -> None:
        self.records.append(("warning", event, fields))

    def error(self, event: str, **fields: Any) -> None:
        self.records.append(("error", event, fields))

    def count(self, event: str) -> int:
        """How often this was logged."""
        return sum(logged == event for _, logged, _ in self.records)


class LoggedHub(Hub):
    """The suite's hub; ``log`` holds what was logged in all its lives."""

    def __init__(self, data_dir: Path) -> None:
        self.log = RecordingLog()
        super().__init__(data_dir)

    def new_context(self) -> AdapterContext:
        context = super().new_context()
        context.log = self.log
        return context


@pytest.fixture
def hub(tmp_path: Path) -> LoggedHub:
    """A hub without a past."""
    return LoggedHub(tmp_path / "hub")


@pytest.fixture
def options() -> MakeOptions:
    """Options with short times; the first argument is host:port, the rest overrides."""

    def make(address: str, scheme: str = "amqp", **more: Any) -> AmqpOptions:
        quick = {"heartbeat": "1s", "connect_timeout": "3s", "publish_timeout": "3s", "max_backoff": "1s"}
        return AmqpOptions.model_validate({"url": f"{scheme}://{address}", **quick, **more})

    return make


@pytest.fixture
async def peer(rabbitmq: RabbitMQ) -> AsyncIterator[Peer]:
    """A connection of its own to the shared broker."""
    async with connected(rabbitmq) as found:
        yield found


@pytest.fixture
async def queue(peer: Peer) -> str:
    """An empty quorum queue of the test's own."""
    return await peer.make_queue(unique("queue"))
