"""Kills while routes split, aggregate and batch: all arrives in order, parts and groups under their keys."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest
from aiohttp import ClientError

from tests.faults.erp import erp_at
from tests.faults.rig import AT, SECRET, Fact, Plant, at_rest, facts
from tests.servers.ports import LOOPBACK
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(240)

DONE = """
  done:
    kind: rest
    plant: brno
    webhook: {verify: {kind: bearer, secret: "${file:token}"}}
    format:
      kind: json
      events:
        - type: production.order.completed
          id: payload.order
          data:
            order: payload.order
            item: "'A-1'"
            good: {value: "'5'", uom: "'H87'"}
            scrap: {value: "'0'", uom: "'H87'"}
            completed_at: payload.at
            lots: payload.lots
"""
ERP = """
  erp: {{kind: rest, url: "http://{host}:{port}", timeout: 2s, concurrency: 4}}
"""
SPLIT = """
  parts:
    on: [production.order.completed]
    from: beginning
    split: data.lots
    map: {order: data.order, n: number}
    to: {adapter: erp, path: orders}
    retry: {first: 200ms, max: 1s}
"""
TOGETHER = """
  groups:
    on: [production.order.created]
    from: beginning
    aggregate: {by: data.order, until: {count: 5, within: 1h}}
    map: {order: "data.group + ':' + data.items.map(i, i.quantity.value).join('-')", n: int(data.count)}
    to: {adapter: erp, path: orders}
    retry: {first: 200ms, max: 1s}
"""
BATCH = """
  bulk:
    on: [production.order.created]
    from: beginning
    batch: {size: 8, within: 100ms}
    map: {order: data.order, n: int(data.quantity.value)}
    to: {adapter: erp, path: batches}
    retry: {first: 200ms, max: 1s}
"""
LOTS = 6
SIZE = 5


async def post(plant: Plant, order: str, lots: int = LOTS) -> None:
    """A finished order with so many lots; returns when it is safe."""
    body = {"order": order, "at": AT, "lots": [f"{order}-{n}" for n in range(1, lots + 1)]}
    status, answer = await plant.hub.ask("POST", "/v1/webhooks/done", key=SECRET, body=body)
    assert status == 202, answer


@pytest.mark.parametrize("point", ["engine.after_send", "engine.before_settle", "engine.after_lane"])
async def test_03_to_05_parts_arrive_in_order_whatever_is_killed(
    plant: Plant, free_port: Callable[[], int], point: str
) -> None:
    target = free_port()
    orders = [f"o{number:02}" for number in range(30)]
    sent: list[Fact] = [(order, n) for order in orders for n in range(1, LOTS + 1)]
    plant.configure(DONE + ERP.format(host=LOOPBACK, port=target), SPLIT)
    async with erp_at(target) as (erp, _):
        erp.refuses = set(orders[:20:4])  # these go through their lanes
        posted = 0
        for round_ in range(2):
            await plant.hub.start(f"{point}:{2 + 2 * round_}")
            with contextlib.suppress(OSError, ClientError):
                while posted < len(orders):
                    await post(plant, orders[posted])
                    posted += 1
            await eventually(lambda: plant.hub.dead, 60)
        await plant.start()
        for order in orders[posted:]:
            await post(plant, order)
        erp.refuses = set()
        await eventually(lambda: erp.ledger.has(sent), 60)

        async def clear() -> bool:
            return not await plant.items("/v1/lanes")

        await eventually(clear, 60)
        await plant.stop()
        erp.ledger.settled(sent)
        at_rest(plant.folder, "parts")
        assert plant.hub.hits.read_text().count(point) == 2


@pytest.mark.parametrize(
    "point", ["engine.after_send", "engine.before_settle", "journal.before_commit", "journal.after_commit"]
)
async def test_01_to_04_groups_are_whole_and_delivered_once_whatever_is_killed(
    plant: Plant, free_port: Callable[[], int], point: str
) -> None:
    target = free_port()
    orders = [f"o{number}" for number in range(4)]
    sent = facts(orders, range(4 * SIZE))
    whole: list[Fact] = [
        (f"{order}:" + "-".join(str(first + n) for n in range(SIZE)), SIZE)
        for first in range(0, 4 * SIZE, SIZE)
        for order in orders
    ]
    plant.configure(ERP.format(host=LOOPBACK, port=target), TOGETHER)
    async with erp_at(target) as (erp, _):
        erp.refuses = {whole[0][0]}  # it goes through its lane
        posted = 0
        for round_ in range(2):
            await plant.hub.start(f"{point}:{9 + 7 * round_}")
            with contextlib.suppress(OSError, ClientError):
                while posted < len(sent):
                    await plant.post([sent[posted]])
                    posted += 1
            await eventually(lambda: plant.hub.dead, 60)
        await plant.start()
        await plant.post(sent[posted:])
        erp.refuses = set()
        await eventually(lambda: erp.ledger.has(whole), 60)

        async def clear() -> bool:
            return not await plant.items("/v1/lanes")

        await eventually(clear, 60)
        await plant.stop()
        erp.ledger.settled(whole)
        at_rest(plant.folder, "groups")
        assert plant.hub.hits.read_text().count(point) == 2


@pytest.mark.parametrize("point", ["engine.before_send", "engine.after_send", "engine.before_settle", ""])
async def test_01_to_05_batches_lose_nothing_whatever_is_killed(
    plant: Plant, free_port: Callable[[], int], point: str
) -> None:
    """Without a failpoint: SIGKILL in the middle. One document is refused, with all that is beside it."""
    target = free_port()
    sent = facts([f"o{number}" for number in range(5)], range(12))
    poison: Fact = ("bad", 1)
    sent.insert(20, poison)
    plant.configure(ERP.format(host=LOOPBACK, port=target), BATCH)
    async with erp_at(target) as (erp, _):
        erp.bad = {"bad"}
        posted = 0
        for round_ in range(2):
            await plant.hub.start(f"{point}:{3 + 2 * round_}" if point else None)
            with contextlib.suppress(OSError, ClientError):
                while posted < 30 + 15 * round_ or point:
                    await plant.post([sent[posted]])
                    posted += 1
            if not point:
                await plant.hub.kill9()
            await eventually(lambda: plant.hub.dead, 60)
        await plant.start()
        await plant.post(sent[posted:])
        others = [fact for fact in sent if fact != poison]
        await eventually(lambda: erp.ledger.has(others), 60)
        [letter] = await eventually(lambda: plant.items("/v1/dead-letters"), 60)
        assert (letter["code"], letter["route"]) == ("http_422", "bulk")
        assert ["bad"] in erp.batches
        assert max(map(len, erp.batches)) > 1
        found = erp.ledger.account(others)
        assert (found["lost"], found["unexpected"], found["overtaken"]) == (0, 0, 0)
        assert {len(keys) for keys in erp.ledger.keys.values()} == {1}  # also what came again
        erp.bad = set()
        status, answer = await plant.hub.ask("POST", f"/v1/dead-letters/{letter['id']}/retry", key=plant.key)
        assert status in {200, 202}, answer
        await eventually(lambda: erp.ledger.has(sent), 60)

        async def clear() -> bool:
            return not await plant.items("/v1/lanes")

        await eventually(clear, 60)
        await plant.stop()
        at_rest(plant.folder, "bulk")


@pytest.mark.parametrize("named", [False, True])
async def test_15_a_batch_answered_207_is_refused_unless_success_names_it(
    plant: Plant, free_port: Callable[[], int], *, named: bool
) -> None:
    """The answer is not read. It is a refusal, so that no document is passed over; those that the target had
    taken of it come again, in halves under keys of their own. Where ``success`` names it, all counts."""
    success = ", success: [200, 207]" if named else ""
    target = free_port()
    sent, wrong = facts([f"o{number}" for number in range(7)], range(1)), ("wrong", 1)
    sent.insert(3, wrong)
    bulk = BATCH.replace("within: 100ms", "within: 20s").replace("path: batches", f"path: batches{success}")
    plant.configure(ERP.format(host=LOOPBACK, port=target), bulk)
    async with erp_at(target) as (erp, _):
        erp.parts = {"wrong"}
        await plant.start()
        await plant.post(sent)
        others = [fact for fact in sent if fact != wrong]
        await eventually(lambda: erp.ledger.has(others), 60)
        if not named:
            [letter] = await eventually(lambda: plant.items("/v1/dead-letters"), 60)
            assert (letter["code"], letter["route"]) == ("http_207", "bulk")
            assert "no such item" in letter["error"]
            assert ["wrong"] in erp.batches
            erp.parts = set()
            retry = f"/v1/dead-letters/{letter['id']}/retry"
            status, answer = await plant.hub.ask("POST", retry, key=plant.key)
            assert status in {200, 202}, answer
            await eventually(lambda: erp.ledger.has(sent), 60)
        else:
            assert [len(batch) for batch in erp.batches] == [8]
            assert await plant.items("/v1/dead-letters") == []

        async def clear() -> bool:
            return not await plant.items("/v1/lanes")

        await eventually(clear, 60)
        await plant.stop()
        at_rest(plant.folder, "bulk")
        found = erp.ledger.account(others if named else sent)
        assert (found["lost"], found["unexpected"], found["overtaken"]) == (0, 0, 0)
