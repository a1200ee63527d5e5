"""A route in `mode: shadow` records what it would deliver, delivers nothing, and goes live at its place."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from canonical.ports import Transaction
from config.model import Deployment
from router import shadow
from tests.gateway.hubs import Gate, deployment, event, opened, order_data
from tests.gateway.ledger import Ledger, install
from tests.waiting import eventually


def sections(mode: str, **more: Any) -> dict[str, Any]:
    route = {
        "on": ["production.order.created"],
        "map": {"order": "data.order", "quantity": "int(data.quantity.value)"},
        "to": "erp",
        "mode": mode,
    }
    return {"adapters": {"erp": {"kind": "ledger"}}, "routes": {"orders": {**route, **more}}}


def configured(mode: str, **more: Any) -> Deployment:
    return deployment(**sections(mode, **more))


@pytest.fixture
async def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Gate]:
    install(monkeypatch)
    async with opened(tmp_path / "data", **sections("shadow")) as gate:
        yield gate


async def say(gate: Gate, *orders: str, quantity: str = "5") -> list[int]:
    """Their positions, once the route has settled them."""
    known = gate.hub.journal.head
    data = [order_data(order, quantity={"value": quantity, "uom": "H87"}) for order in orders]
    positions = await gate.record(*(event(known + n, data=one) for n, one in enumerate(data)))
    await eventually(lambda: gate.hub.engines["orders"].status.cursor >= positions[-1])
    await gate.hub.journal.write(lambda _: None)
    return positions


async def test_it_records_and_delivers_nothing(site: Gate) -> None:
    [position, _] = await say(site, "A", "B")
    client = await site.client("viewer")
    way = (await client.get(f"/v1/events/{position}/timeline")).json()["routes"][0]
    assert (way["state"], way["reason"]) == ("shadow", "recorded, not delivered")
    assert json.loads(way["would_deliver"]["body"]) == {"order": "A", "quantity": 5}
    assert way["would_deliver"]["content_type"] == "application/json"
    [route] = (await client.get("/v1/routes")).json()["items"]
    assert (route["mode"], route["shadow"]["recorded"]) == ("shadow", 2)
    assert route["backlog"] == []
    assert Ledger.got == []
    assert not site.hub.metrics.deliveries  # neither delivered nor late: no service level counts it
    assert not site.hub.metrics.latency


async def test_a_shadow_that_batches_records_one_by_one_and_gathers_once_it_is_live(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch)
    batch = {"size": 2, "within": "1h"}
    async with opened(tmp_path / "data", **sections("shadow", batch=batch)) as gate:
        await say(gate, "A")
        assert Ledger.got == []
        await gate.hub.reload(configured("live", batch=batch), by="test")
        await say(gate, "B", "C")
        [(_, bodies)] = Ledger.got
        assert [body["order"] for body in bodies] == ["B", "C"]
        loaded = await gate.hub.reload(configured("live"), by="test")
        assert (loaded.adapters, loaded.routes) == ([], ["orders"])
        await say(gate, "D")
        assert [body["order"] for _, body in Ledger.got[1:]] == ["D"]
        rows = "SELECT count(*) FROM batches"
        assert await gate.hub.journal.read(lambda t: t.execute(rows)) == [(1,)]
        await gate.hub.reload(deployment(**{**sections("live"), "routes": {}}), by="test")
        await gate.hub.forget_route("orders", by="test")
        assert await gate.hub.journal.read(lambda t: t.execute(rows)) == [(0,)]  # nor the documents


async def test_live_begins_at_its_place_and_what_was_recorded_stays_undelivered(site: Gate) -> None:
    await say(site, "A", "B")
    loaded = await site.hub.reload(configured("live"), by="test")
    assert (loaded.adapters, loaded.routes) == ([], ["orders"])
    [position] = await say(site, "C")
    assert [payload["order"] for _, payload in Ledger.got] == ["C"]
    client = await site.client("viewer")
    assert (await client.get(f"/v1/events/{position}/timeline")).json()["routes"][0]["state"] == "delivered"
    [route] = (await client.get("/v1/routes")).json()["items"]
    assert (route["mode"], route["shadow"]) == ("live", None)
    await site.hub.reload(configured("shadow"), by="test")
    await say(site, "D")
    assert len(Ledger.got) == 1


async def test_a_mapping_that_fails_is_recorded_too_and_calls_nobody(site: Gate) -> None:
    [position] = await say(site, "A", quantity="5.5")
    client = await site.client("viewer")
    way = (await client.get(f"/v1/events/{position}/timeline")).json()
    told = way["routes"][0]["would_deliver"]
    assert told["content_type"] == shadow.FAILURE
    assert "quantity" in json.loads(told["body"])["error"]
    assert way["dead_letters"] == []
    assert await site.hub.journal.read(lambda t: t.execute("SELECT count(*) FROM lanes")) == [(0,)]


async def test_a_shadow_is_not_replayed_and_counts_as_not_delivered_in_a_dry_run(site: Gate) -> None:
    await say(site, "A")
    client = await site.client("integrator")
    asked = {"route": "orders", "since": "2020-01-01T00:00:00Z"}
    answer = await client.post("/v1/replays", json=asked)
    assert (answer.status_code, answer.json()["detail"]) == (
        409,
        "route 'orders' is a shadow: it delivers nothing",
    )
    begun = (await client.post("/v1/replays", json={**asked, "dry_run": True})).json()

    async def added() -> bool:
        found = (await client.get(f"/v1/replays/{begun['id']}")).json()
        return bool(found["state"] == "done" and found["result"]["counts"]["added"] == 1)

    await eventually(added)


async def test_what_was_recorded_goes_with_its_journal(site: Gate) -> None:
    await say(site, "A")
    await say(site, "B")

    def age(transaction: Transaction) -> None:
        transaction.execute("DELETE FROM bundles WHERE first = (SELECT min(first) FROM bundles)")
        transaction.execute("UPDATE bundles SET committed_at = (SELECT max(at) FROM shadows)")

    await site.hub.journal.write(age)
    assert await site.hub.journal.write(shadow.tidy) == 1
    assert await site.hub.journal.write(shadow.tidy) == 0
    rows = await site.hub.journal.read(lambda t: t.execute("SELECT payload FROM shadows"))
    assert [json.loads(payload)["order"] for (payload,) in rows] == ["B"]
