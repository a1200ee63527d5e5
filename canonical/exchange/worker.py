"""One thread for a blocking client: calls run one after the other, each with a limit on standing still."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

__all__ = ["Stalled", "Worker"]

T = TypeVar("T")


class Stalled(Exception):
    """A call made no progress for too long; its thread may still hang in it."""


class Worker:
    """A daemon thread, so that a call that hangs for good does not keep the process from ending.

    The thread starts with the first call, and ends with ``close`` once the call under way has.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._progress_s = 0.0
        self._busy = False

    @property
    def busy(self) -> bool:
        """Whether a call is under way."""
        return self._busy

    def progressed(self) -> None:
        """The call under way got on: its limit begins anew. For the call itself, in its thread."""
        self._progress_s = time.monotonic()

    async def run(self, work: Callable[[], T], stall_s: float) -> T:
        """What ``work`` returns or raises. Raises Stalled after ``stall_s`` without progress.

        After that, and when cancelled, the call may still be running: have it fail, then ``close``.
        """
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name=self._name, daemon=True)
            self._thread.start()
        job: Future[T] = Future()
        self.progressed()
        self._jobs.put((work, job))
        result = asyncio.wrap_future(job)
        result.add_done_callback(_retrieve)
        while not result.done():
            left_s = self._progress_s + stall_s - time.monotonic()
            if left_s <= 0:
                raise Stalled
            await asyncio.wait([result], timeout=left_s)
        return result.result()

    def close(self, last: Callable[[], object] | None = None) -> None:
        """The thread ends once it is free, after ``last``; does not wait for that. Safe to call twice."""
        if self._thread is None:
            if last is not None:
                last()
            return
        if last is not None:
            self._jobs.put((last, Future()))
        self._jobs.put(None)

    def _serve(self) -> None:
        while (task := self._jobs.get()) is not None:
            work, job = task
            self._busy = True
            try:
                outcome = work()
            except BaseException as error:  # noqa: BLE001 - raised again where it is awaited
                self._busy = False
                job.set_exception(error)
            else:
                self._busy = False
                job.set_result(outcome)
            del task, work, job


def _retrieve(result: asyncio.Future[Any]) -> None:
    """A result that nobody waits for any more is no complaint."""
    if not result.cancelled():
        result.exception()
