"""What a newcomer tries with curl: a CloudEvent in, back out with its way, and every refusal."""

from __future__ import annotations

import asyncio
import json
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.hub import HubProcess
from tests.servers.ports import LOOPBACK
from tests.waiting import eventually

pytestmark = [pytest.mark.requires_server("curl"), pytest.mark.timeout(180)]

SETTINGS = """
company: acme
gateway: {{bind: {host}, port: {port}}}
plants:
  aachen: {{name: Aachen, timezone: Europe/Berlin}}
  brno: {{name: Brno, timezone: Europe/Prague}}
adapters:
  archive: {{kind: files, path: {folder}}}
routes:
  orders:
    on: [production.order.created]
    map: {{order: data.order}}
    to: {{adapter: archive, name: "{{data.order}}.json"}}
"""
DATA = {
    "order": "4711",
    "item": "PUMP-1",
    "quantity": {"value": "5", "uom": "H87"},
    "planned_start": "2026-03-31T10:00:00Z",
    "planned_end": "2026-03-31T12:00:00Z",
}
EVENT = {
    "specversion": "1.0",
    "id": "e-1",
    "source": "/systems/planning",
    "type": "com.crossplant.production.order.created.v1",
    "plantid": "brno",
    "data": DATA,
}
STRUCTURED = "Content-Type: application/cloudevents+json"


class Curl:
    """curl against a hub, and its keys."""

    def __init__(self, hub: HubProcess) -> None:
        self.hub, self.key = hub, ""

    async def __call__(self, path: str, *arguments: str, key: str | None = None) -> tuple[int, Any]:
        """(status, JSON) of a request; ``key`` "" for none."""
        chosen = self.key if key is None else key
        told = ["-H", f"Authorization: Bearer {chosen}"] if chosen else []
        process = await asyncio.create_subprocess_exec(
            *("curl", "-s", "-w", "\n%{http_code}", *told, *arguments),
            f"http://{LOOPBACK}:{self.hub.port}{path}",
            stdout=PIPE,
        )
        out, _ = await process.communicate()
        assert process.returncode == 0
        body, _, status = out.decode().rpartition("\n")
        return int(status), json.loads(body)

    async def post(self, event: object, key: str | None = None) -> tuple[int, Any]:
        """A CloudEvent in structured mode."""
        return await self("/v1/events", "-H", STRUCTURED, "-d", json.dumps(event), key=key)


@pytest.fixture
async def curl(tmp_path: Path, free_port: Callable[[], int]) -> AsyncIterator[Curl]:
    port = free_port()
    (tmp_path / "archive").mkdir()
    settings = tmp_path / "deployment.yaml"
    settings.write_text(SETTINGS.format(host=LOOPBACK, port=port, folder=tmp_path / "archive"))
    made = Curl(HubProcess(tmp_path, settings, port))
    try:
        await made.hub.start()
        assert not made.hub.dead, made.hub.log()
        made.key = await made.hub.key()
        yield made
        code = await made.hub.stop()
    finally:
        await made.hub.end()
    assert code == 0, made.hub.log()[-3000:]


async def test_an_event_is_posted_and_read_back_with_its_timeline(curl: Curl, tmp_path: Path) -> None:
    status, answer = await curl.post(EVENT)
    (result,) = answer["results"]
    assert (status, result["outcome"], result["id"]) == (202, "accepted", "e-1")
    position = result["position"]
    status, event = await curl(f"/v1/events/{position}")
    assert (status, event["id"], event["data"]) == (200, "e-1", DATA)
    found = await curl("/v1/events/lookup?source=/systems/planning&id=e-1")
    assert (found[0], found[1]["position"]) == (200, position)

    async def delivered() -> Any:
        _, told = await curl(f"/v1/events/{position}/timeline")
        return told if told["routes"][0]["state"] == "delivered" else None

    told = await eventually(delivered)
    assert json.loads(told["raw"]["body"]) == EVENT
    assert (told["routes"][0]["route"], told["routes"][0]["attempts"]) == ("orders", 1)
    assert json.loads((tmp_path / "archive" / "4711.json").read_text()) == {"order": "4711"}


async def test_the_same_again_is_a_duplicate_and_other_data_a_conflict(curl: Curl) -> None:
    _, first = await curl.post(EVENT)
    status, again = await curl.post(EVENT)
    assert (status, again["results"][0]["outcome"]) == (202, "duplicate")
    assert again["results"][0]["position"] == first["results"][0]["position"]
    status, other = await curl.post({**EVENT, "data": {**DATA, "item": "PUMP-2"}})
    (result,) = other["results"]
    assert (status, result["outcome"], result["position"]) == (202, "conflict", None)
    status, letter = await curl(f"/v1/dead-letters/{result['dead_letter']}")
    assert (status, letter["status"], json.loads(letter["body"])["data"]["item"]) == (200, "open", "PUMP-2")


async def test_wrong_data_are_refused_with_every_pointer(curl: Curl) -> None:
    wrong = {**DATA, "quantity": {"value": "many"}, "planned_end": "soon", "colour": "red"}
    del wrong["order"]
    status, answer = await curl.post({**EVENT, "data": wrong})
    assert (status, answer["code"], answer["status"]) == (422, "invalid_event", 422)
    assert {fault["pointer"] for fault in answer["errors"]} == {
        *("/data/colour", "/data/order", "/data/planned_end", "/data/quantity/uom", "/data/quantity/value")
    }
    assert (await curl("/v1/events"))[1]["items"] == []  # nothing of it was taken in


async def test_no_key_is_401_and_a_key_of_another_plant_403(curl: Curl) -> None:
    status, answer = await curl.post(EVENT, key="")
    assert (status, answer["code"]) == (401, "unauthorized")
    request = json.dumps({"name": "aachen", "roles": ["integrator"], "plants": ["aachen"]})
    status, made = await curl("/v1/keys", "-H", "Content-Type: application/json", "-d", request)
    assert status == 201, made
    status, answer = await curl.post(EVENT, key=made["key"])
    assert (status, [fault["pointer"] for fault in answer["errors"]]) == (403, ["/plantid"])
    assert (await curl.post({**EVENT, "plantid": "aachen", "id": "e-2"}, key=made["key"]))[0] == 202
    _, posted = await curl.post(EVENT)
    position = posted["results"][0]["position"]
    assert (await curl(f"/v1/events/{position}", key=made["key"]))[0] == 403
