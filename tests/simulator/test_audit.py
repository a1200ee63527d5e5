"""Settling the account against a hub that pages, refuses, is away, or is late."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from simulator.audit import Audit
from simulator.business import BusinessSystem, Received
from simulator.hub import Hub
from simulator.ledger import Document, Fact, Ledger
from simulator.moments import Moments
from tests.simulator.fakehub import KEY, FakeHub, event
from tests.waiting import eventually


class Desk:
    """An auditor with a ledger and an ERP, before a fake hub."""

    def __init__(self, hub: FakeHub) -> None:
        self.hub, self.ledger, self.moments = hub, Ledger(), Moments()
        self.erp = BusinessSystem("erp", token="t", first_number=1)
        self.audit = Audit(self.ledger, self.moments, [self.erp])

    def safe(self, key: str, document: Document | None = None) -> Fact:
        fact = Fact(
            adapter="mes",
            protocol="rest",
            format="json",
            type="production.order.released",
            key=key,
            at=self.moments.next(),
            documents=(document,) if document else (),
        )
        self.ledger.record_sent(fact)
        self.ledger.record_safe(fact)
        return fact

    def show(self, key: str) -> None:
        self.hub.events.append(event("mes", "production.order.released", {"order": key}))


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with FakeHub() as hub:
        made = Desk(hub)
        await made.audit.hub_is(Hub(hub.url, KEY))
        yield made
        await made.audit.close()


async def test_every_page_is_read_and_each_event_counts_once(desk: Desk) -> None:
    for number in range(170):
        desk.safe(f"AAC-{number}")
        desk.show(f"AAC-{number}")
    await desk.audit.settle(wait_s=0)
    account = await desk.audit.settle(wait_s=0)
    assert (account["lost"], account["shown"], account["duplicated"]) == (0, 170, 0)
    assert account["settled"] is True


async def test_one_that_is_missing_is_lost_by_name(desk: Desk) -> None:
    for number in range(60):
        desk.safe(f"AAC-{number}")
        if number != 7:
            desk.show(f"AAC-{number}")
    account = await desk.audit.settle(wait_s=0)
    assert account["lost"] == 1
    assert account["lost_facts"][0]["key"] == "AAC-7"


async def test_it_waits_for_a_hub_that_is_still_draining(desk: Desk) -> None:
    desk.safe("AAC-1")
    settling = asyncio.create_task(desk.audit.settle(wait_s=10))
    await eventually(lambda: desk.hub.asked_after)
    desk.show("AAC-1")
    assert (await settling)["lost"] == 0


async def test_a_hub_that_is_away_is_a_problem_and_no_loss_is_settled(desk: Desk) -> None:
    desk.safe("AAC-1")
    desk.show("AAC-1")
    desk.hub.status = 503
    account = await desk.audit.settle(wait_s=0)
    assert account["settled"] is False
    assert "/v1/events answered 503" in account["problem"]
    desk.hub.status = 200
    account = await desk.audit.settle(wait_s=0)
    assert (account["settled"], account["lost"]) == (True, 0)


async def test_a_wrong_key_is_said(desk: Desk) -> None:
    await desk.audit.hub_is(Hub(desk.hub.url, "wrong"))
    assert "401" in (await desk.audit.settle(wait_s=0))["problem"]


async def test_what_the_hub_keeps_as_a_dead_letter_or_in_a_lane_is_not_lost(desk: Desk) -> None:
    document = Document(system="erp", kind="confirmations", reference="AAC-2/0010")
    desk.safe("AAC-1")
    desk.safe("AAC-2", document)
    desk.show("AAC-2")
    assert (await desk.audit.settle(wait_s=0))["undelivered"] == 1
    desk.hub.dead_letters.append({"id": 1, "error": "order AAC-1 has no item"})
    desk.hub.lanes.append({"route": "to-erp", "key": "O:AAC-2"})
    account = await desk.audit.settle(wait_s=0)
    assert (account["lost"], account["undelivered"], account["dead_lettered"]) == (0, 0, 1)


async def test_a_document_is_delivered_when_the_system_has_it(desk: Desk) -> None:
    document = Document(system="erp", kind="confirmations", reference="AAC-1/0010")
    desk.safe("AAC-1", document)
    desk.show("AAC-1")
    received = Received(
        number="1", kind="confirmations", idempotency_key="k", body={"reference": "AAC-1/0010"}
    )
    desk.erp._documents["k"] = received
    account = await desk.audit.settle(wait_s=0)
    assert account["undelivered"] == 0
    assert account["delivered_by_system"] == {"erp": 1}


async def test_each_reading_goes_on_where_the_last_one_ended(desk: Desk) -> None:
    for number in range(60):
        desk.safe(f"AAC-{number}")
        desk.show(f"AAC-{number}")
    await desk.audit.read()
    desk.safe("AAC-late")
    desk.show("AAC-late")
    await desk.audit.read()
    assert desk.hub.asked_after == [0, 500, 600]
    assert desk.audit.report()["lost"] == 0
