"""Fault 15, and 12b without other traffic: bad documents end as dead letters, and hold nobody up for ever."""

from __future__ import annotations

from pathlib import Path

import pytest

from canonical.errors import Rejected, TransientError
from canonical.ports import Accepted, Delivery, Failed, SinkOutcome
from canonical.spec import SinkTraits
from router.recoverability import Policy
from tests.router.rig import PARALLEL, Rig, ScriptedSink, number_of, order, route, running, until

POLICY = Policy(first_s=0.02, max_s=0.1, give_up_after_s=0.5)
POISON = 5


def sick(delivery: Delivery) -> SinkOutcome:
    """An ERP that answers 500 for five documents."""
    poisoned = number_of(delivery) < POISON
    return Failed(TransientError("HTTP 500", code="http_500")) if poisoned else Accepted()


async def buried(rig: Rig) -> bool:
    return len(await rig.letters()) == POISON


@pytest.mark.parametrize("traits", [SinkTraits(concurrency=1), PARALLEL])
async def test_bad_documents_alone_do_not_keep_a_route_paused(tmp_path: Path, traits: SinkTraits) -> None:
    sink = ScriptedSink(sick)
    async with running(tmp_path) as rig:
        engine = await rig.start(route(policy=POLICY), sink, traits)
        await rig.append(*(order(n, f"o{n}") for n in range(POISON)))
        await until(lambda: engine.status.state == "paused")
        assert not await rig.letters()
        await until(lambda: buried(rig), 60)
        for letter in await rig.letters():
            assert "gave up" in letter.error
            assert letter.attempts > 1
        await until(lambda: engine.status.state == "flowing")
        await rig.append(*(order(n, f"o{n}") for n in range(POISON, 40)))
        await until(lambda: len(sink.accepted) == 40 - POISON)
        assert len(await rig.letters()) == POISON
        assert {lane.head.state for lane in await rig.lanes()} == {"dead"}


async def test_what_an_outage_of_500s_made_suspect_is_probed_in_turn_and_delivered(tmp_path: Path) -> None:
    """One of them stays bad: it does not keep the others from finding out that the sink is back."""
    sink = ScriptedSink(lambda _: Failed(TransientError("HTTP 500")))
    async with running(tmp_path) as rig:
        engine = await rig.start(
            route(policy=Policy(first_s=0.02, max_s=0.1, give_up_after_s=3600.0)),
            sink,
            SinkTraits(concurrency=1),
        )
        await rig.append(*(order(n, f"o{n}") for n in range(8)))
        await until(lambda: engine.breaker.pauses >= 12)  # by now all of them are suspects
        assert not await rig.letters()
        sink.behave = lambda d: Failed(TransientError("HTTP 500")) if number_of(d) == 0 else Accepted()
        await until(lambda: sorted(sink.numbers) == list(range(1, 8)))
        assert not await rig.letters()
        [lane] = await until_lanes(rig, 1)
        assert lane == ("retrying", 1)


async def until_lanes(rig: Rig, count: int) -> list[tuple[str, int]]:
    """(state, size) of the lanes, once there are so many."""

    async def there() -> bool:
        return len(await rig.lanes()) == count

    await until(there)
    return [(lane.head.state, lane.size) for lane in await rig.lanes()]


async def test_a_poisoned_document_in_a_batch_is_dead_lettered_and_the_rest_arrives(tmp_path: Path) -> None:
    """The sink takes calls of 50; what it refuses is told per delivery."""
    bad = {7, 23, 24}
    sink = ScriptedSink(lambda d: Failed(Rejected("no")) if number_of(d) in bad else Accepted())
    async with running(tmp_path) as rig:
        engine = await rig.start(route(), sink, SinkTraits(ordered=True, max_batch=50))
        await rig.append(*(order(n, f"o{n}") for n in range(200)))
        await until(lambda: len(sink.accepted) == 200 - len(bad))
        await until(lambda: engine.status.cursor >= 200)
        assert sorted(letter.position or 0 for letter in await rig.letters()) == sorted(n + 1 for n in bad)
        sink.behave = lambda _: Accepted()
        for number in bad:
            assert engine.keeper.release(f"o{number}") == 1
        await until(rig.clear)
        assert sorted(sink.numbers) == list(range(200))
