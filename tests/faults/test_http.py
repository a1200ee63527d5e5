"""Faults 12 to 14, 22, 23 and 35: what an HTTP system, its clients and a configuration can do to a route."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
from aiohttp import ClientError

from adapters.conformance.proxy import FaultProxy
from tests.faults.erp import Erp, Mood, erp_at
from tests.faults.rig import ROUTE, Fact, Plant, at_rest, facts
from tests.servers.ports import LOOPBACK
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(240)

ORDERS = [f"o{number}" for number in range(8)]
RETRY = "    retry: {first: 200ms, max: 1s, give_up_after: 1h}\n"


def configure(plant: Plant, port: int, *, lookup: str = "", routes: str = "", more: str = "") -> None:
    """The hub between its webhook and the ERP."""
    plant.configure(
        f"""
  erp:
    kind: rest
    url: http://{LOOPBACK}:{port}
    timeout: 1s
    concurrency: 4
{lookup}""",
        f"  out:{ROUTE}    to: {{adapter: erp, path: orders}}\n{RETRY}{more}{routes}",
    )


async def finish(plant: Plant, erp: Erp, sent: Sequence[Fact], *, dead: int = 0) -> None:
    """Waits until all has arrived and the route flows, and settles the account."""
    await eventually(lambda: erp.ledger.has(sent), 60)

    async def quiet() -> bool:
        route = await plant.route("out")
        return route["state"] == "flowing" and not await plant.items("/v1/lanes")

    await eventually(quiet, 60)
    assert len(await plant.items("/v1/dead-letters?status=open")) == dead
    await plant.stop()
    erp.ledger.settled(sent)
    at_rest(plant.folder, "out", dead=dead)


@pytest.mark.parametrize("mood", ["sick", "silent", "away"])
async def test_12_a_sink_that_fails_for_all_pauses_its_route(
    plant: Plant, free_port: Callable[[], int], mood: Mood | str
) -> None:
    target = free_port()
    configure(plant, target)
    sent = facts(ORDERS, range(12))
    async with erp_at(target) as (erp, site):
        await plant.start()
        await plant.post(sent[:20])
        await eventually(lambda: erp.ledger.has(sent[:20]))
        if mood == "away":
            await site.shut()
        else:
            erp.mood = mood  # type: ignore[assignment]
        await plant.post(sent[20:])

        async def probed() -> bool:
            route = await plant.route("out")
            return route["state"] == "paused" and float(route["paused_for_s"] or 0.0) > 3.0

        await eventually(probed, 90)
        assert await plant.items("/v1/dead-letters") == []
        if mood == "away":
            await site.open()
        erp.mood = "well"
        await finish(plant, erp, sent)


async def test_13_retry_after_is_honoured(plant: Plant, free_port: Callable[[], int]) -> None:
    target = free_port()
    configure(plant, target)
    sent = facts(ORDERS, range(12))
    async with erp_at(target) as (erp, _):
        erp.mood = "throttles"
        await plant.start()
        await plant.post(sent)
        await eventually(lambda: len(erp.asked_at_s) >= 8, 60)

        async def paused() -> bool:
            route = await plant.route("out")
            return (route["state"], route["in_flight"]) == ("paused", 0)

        await eventually(paused)
        before = len(erp.asked_at_s)
        await eventually(lambda: len(erp.asked_at_s) > before + 1, 60)
        erp.mood = "well"
        # Asked for time, it pauses: then come single probes, each not before the time that was asked for.
        waits_s = [after - earlier for earlier, after in pairwise(erp.asked_at_s[before - 1 :])]
        assert min(waits_s) >= erp.retry_after_s * 0.9
        await finish(plant, erp, sent)


@pytest.mark.parametrize("lookup", [False, True])
async def test_14_a_lost_answer_is_looked_up_or_repeated_under_the_same_key(
    plant: Plant, free_port: Callable[[], int], lookup: bool
) -> None:
    target, sent = free_port(), facts(ORDERS, range(10))
    async with erp_at(target) as (erp, _), FaultProxy(LOOPBACK, target) as proxy:
        asked = '    lookup: {path: "receipts/{key}"}\n'
        configure(plant, proxy.port, lookup=asked if lookup else "")
        await plant.start()
        await plant.post(sent[:10])
        await eventually(lambda: erp.ledger.has(sent[:10]))
        proxy.black_hole("down")
        await plant.post(sent[10:])
        await eventually(lambda: len(erp.ledger.order) > 12)  # accepted, and nobody hears of it

        async def paused() -> bool:
            return bool((await plant.route("out"))["state"] == "paused")

        await eventually(paused, 60)
        repeated = erp.ledger.repeated
        proxy.cut()
        proxy.heal()
        await finish(plant, erp, sent)
        if lookup:
            assert erp.looked_up > 0
            assert erp.ledger.repeated == repeated == 0
        else:
            assert erp.ledger.repeated > 0


@pytest.mark.parametrize("point", ["engine.after_send", "engine.before_settle"])
async def test_04_a_route_that_asks_repeats_nothing_after_a_kill(
    plant: Plant, free_port: Callable[[], int], point: str
) -> None:
    """``require: effectively_once``: what may have been under way is asked for, not sent again."""
    target, sent = free_port(), facts(ORDERS, range(20))
    asked, required = '    lookup: {path: "receipts/{key}"}\n', "    require: effectively_once\n"
    configure(plant, target, lookup=asked, more=required)
    async with erp_at(target) as (erp, _):
        await plant.start()
        await plant.stop()
        posted = 0
        for round_ in range(2):
            await plant.hub.start(f"{point}:{3 + 8 * round_}")
            with contextlib.suppress(OSError, ClientError):
                while posted < len(sent):
                    await plant.post([sent[posted]])
                    posted += 1
            await eventually(lambda: plant.hub.dead, 60)
        await plant.start()
        await plant.post(sent[posted:])  # the one without an answer again, too
        await finish(plant, erp, sent)
        assert plant.hub.hits.read_text().count(point) == 2
        assert erp.looked_up > 0
        assert erp.ledger.repeated == 0


async def test_22_duplicate_publishes_have_one_effect(plant: Plant, free_port: Callable[[], int]) -> None:
    target, sent = free_port(), facts(ORDERS, range(10))
    configure(plant, target)
    async with erp_at(target) as (erp, _):
        await plant.start()
        await asyncio.gather(*(plant.post(sent[:40]) for _ in range(3)))
        await plant.stop()
        await plant.start()
        await plant.post(sent[:40])
        await plant.post(sent[40:])
        await finish(plant, erp, sent)
        assert erp.ledger.repeated == 0
        recorded = await _positions(plant)
        assert recorded == len(sent)


async def _positions(plant: Plant) -> int:
    """How many documents the journal has, read after the hub has stopped."""
    await plant.start()
    found = await plant.hub.get("/v1/events?type=production.order.created&limit=500", plant.key)
    await plant.stop()
    return len(found["items"])


async def test_23_what_comes_out_of_order_leaves_in_the_order_of_its_arrival(
    plant: Plant, free_port: Callable[[], int]
) -> None:
    """The hub does not guess: per key it keeps the order in which the source spoke."""
    target, sent = free_port(), facts(ORDERS, range(20))
    random.Random(23).shuffle(sent)
    configure(plant, target)
    async with erp_at(target) as (erp, _):
        erp.refuses = {"o3"}
        await plant.start()
        await plant.post(sent)
        await eventually(lambda: erp.ledger.has([fact for fact in sent if fact[0] != "o3"]), 60)
        erp.refuses = set()
        await eventually(lambda: erp.ledger.has(sent), 60)
        for order in ORDERS:
            arrived = [n for each, n in erp.ledger.order if each == order]
            assert arrived == [n for each, n in sent if each == order]

        async def clear() -> bool:
            return not await plant.items("/v1/lanes")

        await eventually(clear)
        await plant.stop()
        at_rest(plant.folder, "out")
        account = erp.ledger.account(sent)
        assert {**account, "overtaken": 0} == dict.fromkeys(account, 0)


TEN = "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]"
BOMB = f"{TEN}.map(a, {TEN}.map(b, {TEN}.map(c, {TEN}.map(d, {TEN}.map(e, {TEN}.map(f, a + f))))))"


async def test_35_an_expression_bomb_ends_by_its_budget_and_the_other_routes_flow(
    plant: Plant, free_port: Callable[[], int]
) -> None:
    target, sent = free_port(), facts(ORDERS, range(4))
    bombed = (
        "  bombed:\n    on: [production.order.created]\n    from: beginning\n"
        f'    map: {{order: data.order, n: "{BOMB}.size()"}}\n    to: {{adapter: erp, path: orders}}\n'
    )
    configure(plant, target, routes=bombed)
    async with erp_at(target) as (erp, _):
        await plant.start()
        await plant.post(sent)
        await eventually(lambda: erp.ledger.has(sent), 60)

        async def stopped() -> bool:
            return len(await plant.items("/v1/dead-letters?status=open&limit=500")) == len(ORDERS)

        await eventually(stopped, 60)  # the first of each order; the others wait behind it
        letters = await plant.items("/v1/dead-letters?status=open&limit=500")
        assert {letter["route"] for letter in letters} == {"bombed"}
        assert all("budget" in letter["error"] for letter in letters), letters[0]
        while letters:
            for letter in letters:
                path = f"/v1/dead-letters/{letter['id']}/discard"
                status, answer = await plant.hub.ask("POST", path, key=plant.key, body={"reason": "a bomb"})
                assert status in {200, 202}, answer

            async def next_ones() -> list[dict[str, object]] | bool:
                found = await plant.items("/v1/dead-letters?status=open&limit=500")
                return found or not await plant.items("/v1/lanes")

            found = await eventually(next_ones, 60)
            letters = found if isinstance(found, list) else []
        assert (await plant.hub.get("/readyz"))["status"] == "ready"
        await finish(plant, erp, sent)
        at_rest(plant.folder, "out", "bombed")
