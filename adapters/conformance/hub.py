"""A stand-in for the hub: takes a source's batches, commits them in memory, acknowledges when told."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from canonical.ports import Inbound, Outcome, RawMessage, Source
from canonical.spec import AdapterContext

__all__ = ["Hub", "eventually", "expect", "leaves_nothing"]

PAUSE_S = 0.01
ACCEPTED = Outcome(status="accepted")


class Hub:
    """What one adapter sees of the hub, over several lives of the hub's process.

    ``committed`` are all messages that were taken, oldest first, with repeats.
    """

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.committed: list[RawMessage] = []
        self.batches: list[Inbound] = []
        self.state: bytes | None = None
        self.context = self.new_context()

    def new_context(self) -> AdapterContext:
        """The context of a fresh process: the same name, folder, state and history."""
        self.context = AdapterContext(
            name="conformance",
            source="/plants/test/adapters/conformance",
            plant="test",
            partner=None,
            timezone=ZoneInfo("Europe/Berlin"),
            data_dir=self.data_dir,
            log=_Log(),
            state=self.state,
            history=self._history,
        )
        return self.context

    async def _history(self, limit: int) -> Sequence[RawMessage]:
        return self.committed[-limit:]

    @asynccontextmanager
    async def runs(self, source: Source, *, acknowledges: bool = True) -> AsyncIterator[None]:
        """Opens the source and takes what it has until the block ends; then closes it."""
        await source.open()
        try:
            async with self.takes_from(source, acknowledges=acknowledges):
                yield
        finally:
            await source.close()

    @asynccontextmanager
    async def takes_from(self, source: Source, *, acknowledges: bool = True) -> AsyncIterator[None]:
        """Takes what an open source has until the block ends; raises what ``receive`` raised."""
        intake = asyncio.create_task(self._take(source, acknowledges=acknowledges))
        try:
            yield
        finally:
            intake.cancel()
            await asyncio.wait([intake])
        if not intake.cancelled() and (failure := intake.exception()):
            raise failure

    async def _take(self, source: Source, *, acknowledges: bool) -> None:
        async for inbound in source.receive():
            self.commit(inbound)
            if acknowledges:
                await inbound.ack([ACCEPTED] * len(inbound.messages))

    def commit(self, inbound: Inbound) -> None:
        """Keeps the batch and the state that came with it, without acknowledging."""
        self.batches.append(inbound)
        self.committed.extend(inbound.messages)
        if inbound.state is not None:
            self.state = inbound.state


class _Log:
    """The hub's structured log, into the standard library's."""

    def __init__(self) -> None:
        self._logger = logging.getLogger("crossplant.conformance")

    def debug(self, event: str, **fields: Any) -> None:
        self._logger.debug("%s %s", event, fields)

    def info(self, event: str, **fields: Any) -> None:
        self._logger.info("%s %s", event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        self._logger.warning("%s %s", event, fields)

    def error(self, event: str, **fields: Any) -> None:
        self._logger.error("%s %s", event, fields)


def expect(holds: object, otherwise: str) -> None:
    """Raises AssertionError with ``otherwise``; also where Python runs with assertions switched off."""
    if not holds:
        raise AssertionError(otherwise)


async def eventually(
    holds: Callable[[], object | Awaitable[object]], within_s: float, what: str | Callable[[], str]
) -> None:
    """Returns once ``holds`` is true; AssertionError saying ``what`` was awaited, after ``within_s``."""
    try:
        async with asyncio.timeout(within_s):
            while True:
                held = holds()
                if await held if inspect.isawaitable(held) else held:
                    return
                await asyncio.sleep(PAUSE_S)
    except TimeoutError:
        text = what if isinstance(what, str) else what()
        raise AssertionError(f"not within {within_s:g} s: {text}") from None


@asynccontextmanager
async def leaves_nothing(within_s: float) -> AsyncIterator[None]:
    """What the block starts, tasks and threads, must have ended ``within_s`` after it."""
    tasks, threads = asyncio.all_tasks(), set(threading.enumerate())
    yield

    def left() -> list[object]:
        new = [task for task in asyncio.all_tasks() - tasks if not task.done()]
        return [*new, *(thread for thread in _own_threads() if thread not in threads)]

    await eventually(lambda: not left(), within_s, lambda: f"everything has ended; still there: {left()}")


def _own_threads() -> list[threading.Thread]:
    """All threads but those of the loop's default executor, which stay for reuse."""
    return [thread for thread in threading.enumerate() if not thread.name.startswith("asyncio_")]
