"""The MES of Aachen: offered orders, and completed operations that are pushed until they are taken."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from simulator.ledger import Ledger
from simulator.mes import Mes
from simulator.moments import Moments
from simulator.shift import Shift
from simulator.story import UNKNOWN_ITEM, Rhythm, is_unknown
from tests.simulator.fakehub import FakeHub
from tests.waiting import eventually

QUICK = Rhythm(order=0.02, operation=0.02)
SECRET = "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"


class Works:
    """A MES that works, with its ledger."""

    def __init__(self, first: int = 0) -> None:
        self.ledger, self.shift = Ledger(), Shift()
        self.released: list[tuple[int, str]] = []
        self.mes = Mes(
            self.ledger,
            Moments(first=first),
            QUICK,
            token="t",
            webhook_secret=SECRET,
            on_release=lambda index, order: self.released.append((index, order)),
        )

    async def orders(self, query: str = "", token: str = "t") -> tuple[int, Any]:
        url = f"{self.mes.service.url}/api/orders{query}"
        headers = {"Authorization": f"Bearer {token}"}
        async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as response:
            return response.status, await response.json()


@pytest.fixture
async def works(request: pytest.FixtureRequest) -> AsyncIterator[Works]:
    made = Works(getattr(request, "param", 0))
    await made.mes.open()
    working = asyncio.create_task(made.mes.work(made.shift))
    yield made
    made.shift.end()
    await working
    await made.mes.close()


@pytest.mark.parametrize("works", [240], indirect=True)
async def test_a_later_company_goes_on_behind_the_numbers_of_the_one_before(works: Works) -> None:
    works.shift.begin()
    await eventually(lambda: len(works.released) >= 3)
    assert works.released[0] == (240, "AAC-100241")
    _, page = await works.orders("?since=7&limit=2")  # what the hub remembers of the company before
    assert ([order["seq"] for order in page["orders"]], page["next"]) == ([241, 242], "242")
    _, page = await works.orders("?since=242&limit=1")
    assert (page["orders"][0]["seq"], page["next"]) == (243, "243")
    await eventually(lambda: works.ledger.safe_total == 3)


async def test_orders_are_offered_from_their_cursor_and_safe_from_then_on(
    works: Works,
) -> None:
    works.shift.begin()
    await eventually(lambda: len(works.released) >= 8)
    assert works.ledger.safe_total == 0
    status, page = await works.orders("?since=&limit=3")
    assert (status, page["next"], [one["seq"] for one in page["orders"]]) == (200, "3", [1, 2, 3])
    await eventually(lambda: works.ledger.safe_total == 3)
    await works.orders("?since=&limit=3")
    _, page = await works.orders("?since=3&limit=4")
    assert [one["seq"] for one in page["orders"]] == [4, 5, 6, 7]
    await eventually(lambda: works.ledger.safe_total == 7)
    assert [one["order"] for one in page["orders"]] == [f"AAC-{100004 + number}" for number in range(4)]
    assert page["orders"][3]["item"] == UNKNOWN_ITEM
    assert is_unknown(6)


async def test_it_asks_for_its_token_and_for_numbers(works: Works) -> None:
    assert (await works.orders(token="wrong"))[0] == 401
    assert (await works.orders("?since=yesterday"))[0] == 400


async def test_operations_are_pushed_again_until_they_are_taken(works: Works) -> None:
    async with FakeHub() as hub:
        hub.webhook_status = 503
        works.mes.hub_is_at(hub.url)
        works.shift.begin()
        await eventually(lambda: len(hub.webhooks) >= 2)
        assert works.ledger.safe_total == 0
        first = hub.webhooks[0][0]["webhook-id"]
        assert hub.webhooks[1][0]["webhook-id"] == first
        hub.webhook_status = 202
        await eventually(lambda: len({headers["webhook-id"] for headers, _ in hub.webhooks}) >= 3)
        works.shift.end()
        await eventually(lambda: works.ledger.safe_total == works.ledger.sent["aachen-mes", "rest", "json"])


async def test_operations_wait_until_the_hub_is_known(works: Works) -> None:
    works.shift.begin()
    await eventually(lambda: works.ledger.sent["aachen-mes", "rest", "json"] >= 2)
    async with FakeHub() as hub:
        works.mes.hub_is_at(hub.url)
        await eventually(lambda: len(hub.webhooks) >= 2)
        works.shift.end()
        await eventually(lambda: works.ledger.safe_total == works.ledger.sent["aachen-mes", "rest", "json"])
