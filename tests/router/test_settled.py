"""What was delivered before a crash is neither delivered nor counted again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from canonical.errors import Rejected
from canonical.ports import Accepted, Delivery, Failed
from router import lanes
from router.journal import Settlement
from tests.router.rig import Rig, ScriptedSink, order, route, running
from tests.waiting import eventually


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with running(tmp_path) as built:
        yield built


async def settled(rig: Rig, *, position: int, delivered: list[int], at: float = 4e9) -> None:
    """What an earlier run had settled when it ended."""
    receipts = [(each, "") for each in delivered]
    rig.journal.settle(Settlement(route="orders", position=position, delivered=receipts, at=at))
    await rig.journal.write(lambda _: None)


async def passed(rig: Rig) -> int:
    """The route's cursor."""
    return (await rig.journal.cursors()).get("orders", 0)


async def test_what_arrived_beyond_the_cursor_is_not_sent_again(rig: Rig) -> None:
    await rig.append(*(order(n, f"k{n}") for n in range(1, 6)))
    await settled(rig, position=1, delivered=[1, 3, 5])
    sink = ScriptedSink()
    await rig.start(route(), sink)
    await eventually(lambda: sink.numbers == [2, 4])

    async def done() -> bool:
        return await passed(rig) == 5

    await eventually(done)
    assert sink.numbers == [2, 4]


async def test_a_forgotten_route_that_begins_anew_delivers_again(rig: Rig) -> None:
    await rig.append(*(order(n, f"k{n}") for n in range(1, 4)))
    await settled(rig, position=3, delivered=[1, 2, 3])
    await rig.journal.write(lambda t: t.execute("DELETE FROM cursors"))
    sink = ScriptedSink()
    await rig.start(route(), sink)
    await eventually(lambda: sorted(sink.numbers) == [1, 2, 3])


async def test_a_lane_s_head_that_arrived_leaves_its_lane_and_its_dead_letter_is_recovered(rig: Rig) -> None:
    def refuse(delivery: Delivery) -> Accepted | Failed:
        return Failed(Rejected("no", code="http_422"))

    engine = await rig.start(route(), ScriptedSink(refuse))
    await rig.append(order(1, "k"), order(2, "k"))

    async def dead() -> bool:
        sizes = [lane.size for lane in await rig.lanes()]
        return sizes == [2] and await passed(rig) == 3  # the third is the notice of the dead letter

    await eventually(dead)
    engine.stop()
    await settled(rig, position=3, delivered=[1])
    sink = ScriptedSink()
    await rig.start(route(), sink)
    await eventually(lambda: sink.numbers == [2])
    await eventually(rig.clear)
    [letter] = await rig.letters()
    assert letter.status == "recovered"


async def test_a_delivery_from_before_the_lane_takes_nothing_out_of_it(rig: Rig) -> None:
    def refuse(delivery: Delivery) -> Accepted | Failed:
        return Failed(Rejected("no", code="http_422"))

    engine = await rig.start(route(), ScriptedSink(refuse))
    await rig.append(order(1, "k"))
    await eventually(rig.letters)
    engine.stop()
    await settled(rig, position=1, delivered=[1], at=1.0)
    await rig.start(route(), ScriptedSink(refuse))
    [lane] = await rig.lanes()
    assert (lane.head.position, lane.head.state) == (1, "dead")
    assert await rig.journal.read(lambda t: lanes.counts(t)) == [("aachen", "orders", "dead", 1)]
