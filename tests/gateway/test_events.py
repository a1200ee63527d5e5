"""GET /v1/events and what is beside it: pages, filters, look-ups, search."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest

from tests.gateway.hubs import Gate, event

MOVED = {
    "type": "com.crossplant.inventory.moved.v1",
    "data": {
        "item": "A-1",
        "from": {"plant": "brno", "storage": "S1"},
        "to": {"plant": "brno", "storage": "S2"},
        "quantity": {"value": "5", "uom": "H87"},
        "at": "2026-03-31T10:00:00Z",
        "lot": "L-77",
    },
}


async def positions(client: httpx.AsyncClient, **params: Any) -> list[int]:
    answer = await client.get("/v1/events", params=params)
    assert answer.status_code == 200, answer.text
    return [item["position"] for item in answer.json()["items"]]


async def test_pages_go_on_by_their_links_and_have_everything_once(gate: Gate) -> None:
    await gate.record(*(event(number) for number in range(1, 26)))
    client = await gate.client("viewer")
    url, seen, pages = "/v1/events?limit=10&type=production.order.created", [], 0
    while url:
        answer = await client.get(url)
        seen += [item["position"] for item in answer.json()["items"]]
        pages += 1
        link = answer.links.get("next")
        assert (link is None) == (answer.json()["next"] is None)
        url = link["url"] if link else ""
    assert (seen, pages) == (list(range(1, 26)), 3)


async def test_a_page_that_ends_exactly_has_no_next(gate: Gate) -> None:
    await gate.record(*(event(number) for number in range(1, 11)))
    answer = await (await gate.client("viewer")).get("/v1/events?limit=10")
    assert "link" not in answer.headers


async def test_what_comes_while_paging_comes_once(gate: Gate) -> None:
    client = await gate.client("viewer")
    await gate.record(*(event(number) for number in range(1, 4)))
    first = (await client.get("/v1/events?limit=2")).json()
    await gate.record(event(9))
    assert await positions(client, limit=10, cursor=first["next"]) == [3, 4]


async def test_filters(gate: Gate) -> None:
    await gate.record(
        event(1),
        event(2, plantid="brno", correlationid="c-1"),
        event(3, plantid="brno", **MOVED),
        event(4, plantid=None, source="/systems/planning"),
        event(5, subject="S-5"),
    )
    client = await gate.client("viewer")
    assert await positions(client, type="inventory.moved") == [3]
    assert await positions(client, type=MOVED["type"]) == [3]
    assert await positions(client, plant="brno") == [2, 3]
    assert await positions(client, plant="-") == [4]
    assert await positions(client, domain="inventory") == [3]
    assert await positions(client, source="/systems/planning") == [4]
    assert await positions(client, subject="O-1") == [1]
    assert await positions(client, subject="S-5") == [5]
    assert await positions(client, correlationid="c-1") == [2]
    assert await positions(client, correlationid="c-1", plant="aachen") == []
    assert await positions(client, subject="nothing") == []
    assert await positions(client, plant="paris") == []


async def test_since_and_until_are_when_it_was_recorded(gate: Gate) -> None:
    client = await gate.client("viewer")
    times = []
    for number in range(1, 4):
        await gate.record(event(number, time=gate.hub.clock() - timedelta(days=number)))
        shown = (await client.get(f"/v1/events/{number}")).json()
        times.append(shown["recordedtime"])
        await asyncio.sleep(0.002)
    assert await positions(client, since=times[1]) == [2, 3]
    assert await positions(client, until=times[1]) == [1, 2]
    assert await positions(client, since=times[1], until=times[1]) == [2]
    assert await positions(client, since="2036-01-01T00:00:00Z") == []
    assert await positions(client, since="2020-01-01T00:00:00+02:00") == [1, 2, 3]


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("limit=0", "/query/limit"),
        ("limit=1001", "/query/limit"),
        ("limit=x", "/query/limit"),
        ("cursor=abc", "/query/cursor"),
        ("cursor=-5", "/query/cursor"),
        ("since=yesterday", "/query/since"),
        ("since=2026-01-01T00:00:00", "/query/since"),
        ("type=no.such.thing", "/query/type"),
        ("since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z", "/query/since"),
    ],
)
async def test_parameters_that_make_no_sense_are_422(gate: Gate, query: str, pointer: str) -> None:
    answer = await (await gate.client("viewer")).get(f"/v1/events?{query}")
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


async def test_an_event_is_found_by_its_identity(gate: Gate) -> None:
    await gate.record(event(1), event(2))
    client = await gate.client("viewer")
    params = {"source": "/plants/aachen/adapters/mes", "id": "000002"}
    assert (await client.get("/v1/events/lookup", params=params)).json()["position"] == 2
    params["source"] = "/elsewhere"
    assert (await client.get("/v1/events/lookup", params=params)).status_code == 404


@pytest.mark.parametrize("position", ["3", "0", "-1", "x", str(2**70)])
async def test_what_is_at_no_position(gate: Gate, position: str) -> None:
    await gate.record(event(1))
    answer = await (await gate.client("viewer")).get(f"/v1/events/{position}")
    assert answer.status_code == (404 if position == "3" else 422)


async def test_search_knows_positions_ids_and_business_keys(gate: Gate) -> None:
    await gate.record(event(1), event(2, plantid="brno", **MOVED), event(3, correlationid="L-77"))
    client = await gate.client("viewer")

    async def found(text: str) -> list[int]:
        answer = await client.get("/v1/search", params={"q": text})
        return [hit["position"] for hit in answer.json()["items"]]

    assert await found("2") == [2]
    assert await found("000003") == [3]
    assert await found("O-1") == [1]
    assert await found(" L-77 ") == [3, 2]
    assert await found("nothing") == []
    assert (await client.get("/v1/search", params={"q": ""})).status_code == 422


async def test_an_answer_has_what_was_committed_before_the_question(gate: Gate) -> None:
    client = await gate.client("viewer")
    for number in range(1, 40):
        (position,) = await gate.record(event(number))
        assert await positions(client, subject=f"O-{number}") == [position]


async def test_events_of_many_commits_are_read_in_order(gate: Gate) -> None:
    for number in range(1, 60):
        await gate.record(event(number, plantid="brno" if number % 7 == 0 else "aachen"))
    client = await gate.client("viewer")
    assert await positions(client, plant="brno") == [7, 14, 21, 28, 35, 42, 49, 56]
