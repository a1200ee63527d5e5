"""POST /v1/events: what is taken, what is refused, and with which words."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.gateway.hubs import BATCH, STRUCTURED, Gate, cloud_event, order_data


async def post(client: httpx.AsyncClient, body: Any, content_type: str = STRUCTURED) -> httpx.Response:
    return await client.post("/v1/events", content=json.dumps(body), headers={"content-type": content_type})


def pointers(answer: httpx.Response) -> list[str]:
    return [error["pointer"] for error in answer.json()["errors"]]


async def test_an_event_is_durable_and_shown_once_it_is_accepted(gate: Gate) -> None:
    client = await gate.client("integrator")
    answer = await post(client, cloud_event())
    assert answer.status_code == 202
    assert answer.json() == {
        "results": [{"source": "/systems/planning", "id": "e-1", "position": 1, "outcome": "accepted"}]
    }
    shown = (await client.get("/v1/events/1")).json()
    assert shown["position"] == 1
    assert (shown["subject"], shown["domain"], shown["partitionkey"]) == ("O-1", "production", "O:O-1")
    assert shown["recordedtime"]


async def test_the_same_again_is_a_duplicate_other_data_a_conflict(gate: Gate) -> None:
    client = await gate.client("admin")
    await post(client, cloud_event())
    again = (await post(client, cloud_event())).json()["results"][0]
    assert (again["outcome"], again["position"]) == ("duplicate", 1)
    other = await post(client, cloud_event(data=order_data("O-2")))
    assert other.status_code == 202
    result = other.json()["results"][0]
    assert (result["outcome"], result["position"]) == ("conflict", None)
    letter = (await client.get(f"/v1/dead-letters/{result['dead_letter']}")).json()
    assert (letter["code"], letter["status"], json.loads(letter["body"])["id"]) == ("conflict", "open", "e-1")


async def test_a_batch_has_an_outcome_per_event(gate: Gate) -> None:
    client = await gate.client("integrator")
    events = [cloud_event("a"), cloud_event("b"), cloud_event("a")]
    answer = await post(client, events, BATCH)
    assert [result["outcome"] for result in answer.json()["results"]] == ["accepted", "accepted", "duplicate"]
    assert [result["position"] for result in answer.json()["results"]] == [1, 2, 1]


async def test_an_empty_batch_is_accepted_and_changes_nothing(gate: Gate) -> None:
    answer = await post(await gate.client("integrator"), [], BATCH)
    assert (answer.status_code, answer.json()) == (202, {"results": []})
    assert gate.hub.journal.head == 0


async def test_binary_mode(gate: Gate) -> None:
    client = await gate.client("integrator")
    headers = {
        "ce-specversion": "1.0",
        "ce-id": "b-1",
        "ce-source": "/systems/planning",
        "ce-type": "com.crossplant.production.order.created.v1",
        "ce-plantid": "aachen",
        "content-type": "application/json",
    }
    answer = await client.post("/v1/events", content=json.dumps(order_data("O-7")), headers=headers)
    assert answer.status_code == 202
    raw = (await client.get("/v1/events/1/timeline")).json()["raw"]
    assert json.loads(raw["body"]) == order_data("O-7")
    assert raw["attributes"]["header.ce-id"] == "b-1"
    assert raw["attributes"]["by"] == "test 0"


async def test_every_fault_of_the_data_has_its_pointer(gate: Gate) -> None:
    data = order_data(planned_start="yesterday", quantity={"value": 5, "uom": "H87"}, colour="red")
    del data["item"]
    answer = await post(await gate.client("integrator"), cloud_event(data=data))
    assert answer.status_code == 422
    assert answer.json()["code"] == "invalid_event"
    found = pointers(answer)
    assert {"/data/item", "/data/planned_start", "/data/quantity/value", "/data/colour"} <= set(found)
    assert gate.hub.journal.head == 0


async def test_nothing_of_a_faulty_batch_is_recorded(gate: Gate) -> None:
    events = [
        cloud_event("a"),
        cloud_event("b", data=order_data(item=5)),
        cloud_event("c", type="com.crossplant.production.order.creatd.v1"),
    ]
    answer = await post(await gate.client("integrator"), events, BATCH)
    assert answer.status_code == 422
    assert pointers(answer) == ["/1/data/item", "/2/type"]
    assert "production.order.created" in answer.json()["errors"][1]["detail"]
    assert gate.hub.journal.head == 0


async def test_faults_of_the_envelope_in_a_batch_have_their_index(gate: Gate) -> None:
    bad = cloud_event("b", source=None, time="noon")
    answer = await post(await gate.client("integrator"), [cloud_event("a"), bad, 5], BATCH)
    assert answer.status_code == 422
    assert {"/1/source", "/1/time", "/2"} <= set(pointers(answer))


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"type": "production.order.created"}, "/type"),
        ({"type": "org.example.thing"}, "/type"),
        ({"plantid": "paris"}, "/plantid"),
        ({"domain": "sales"}, "/domain"),
        ({"source": "/hub/routes/x"}, "/source"),
        ({"id": "x" * 2000}, "/id"),
        ({"data": None}, "/data"),
    ],
)
async def test_what_the_catalogue_and_the_deployment_refuse(
    gate: Gate, change: dict[str, Any], pointer: str
) -> None:
    answer = await post(await gate.client("integrator"), cloud_event(**change))
    assert answer.status_code == 422, answer.text
    assert any(found.startswith(pointer) for found in pointers(answer)), answer.text
    assert gate.hub.journal.head == 0


async def test_an_event_that_says_not_what_it_is_about_is_refused(gate: Gate) -> None:
    measured = {
        "tag": "t",
        "value": "1",
        "uom": "C62",
        "quality": "good",
        "source_time": "2026-03-31T10:00:00Z",
    }
    event = cloud_event(type="com.crossplant.telemetry.measurement.recorded.v1", data=measured)
    answer = await post(await gate.client("integrator"), event)
    assert (answer.status_code, pointers(answer)) == (422, ["/subject"])


@pytest.mark.parametrize(
    "content_type", ["application/json", "text/plain", "application/cloudevents+avro", ""]
)
async def test_another_media_type_is_415(gate: Gate, content_type: str) -> None:
    answer = await post(await gate.client("integrator"), cloud_event(), content_type)
    assert answer.status_code == 415
    assert STRUCTURED in answer.json()["detail"]


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"\xff", b'{"specversion":"1.0"}', b"null"])
async def test_rubbish_is_422_and_says_where(gate: Gate, body: bytes) -> None:
    client = await gate.client("integrator")
    answer = await client.post("/v1/events", content=body, headers={"content-type": STRUCTURED})
    assert answer.status_code == 422
    assert answer.json()["detail"]


async def test_deeply_nested_json_is_refused(gate: Gate) -> None:
    client = await gate.client("integrator")
    bomb = b'{"data":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    answer = await client.post("/v1/events", content=bomb, headers={"content-type": STRUCTURED})
    assert (answer.status_code, answer.json()["code"]) == (422, "too_deep")


async def test_a_batch_has_a_limit(gate: Gate) -> None:
    events = [cloud_event(str(number)) for number in range(1001)]
    answer = await post(await gate.client("integrator"), events, BATCH)
    assert (answer.status_code, answer.json()["code"]) == (413, "too_many_events")
    assert gate.hub.journal.head == 0


async def test_a_key_speaks_for_its_plants_only(gate: Gate) -> None:
    client = await gate.client("integrator", plants=["aachen"])
    assert (await post(client, cloud_event("a"))).status_code == 202
    other = await post(client, cloud_event("b", plantid="brno"))
    assert (other.status_code, pointers(other)) == (403, ["/plantid"])
    none = await post(client, cloud_event("c", plantid=None))
    assert (none.status_code, pointers(none)) == (403, ["/plantid"])
    posing = await post(client, cloud_event("d", source="/plants/brno/adapters/press"))
    assert (posing.status_code, pointers(posing)) == (403, ["/source"])
    mixed = await post(client, [cloud_event("e"), cloud_event("f", plantid="brno")], BATCH)
    assert (mixed.status_code, pointers(mixed)) == (403, ["/1/plantid"])
    assert gate.hub.journal.head == 1


async def test_a_key_speaks_for_its_domains_only(gate: Gate) -> None:
    client = await gate.client("integrator", domains=["sales"])
    answer = await post(client, cloud_event())
    assert (answer.status_code, pointers(answer)) == (403, ["/type"])
    assert gate.hub.journal.head == 0


async def test_an_event_of_no_plant_needs_a_key_of_all(gate: Gate) -> None:
    answer = await post(await gate.client("integrator"), cloud_event(plantid=None))
    assert answer.status_code == 202


async def test_a_full_journal_answers_503(gate: Gate) -> None:
    gate.hub.journal._room.clear()
    answer = await post(await gate.client("integrator"), cloud_event())
    assert (answer.status_code, answer.json()["retryable"]) == (503, True)
    assert answer.headers["retry-after"]
    gate.hub.journal._room.set()
