"""Exceptions as tasks: one per cause, with an owner, and closed by themselves once the cause is gone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx

from canonical.errors import Unresolved
from canonical.ports import Accepted, Delivery, Failed
from gateway.exceptions.causes import SOURCE
from router.journal import IngestBatch
from router.notices import HUB, notice, notice_message
from tests.gateway.hubs import Gate, event, opened
from tests.gateway.test_exceptions import ROW, letters, refused
from tests.router.rig import ScriptedSink, route
from tests.waiting import eventually


async def tasks(client: httpx.AsyncClient, query: str = "") -> list[Any]:
    answer = await client.get(f"/v1/exceptions{query}")
    assert answer.status_code == 200, answer.text
    return list(answer.json()["items"])


async def one(client: httpx.AsyncClient, occurrences: int = 1) -> Any:
    """The only task, once it struck so often."""

    async def found() -> Any:
        items = await tasks(client)
        return items[0] if [item["occurrences"] for item in items] == [occurrences] else None

    return await eventually(found)


async def told(gate: Gate) -> list[tuple[str, str]]:
    """(exception, status) of what was published."""
    recorded, _ = await gate.hub.journal.events(0, limit=1000)
    return [
        (item.event.data["exception"], item.event.data["status"])
        for item in recorded
        if item.event.source == SOURCE
    ]


async def breach(gate: Gate, status: str, number: int) -> None:
    data = {
        "sla": "inbound",
        "metric": "backlog_age",
        "threshold": 300.0,
        "observed": 400.0,
        "window": 3600,
        "plant": "brno",
        "status": status,
    }
    made = notice("integration.sla.breached", f"{HUB}/sla", f"sla-{number}", None, data)
    await gate.hub.journal.append(IngestBatch(adapter="hub", messages=[notice_message(made)]))


async def test_unknown_code_opens_one_task_that_its_row_closes(gate: Gate) -> None:
    def behave(delivery: Delivery) -> Accepted | Failed:
        crosswalk, at = gate.hub.crosswalks.current, gate.hub.clock()
        try:
            crosswalk.code(domain="item", system="erp", plant="aachen", canonical="A-1", at=at)
        except Unresolved as error:
            return Failed(error)
        return Accepted()

    await gate.route(route(), ScriptedSink(behave))
    await gate.record(*(event(number) for number in range(3)))
    steward = await gate.client("steward")
    task = await one(steward, occurrences=3)
    assert (task["kind"], task["queue"], task["status"], task["plant"]) == (
        "business",
        "engineering",
        "open",
        "aachen",
    )
    assert task["title"] == "item code 'A-1' of erp is unknown"
    assert task["due_at"] > task["opened_at"]
    assert (await steward.post("/v1/crosswalks", json=ROW)).status_code == 201

    async def closed() -> bool:
        await gate.hub.exceptions.look()
        return not await tasks(steward)

    await eventually(closed)
    shown = (await steward.get(f"/v1/exceptions/{task['id']}")).json()
    assert (shown["status"], shown["resolved_by"]) == ("resolved", "hub")
    assert "nothing waits" in shown["history"][-1]["text"]
    assert await told(gate) == [("exception-1", "open"), ("exception-1", "resolved")]
    statistics = (await steward.get("/v1/exceptions/statistics")).json()
    assert statistics["n"] == 1
    assert statistics["p50_s"] >= 0


async def test_refused_messages_of_one_group_are_one_task(gate: Gate) -> None:
    numbers = [
        await refused(gate, {"order": f"W-{n}", "item": "A", "quantity": "1", "at": "soon"}) for n in (1, 2)
    ]
    operator = await gate.client("operator")
    task = await one(operator, occurrences=2)
    assert (task["kind"], task["queue"]) == ("technical", "operations")
    for number in numbers:
        await operator.post(f"/v1/dead-letters/{number}/discard", json={"reason": "sent by mistake"})
    await gate.hub.exceptions.look()
    assert await tasks(operator) == []
    assert [item["status"] for item in await tasks(operator, "?status=all")] == ["resolved"]


async def test_people_assign_comment_and_resolve_and_a_cause_reopens(gate: Gate) -> None:
    await breach(gate, "breached", 1)
    operator = await gate.client("operator")
    task = await one(operator)
    assert (task["priority"], task["plant"]) == (1, "brno")
    path = f"/v1/exceptions/{task['id']}"
    assert (await operator.post(f"{path}/assign", json={"to": "night shift"})).json()["status"] == "assigned"
    assert (
        await operator.post(f"{path}/comment", json={"text": "the ERP is being patched"})
    ).status_code == 200
    assert (await operator.post(f"{path}/resolve", json={"resolution": " "})).status_code == 422
    ended = (await operator.post(f"{path}/resolve", json={"resolution": "patched"})).json()
    assert (ended["status"], ended["resolution"]) == ("resolved", "patched")
    assert (await operator.post(f"{path}/assign", json={"to": "x"})).status_code == 409
    await breach(gate, "breached", 2)
    again = await one(operator, occurrences=2)
    assert (again["status"], again["id"]) == ("reopened", task["id"])
    assert again["opened_at"] == task["opened_at"]  # the clock goes on
    await breach(gate, "recovered", 3)
    await eventually(lambda: _none(operator))
    texts = [note["text"] for note in (await operator.get(path)).json()["history"]]
    assert texts[:3] == ["assigned to night shift", "the ERP is being patched", "resolved: patched"]
    admin = await gate.client("admin")
    acts = (await admin.get(f"/v1/audit?subject=exception/{task['id']}")).json()["items"]
    assert {act["act"] for act in acts} == {"exception.assign", "exception.comment", "exception.resolve"}


async def _none(client: httpx.AsyncClient) -> bool:
    return not await tasks(client)


async def test_tasks_of_other_plants_are_not_seen(gate: Gate) -> None:
    await breach(gate, "breached", 1)
    task = await one(await gate.client("viewer"))
    limited = await gate.client("operator", plants=["aachen"])
    assert await tasks(limited) == []
    assert (await limited.get(f"/v1/exceptions/{task['id']}")).status_code == 403
    assert (await limited.post(f"/v1/exceptions/{task['id']}/comment", json={"text": "x"})).status_code == 403
    viewer = await gate.client("viewer")
    assert (await viewer.post(f"/v1/exceptions/{task['id']}/comment", json={"text": "x"})).status_code == 403
    assert (await viewer.get("/v1/exceptions/99")).status_code == 404


async def test_tasks_page_by_urgency(gate: Gate) -> None:
    for number, adapter in enumerate(("a", "b", "c")):
        await letters(gate, number, adapter=adapter)
        data = {
            "message": f"m{number}",
            "stage": "receiving",
            "error_class": "invalid",
            "error": f"row {number} is no order",
            "attempts": 1,
        }
        made = notice(
            "integration.message.dead_lettered", f"{HUB}/adapters/{adapter}", f"d{number}", None, data
        )
        await gate.hub.journal.append(IngestBatch(adapter="hub", messages=[notice_message(made)]))
    await breach(gate, "breached", 1)
    client = await gate.client("viewer")
    await eventually(lambda: _has(client, 4))
    first = (await client.get("/v1/exceptions?limit=2")).json()
    rest = (await client.get(f"/v1/exceptions?limit=2&cursor={first['next']}")).json()
    assert [item["priority"] for item in first["items"] + rest["items"]] == [1, 3, 3, 3]
    assert rest["next"] is None
    assert (await client.get("/v1/exceptions?cursor=x")).status_code == 422


async def _has(client: httpx.AsyncClient, number: int) -> bool:
    return len(await tasks(client)) == number


async def test_restart_neither_forgets_nor_counts_twice(tmp_path: Path) -> None:
    async with opened(tmp_path) as gate:
        await breach(gate, "breached", 1)
        await one(await gate.client("viewer"))
    async with opened(tmp_path) as gate:
        await gate.record(event(1))
        await gate.hub.exceptions.look()
        assert [task.occurrences for task in await gate.hub.exceptions.page({})] == [1]
        await eventually(lambda: gate.hub.exceptions.position >= gate.hub.journal.head)
        assert await told(gate) == [("exception-1", "open")]
