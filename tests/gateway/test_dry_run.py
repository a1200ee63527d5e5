"""What a retry would do: told per dead letter and counted per outcome, with nothing delivered or changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx

from canonical.errors import Rejected
from canonical.expression import FieldMap
from canonical.ports import Failed
from tests.gateway.hubs import HOOK_SECRET, Gate, event, opened, order_data
from tests.gateway.test_edits import propose
from tests.gateway.test_exceptions import GOOD, letters, refused
from tests.router.rig import ScriptedSink, route
from tests.waiting import eventually


async def dry(client: httpx.AsyncClient, number: int) -> Any:
    answer = await client.post(f"/v1/dead-letters/{number}/dry-run")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def open_letters(client: httpx.AsyncClient, many: int) -> list[Any]:
    async def listed() -> list[Any]:
        items = (await client.get("/v1/dead-letters?status=open")).json()["items"]
        return items if len(items) >= many else []

    found: list[Any] = await eventually(listed)
    return found


async def untouched(gate: Gate, sink: ScriptedSink | None = None) -> Any:
    """What a dry run must leave as it is."""
    rows = await gate.hub.journal.read(
        lambda t: (
            t.execute("SELECT id, status, attempts, last_at FROM dead_letters ORDER BY id"),
            t.execute("SELECT route, key, position, state, event FROM lanes ORDER BY route, key, position"),
            t.execute("SELECT count(*) FROM audit"),
        )
    )
    return rows, gate.hub.journal.head, len(sink.calls) if sink else 0


async def test_refused_message_is_told_to_fail_again_with_its_pointers(gate: Gate) -> None:
    number = await refused(gate)
    await eventually(lambda: gate.hub.journal.head == 2)  # the hub tells of the letter, then of the exception
    viewer = await gate.client("viewer")
    before = await untouched(gate)
    told = await dry(viewer, number)
    assert (told["outcome"], told["where"], told["sent"]) == ("would_fail", "mes", [])
    assert any("soon" in error["detail"] for error in told["errors"]), told
    assert await untouched(gate) == before


async def test_message_that_the_configuration_understands_by_now_is_told_to_be_delivered(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as gate:
        await letters(gate, 1, body=json.dumps({**GOOD, "quantity": "3"}).encode(), error="was wrong")
        sink = ScriptedSink()
        await gate.route(route(types=frozenset({event(1).type})), sink)
        viewer = await gate.client("viewer")
        before = await untouched(gate, sink)
        told = await dry(viewer, 1)
        assert told["outcome"] == "would_deliver", told
        (sent,) = told["sent"]
        assert (sent["route"], json.loads(sent["body"])["order"]) == ("orders", "W-1")
        assert await untouched(gate, sink) == before


async def test_repetition_and_conflict_are_known_from_the_journal(gate: Gate) -> None:
    client = await gate.client()
    headers = {"Authorization": f"Bearer {HOOK_SECRET}"}
    body = {"order": "W-9", "item": "A-1", "quantity": "5", "at": "2026-03-31T10:00:00Z"}
    assert (await client.post("/v1/webhooks/mes", json=body, headers=headers)).status_code == 202
    await letters(gate, 1, body=json.dumps(body).encode())
    await letters(gate, 2, body=json.dumps({**body, "quantity": "6"}).encode())
    viewer = await gate.client("viewer")
    same, other = await dry(viewer, 1), await dry(viewer, 2)
    assert (same["outcome"], "recorded already" in same["reason"]) == ("nothing_to_send", True)
    assert (other["outcome"], other["code"]) == ("would_fail", "conflict")


async def test_what_the_target_refused_is_left_to_the_target(gate: Gate) -> None:
    sink = ScriptedSink(lambda _: Failed(Rejected("order 'O-1' is closed")))
    await gate.route(route(), sink)
    await gate.record(event(1))
    viewer = await gate.client("viewer")
    (letter,) = await open_letters(viewer, 1)
    told = await dry(viewer, letter["id"])
    assert told["outcome"] == "target_decides"
    assert "order 'O-1' is closed" in told["reason"]
    assert json.loads(told["sent"][0]["body"])["order"] == "O-1"
    assert len(sink.calls) == 1


async def test_failed_map_is_told_until_the_data_is_edited(gate: Gate) -> None:
    fields = FieldMap({"first": "data.sales_order"})
    sink = ScriptedSink()
    await gate.route(route(fields=fields), sink)
    await gate.record(event(1, data=order_data("O-1")))
    operator, approver = await gate.client("operator"), await gate.client("approver")
    (letter,) = await open_letters(operator, 1)
    told = await dry(operator, letter["id"])
    assert (told["outcome"], told["code"]) == ("would_fail", "expression")
    assert told["reason"].startswith("first: ")
    data = order_data("O-1", sales_order="S-1")
    content = json.dumps(data).encode()
    checked = await gate.hub.dry_run.one(letter["id"], content)
    assert checked.outcome == "would_deliver"
    assert json.loads(checked.sent[0].payload) == {"first": "S-1"}
    edit = (await propose(operator, letter["id"], data=data)).json()
    await approver.post(f"/v1/dead-letters/{letter['id']}/edits/{edit['id']}/approve")
    await eventually(lambda: len(sink.accepted) == 1)
    assert (await dry(operator, letter["id"]))["outcome"] == "not_possible"


async def test_group_is_counted_by_outcome_and_reason(gate: Gate) -> None:
    await letters(gate, *range(30), adapter="gone")
    bad = json.dumps({**GOOD, "at": "later"}).encode()
    await letters(gate, *range(100, 107), body=bad, error="was wrong")
    await letters(gate, 200, body=json.dumps(GOOD).encode(), error="was wrong")
    await letters(gate, 300, plant="brno", status="discarded")
    viewer = await gate.client("viewer")
    wanted = {"filter": {"kind": "message"}, "limit": 3}
    told = (await viewer.post("/v1/dead-letters/dry-run", json=wanted)).json()
    assert (told["total"], told["tried"], len(told["items"])) == (38, 38, 3)
    counts = {name: number for name, number in told["outcomes"].items() if number}
    assert counts == {"not_possible": 30, "would_fail": 7, "nothing_to_send": 1}
    assert [(one["outcome"], one["count"]) for one in told["reasons"]] == [
        ("not_possible", 30),
        ("would_fail", 7),
        ("nothing_to_send", 1),
    ]
    elsewhere = await gate.client("viewer", plants=["brno"])
    told = (await elsewhere.post("/v1/dead-letters/dry-run", json=wanted)).json()
    assert (told["total"], told["tried"]) == (0, 0)


async def test_dry_run_of_nothing_chosen_or_not_seen_is_refused(gate: Gate) -> None:
    await letters(gate, 1)
    viewer = await gate.client("viewer")
    for body in ({}, {"group": "x", "limit": 1000}, {"filter": {"colour": "red"}}):
        assert (await viewer.post("/v1/dead-letters/dry-run", json=body)).status_code == 422, body
    assert (await viewer.post("/v1/dead-letters/9/dry-run")).status_code == 404
    limited = await gate.client("viewer", plants=["brno"])
    assert (await limited.post("/v1/dead-letters/1/dry-run")).status_code == 403
