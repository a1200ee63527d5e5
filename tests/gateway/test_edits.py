"""Edits of dead letters: checked, approved by a second person, the original kept, all of it audited."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from canonical.errors import Rejected
from canonical.ports import Accepted, Delivery, Failed, SinkOutcome
from tests.gateway.hubs import Gate, event, opened, order_data
from tests.gateway.test_exceptions import BAD, GOOD, refused
from tests.router.rig import ScriptedSink, route
from tests.waiting import eventually


async def propose(client: httpx.AsyncClient, number: int, **body: Any) -> httpx.Response:
    return await client.post(f"/v1/dead-letters/{number}/edit", json={"reason": "the date is wrong", **body})


async def undelivered(gate: Gate, sink: ScriptedSink) -> int:
    """The number of the dead letter of a delivery whose quantity the sink does not take."""
    await gate.route(route(), sink)
    await gate.record(event(1), event(2, data=order_data("O-1", item="A-2")))
    client = await gate.client("viewer")

    async def number() -> int:
        items = (await client.get("/v1/dead-letters?status=open")).json()["items"]
        return int(items[0]["id"]) if items else 0

    return await eventually(number)


def picky(delivery: Delivery) -> SinkOutcome:
    """Takes no quantity of 5 but for item A-2."""
    data = delivery.event.data
    if data["quantity"]["value"] == "5" and data["item"] != "A-2":
        return Failed(Rejected("quantity 5 is too much"))
    return Accepted()


async def test_edited_message_is_taken_in_once_a_second_person_approves(gate: Gate) -> None:
    number = await refused(gate)
    operator, approver = await gate.client("operator"), await gate.client("approver")
    proposed = await propose(operator, number, body=json.dumps(GOOD))
    assert proposed.status_code == 201, proposed.text
    edit = proposed.json()
    assert (edit["state"], edit["changes"]) == (
        "proposed",
        [{"at": "/at", "before": "soon", "after": GOOD["at"]}],
    )
    assert (await operator.get(f"/v1/dead-letters/{number}")).json()["status"] == "open"
    applied = await approver.post(f"/v1/dead-letters/{number}/edits/{edit['id']}/approve")
    assert (applied.status_code, applied.json()["state"]) == (200, "applied"), applied.text
    letter = (await operator.get(f"/v1/dead-letters/{number}")).json()
    assert letter["status"] == "recovered"
    assert json.loads(letter["body"]) == BAD  # the original stays
    assert (await operator.get("/v1/search?q=W-1")).json()["items"]
    admin = await gate.client("admin")
    acts = (await admin.get(f"/v1/audit?subject=dead_letter/{number}")).json()["items"]
    assert {act["act"] for act in acts} >= {"dead_letter.edit", "edit.applied", "dead_letter.retry"}
    proposed_act = next(act for act in acts if act["act"] == "dead_letter.edit")
    original = proposed_act["details"]["original"]
    assert json.loads(original["text"]) == BAD
    assert original["sha256"] == hashlib.sha256(letter["body"].encode()).hexdigest()
    applied_act = next(act for act in acts if act["act"] == "edit.applied")
    assert proposed_act["actor"] == applied_act["details"]["author"] != applied_act["actor"]
    assert (edit["author"], applied.json()["decided_by"]) == (proposed_act["actor"], applied_act["actor"])
    for act in (proposed_act, applied_act):
        assert act["details"]["changes"] == [{"at": "/at", "before": "soon", "after": GOOD["at"]}]


async def test_edited_delivery_goes_out_under_its_old_key_and_frees_its_lane(gate: Gate) -> None:
    sink = ScriptedSink(picky)
    number = await undelivered(gate, sink)
    first = sink.calls[0].idempotency_key
    operator, approver = await gate.client("operator"), await gate.client("approver")
    data = order_data("O-1", quantity={"value": "4", "uom": "H87"})
    edit = (await propose(operator, number, data=data)).json()
    assert edit["changes"] == [{"at": "/quantity/value", "before": "5", "after": "4"}]
    answer = await approver.post(f"/v1/dead-letters/{number}/edits/{edit['id']}/approve")
    assert answer.status_code == 200, answer.text
    await eventually(lambda: len(sink.accepted) == 2)
    assert [delivery.event.data["quantity"]["value"] for delivery in sink.accepted] == ["4", "5"]
    assert sink.accepted[0].idempotency_key == first
    recorded, _ = await gate.hub.journal.events(0, limit=10)
    assert recorded[0].event.data["quantity"]["value"] == "5"  # the journal keeps what was said

    async def recovered() -> bool:
        return bool((await operator.get(f"/v1/dead-letters/{number}")).json()["status"] == "recovered")

    await eventually(recovered)


async def test_author_does_not_approve(gate: Gate) -> None:
    number = await refused(gate)
    admin = await gate.client("admin")
    edit = (await propose(admin, number, body=json.dumps(GOOD))).json()
    own = await admin.post(f"/v1/dead-letters/{number}/edits/{edit['id']}/approve")
    assert (own.status_code, "another person" in own.json()["detail"]) == (403, True)
    operator = await gate.client("operator")
    other = await operator.post(f"/v1/dead-letters/{number}/edits/{edit['id']}/approve")
    assert other.status_code == 403  # not their role
    withdrawn = await operator.post(f"/v1/dead-letters/{number}/edits/{edit['id']}/withdraw")
    assert withdrawn.json()["state"] == "withdrawn"
    late = await (await gate.client("approver")).post(f"/v1/dead-letters/{number}/edits/{edit['id']}/approve")
    assert late.status_code == 409


async def test_edit_that_would_be_refused_again_is_refused_with_pointers(gate: Gate) -> None:
    sink = ScriptedSink(picky)
    number = await undelivered(gate, sink)
    operator = await gate.client("operator")
    data = order_data("O-1", quantity={"value": "many", "uom": "H87"})
    answer = await propose(operator, number, data={**data, "colour": "red"})
    assert answer.status_code == 422
    assert {fault["pointer"] for fault in answer.json()["errors"]} >= {"/data/quantity/value"}
    moved = await propose(operator, number, data=order_data("O-77"))
    assert (moved.status_code, "another key" in moved.text) == (422, True)
    message = await refused(gate)
    again = await propose(operator, message, body=json.dumps({**BAD, "at": "later"}))
    assert again.status_code == 422
    pointers = {fault["pointer"] for fault in again.json()["errors"]}
    assert pointers == {"/data/planned_start", "/data/planned_end"}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ({"data": {"order": "x"}}, 422),
        ({"body": "a", "body_base64": "YQ=="}, 422),
        ({"body_base64": "%%"}, 422),
        ({"body": json.dumps(BAD)}, 422),
        ({"body": json.dumps(GOOD), "reason": " "}, 409),
    ],
)
async def test_edits_that_make_no_sense_are_refused(gate: Gate, body: dict[str, Any], status: int) -> None:
    number = await refused(gate)
    answer = await propose(await gate.client("operator"), number, **body)
    assert answer.status_code == status, answer.text
    edits = (await (await gate.client("viewer")).get(f"/v1/dead-letters/{number}/edits")).json()["items"]
    assert edits == []


async def test_one_person_is_enough_where_the_deployment_says_so(tmp_path: Path) -> None:
    async with opened(tmp_path, gateway={"second_person": False}) as gate:
        number = await refused(gate)
        operator = await gate.client("operator")
        edit = (await propose(operator, number, body=json.dumps(GOOD))).json()
        assert edit["state"] == "applied"
        assert (await operator.get(f"/v1/dead-letters/{number}")).json()["status"] == "recovered"
