"""The contract that every adapter keeps, for a folder of this machine.

There is no network, so the cases that put a hole into one are left out; a folder that is away stands
for a server that is. ``test_source.py`` has both in a folder's own terms.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from adapters.conformance import sink as sink_suite
from adapters.conformance import source as source_suite
from adapters.files import SPEC
from adapters.files.config import FilesConfig
from canonical.event import Event
from canonical.ports import Delivery, RawMessage, Sink, Source
from canonical.spec import AdapterContext

OF_A_NETWORK = {
    "absent_server_is_awaited",
    "black_hole_heals",
    "black_hole_is_a_value_within_the_deadline",
    "cancelling_leaves_nothing",
}


class Peer:
    """A folder that is there or not; the proxy before nothing stays unused."""

    patience_s = 10.0

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.away = folder.with_name("away")
        self.server: asyncio.Server | None = None

    async def start_server(self) -> tuple[str, int]:
        if self.away.exists():
            self.away.rename(self.folder)
        return "127.0.0.1", 9

    async def stop_server(self) -> None:
        if self.folder.exists():
            self.folder.rename(self.away)

    def settings(self) -> FilesConfig:
        return FilesConfig.model_validate(
            {
                "path": str(self.folder),
                "max_backoff": "200ms",
                "pick_up": {"every": "200ms", "ready": {"kind": "renamed"}},
            }
        )


class Inbox(Peer):
    """Files are put by rename, their names in the order in which they are put."""

    guarantees = SPEC.guarantees
    count = 0

    def make_source(self, context: AdapterContext, host: str, port: int) -> Source:
        assert SPEC.source is not None
        return SPEC.source(self.settings(), context)

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
    """A receiver who looks into the folder."""

    traits = SPEC.traits

    def make_sink(self, context: AdapterContext, host: str, port: int) -> Sink:
        assert SPEC.sink is not None
        return SPEC.sink(self.settings(), context)

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


def local(cases: Sequence[Callable[..., object]]) -> list[Callable[..., object]]:
    return [case for case in cases if case.__name__ not in OF_A_NETWORK]


@pytest.mark.parametrize(
    "case",
    local(source_suite.cases(SPEC.guarantees, acknowledges_by_connection=False)),
    ids=lambda case: case.__name__,
)
async def test_source(case: source_suite.Case, folder: Path) -> None:
    await case(Inbox(folder))
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("case", local(sink_suite.cases()), ids=lambda case: case.__name__)
async def test_sink(case: sink_suite.Case, folder: Path) -> None:
    await case(Outbox(folder))


def test_the_cases_that_are_left_out_exist() -> None:
    every = [*source_suite.cases(SPEC.guarantees), *sink_suite.cases()]
    assert {case.__name__ for case in every} >= OF_A_NETWORK
