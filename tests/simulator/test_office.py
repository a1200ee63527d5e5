"""The systems above the plants: what they say of themselves, and what they make of what they get."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from simulator.business import BusinessSystem
from simulator.ledger import Ledger
from simulator.moments import Moments
from simulator.office import FEEDS, Office
from simulator.shift import Shift
from simulator.story import SUPPLIERS, Rhythm
from tests.waiting import eventually

TOKEN = "secret"
AUTHORISED = {"Authorization": f"Bearer {TOKEN}"}


class Desk:
    """The office with its systems, polled and posted to over HTTP."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.ledger, self.shift = Ledger(), Shift()
        self.office = Office(self.ledger, Moments(), Rhythm(purchase=0.05, sales=0.05, reaction=0.05))
        self.systems = {
            name: BusinessSystem(name, token=TOKEN, first_number=1, feeds={feed: self.office.feeds[name]})
            for name, feed in FEEDS.items()
        }
        self.office.listen(self.systems)
        self._session = session

    async def poll(self, system: str, since: int = 0) -> list[dict[str, Any]]:
        url = f"{self.systems[system].service.url}/api/{FEEDS[system]}?since={since}"
        async with self._session.get(url, headers=AUTHORISED) as response:
            assert response.status == 200
            items: list[dict[str, Any]] = (await response.json())["items"]
            return items

    async def post(self, system: str, kind: str, **body: str) -> None:
        url = f"{self.systems[system].service.url}/api/{kind}"
        headers = {**AUTHORISED, "Idempotency-Key": f"{kind}/{body['reference']}"}
        async with self._session.post(url, json=body, headers=headers) as response:
            assert response.status == 201


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with aiohttp.ClientSession() as session:
        made = Desk(session)
        for system in made.systems.values():
            await system.open()
        work = asyncio.create_task(made.office.work(made.shift))
        made.shift.begin()
        yield made
        made.shift.end()
        await work
        for system in made.systems.values():
            await system.close()


async def test_purchase_orders_go_to_every_supplier_in_turn(desk: Desk) -> None:
    await eventually(lambda: len(desk.office.feeds["erp"]) >= 2 * len(SUPPLIERS))
    orders = (await desk.poll("erp"))[: 2 * len(SUPPLIERS)]
    assert [one["vendor"] for one in orders] == [supplier.erp for supplier in SUPPLIERS] * 2
    assert [one["seq"] for one in orders] == list(range(1, 7))
    assert len({one["number"] for one in orders}) == len(orders)


async def test_what_was_polled_is_safe_and_its_document_owed(desk: Desk) -> None:
    await eventually(lambda: len(desk.office.feeds["erp"]) >= 3)
    assert desk.ledger.safe_total == 0
    orders = await desk.poll("erp")
    await eventually(lambda: desk.ledger.safe_total >= len(orders))
    owed = {(one.system, one.reference) for one in desk.ledger.undelivered}
    assert ("nordstahl", orders[0]["number"]) in owed
    assert ("portal", orders[2]["number"]) in owed


async def test_a_failed_inspection_is_held_and_released_a_passed_one_is_not(desk: Desk) -> None:
    await desk.post("qms", "inspections", reference="CVI-1", item="HYD-PUMP-20", lot="L1", result="passed")
    await desk.post("qms", "inspections", reference="CVI-2", item="HYD-PUMP-20", lot="L2", result="failed")
    await eventually(lambda: len(desk.office.feeds["qms"]) == 2)
    said = await desk.poll("qms")
    assert [(one["kind"], one["hold"]) for one in said] == [("placed", "QH-CVI-2"), ("released", "QH-CVI-2")]


async def test_a_stoppage_gets_a_work_order_that_is_completed(desk: Desk) -> None:
    await desk.post("cmms", "work-requests", reference="CVD-1", equipment="acme/coventry/moulding/cell-1")
    await eventually(lambda: len(desk.office.feeds["cmms"]) == 2)
    assert [one["status"] for one in await desk.poll("cmms")] == ["released", "completed"]


async def test_an_order_in_the_portal_is_confirmed(desk: Desk) -> None:
    await desk.post("portal", "purchase-orders", reference="45000003", quantity="50")
    await eventually(lambda: len(desk.office.feeds["portal"]) == 1)
    (response,) = await desk.poll("portal")
    assert (response["order"], response["quantity"]) == ("45000003", "50")


@pytest.mark.parametrize(("eta", "kinds"), [("03", ["milestone"]), ("08", ["milestone", "delay"])])
async def test_goods_that_come_late_are_told(desk: Desk, eta: str, kinds: list[str]) -> None:
    await desk.post(
        "tms",
        "inbound-shipments",
        reference="NSD-1",
        shipped_at="2026-03-02T09:30:00Z",
        eta=f"2026-03-{eta}T09:30:00Z",
    )

    async def told() -> bool:
        said = [one for one in await desk.poll("tms") if not one.get("shipment", "").startswith("OUT-")]
        assert [one["kind"] for one in said] == kinds
        return True

    await eventually(told)


async def test_a_poll_without_the_token_gets_nothing(desk: Desk) -> None:
    url = f"{desk.systems['crm'].service.url}/api/{FEEDS['crm']}"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        assert response.status == 401


async def test_a_system_that_is_away_cannot_be_polled(desk: Desk) -> None:
    desk.systems["erp"].failures.tell({"mode": "down"})
    url = f"{desk.systems['erp'].service.url}/api/{FEEDS['erp']}"
    async with aiohttp.ClientSession() as session, session.get(url, headers=AUTHORISED) as response:
        assert response.status == 503
