"""What is due by itself is done, on the loop of a hub: uvloop, whose clock is rounded to milliseconds."""

from __future__ import annotations

import asyncio
from pathlib import Path

import uvloop

from canonical.errors import TransientError
from canonical.ports import Failed
from router.recoverability import Policy
from tests.router.rig import ScriptedSink, order, route, running, until

ROUTES = 20


async def _given_up(folder: Path) -> int:
    """Dead letters of routes whose one event is refused until it is given up; nothing else wakes them."""
    policy = Policy(first_s=0.02, max_s=0.03, give_up_after_s=0.3)
    async with running(folder) as rig:
        for at in range(ROUTES):
            sink = ScriptedSink(lambda _: Failed(TransientError("locked", busy=True)))
            await rig.start(route(name=f"r{at}", policy=policy), sink)
        await rig.append(order(1, "o"))

        async def all_letters() -> bool:
            return len(await rig.letters()) == ROUTES

        await until(all_letters, 60)
        return len(await rig.letters())


def test_a_retry_that_is_due_is_made_although_nothing_else_happens(tmp_path: Path) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(_given_up(tmp_path)) == ROUTES
