"""One thread for blocking calls, with a limit on standing still."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from canonical.exchange.worker import Stalled, Worker
from tests.waiting import eventually


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "the worker"]


async def test_calls_run_one_after_the_other_in_one_thread() -> None:
    worker = Worker("the worker")
    names = await asyncio.gather(*(worker.run(lambda: threading.get_ident(), 5) for _ in range(3)))
    assert len(set(names)) == 1
    assert names[0] != threading.get_ident()
    worker.close()
    await eventually(lambda: not threads())


async def test_errors_are_raised_where_they_are_awaited() -> None:
    worker = Worker("the worker")
    with pytest.raises(ZeroDivisionError):
        await worker.run(lambda: 1 / 0, 5)
    assert await worker.run(lambda: 1, 5) == 1
    worker.close()


async def test_a_call_that_stands_still_is_given_up() -> None:
    worker, release = Worker("the worker"), threading.Event()
    with pytest.raises(Stalled):
        await worker.run(lambda: release.wait(10), 0.05)
    assert worker.busy
    worker.close()
    release.set()
    await eventually(lambda: not threads())


async def test_a_call_that_gets_on_may_take_long() -> None:
    worker = Worker("the worker")

    def slowly() -> str:
        until = time.monotonic() + 0.5
        while time.monotonic() < until:
            worker.progressed()
            threading.Event().wait(0.01)
        return "done"

    assert await worker.run(slowly, 0.2) == "done"
    worker.close()


async def test_the_last_call_comes_last_also_without_a_thread() -> None:
    done: list[str] = []
    Worker("the worker").close(lambda: done.append("unstarted"))
    worker = Worker("the worker")
    await worker.run(lambda: done.append("call"), 5)
    worker.close(lambda: done.append("last"))
    await eventually(lambda: done == ["unstarted", "call", "last"])
