"""POST /v1/webhooks/{adapter}."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.gateway.hubs import HOOK_SECRET, Gate

PROOF = {"Authorization": f"Bearer {HOOK_SECRET}"}
GOOD: dict[str, Any] = {"order": "W-1", "item": "A-1", "quantity": "5", "at": "2026-03-31T10:00:00Z"}


async def call(client: httpx.AsyncClient, body: Any, **headers: str) -> httpx.Response:
    return await client.post("/v1/webhooks/mes", json=body, headers={**PROOF, **headers})


async def test_a_message_is_durable_once_it_is_accepted_and_needs_no_key(gate: Gate) -> None:
    client = await gate.client()
    answer = await call(client, GOOD, **{"Idempotency-Key": "call-1"})
    assert answer.status_code == 202
    result = answer.json()["results"][0]
    assert (result["outcome"], result["positions"]) == ("accepted", [1])
    again = await call(client, GOOD, **{"Idempotency-Key": "call-1"})
    assert again.json()["results"][0]["outcome"] == "duplicate"


async def test_the_same_identity_with_other_data_is_a_conflict(gate: Gate) -> None:
    client = await gate.client()
    await call(client, GOOD)
    answer = await call(client, {**GOOD, "quantity": "6"})
    assert answer.status_code == 202
    result = answer.json()["results"][0]
    assert result["outcome"] == "conflict"
    assert result["dead_letter"]


async def test_what_its_format_cannot_read_is_kept_as_a_dead_letter(gate: Gate) -> None:
    client = await gate.client()
    answer = await call(client, {**GOOD, "at": "soon"})
    assert answer.status_code == 422
    problem = answer.json()
    assert problem["code"] == "invalid_message"
    assert any("planned_start" in error["pointer"] for error in problem["errors"]), problem
    operator = await gate.client("operator")
    letter = (await operator.get(f"/v1/dead-letters/{problem['dead_letter']}")).json()
    assert (letter["adapter"], letter["plant"], letter["kind"]) == ("mes", "aachen", "message")
    assert '"soon"' in letter["body"]


@pytest.mark.parametrize("proof", ["", "Bearer wrong", "Basic abc"])
async def test_who_does_not_prove_it_is_401(gate: Gate, proof: str) -> None:
    client = await gate.client()
    answer = await client.post(
        "/v1/webhooks/mes", json=GOOD, headers={"Authorization": proof} if proof else {}
    )
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"]
    assert gate.hub.journal.head == 0


async def test_an_api_key_is_no_proof_of_a_webhook(gate: Gate) -> None:
    admin = await gate.client("admin")
    assert (await admin.post("/v1/webhooks/mes", json=GOOD)).status_code == 401


async def test_who_guesses_has_to_wait(gate: Gate) -> None:
    client = await gate.client()
    for number in range(20):
        await client.post("/v1/webhooks/mes", json=GOOD, headers={"Authorization": f"Bearer {number}"})
    assert (await call(client, GOOD)).status_code == 429


async def test_an_unknown_adapter_is_404(gate: Gate) -> None:
    answer = await (await gate.client()).post("/v1/webhooks/nobody", json=GOOD)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_no_body_is_400(gate: Gate) -> None:
    answer = await (await gate.client()).post("/v1/webhooks/mes", headers=PROOF)
    assert (answer.status_code, answer.json()["code"]) == (400, "empty")
