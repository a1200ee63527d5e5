"""Who may do what: no key, wrong keys, and every role × plant × domain."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from gateway.auth import Attempts
from gateway.keys import ROLES, NewKey, Role
from gateway.problems import Problem
from tests.gateway.hubs import STRUCTURED, Gate, cloud_event, event

OPEN = {("GET", "/livez"), ("GET", "/readyz"), ("GET", "/startupz"), ("POST", "/v1/webhooks/{adapter}")}
"""What needs no API key; a webhook's sender proves itself in the adapter's own way."""

READERS = {"viewer", "operator", "integrator", "steward", "approver", "admin"}


async def operations(gate: Gate) -> list[tuple[str, str]]:
    """(method, path) of everything that the OpenAPI document names."""
    document = (await (await gate.client("viewer")).get("/openapi.json")).json()
    found = [(method.upper(), path) for path, methods in document["paths"].items() for method in methods]
    return [*found, ("GET", "/openapi.json"), ("GET", "/docs")]


async def ask(client: httpx.AsyncClient, method: str, path: str) -> httpx.Response:
    return await client.request(method, re.sub(r"\{[^}]*\}", "1", path), content=b"{")


async def test_without_a_key_everything_but_the_documented_is_401(gate: Gate) -> None:
    stranger = await gate.client()
    walked = await operations(gate)
    assert len(walked) > 30
    for method, path in walked:
        answer = await ask(stranger, method, path)
        if (method, path) in OPEN:
            assert answer.status_code != 401, path
            continue
        assert answer.status_code == 401, (method, path)
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"] == "unauthorized"


async def test_the_document_says_which_need_no_key(gate: Gate) -> None:
    document = (await (await gate.client("viewer")).get("/openapi.json")).json()
    assert document["security"] == [{"key": []}]
    unsecured = {
        (method.upper(), path)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if operation.get("security") == []
    }
    assert unsecured == OPEN


@pytest.mark.parametrize(
    "header",
    [
        "Bearer",
        "Bearer ",
        "Basic YTpi",
        "Bearer cp_",
        "Bearer cp_x_",
        "Bearer cp__y",
        "Bearer xx_abc_def",
        "Bearer cp_abcdefghjk_" + "A" * 43,
        "Bearer cp_" + "x" * 5000,
        "cp_abcdefghjk_secret",
    ],
)
async def test_what_is_no_key_is_401(gate: Gate, header: str) -> None:
    client = await gate.client()
    answer = await client.get("/v1/events", headers={"Authorization": header})
    assert answer.status_code == 401


async def test_a_wrong_secret_and_an_unknown_id_get_the_same_answer(gate: Gate) -> None:
    key = await gate.key("viewer")
    client = await gate.client()
    _, identifier, _ = key.split("_", 2)
    texts = [f"cp_{identifier}_{'A' * 43}", f"cp_{'z' * len(identifier)}_{'A' * 43}"]
    answers = [await client.get("/v1/events", headers={"Authorization": f"Bearer {text}"}) for text in texts]
    bodies = [{**answer.json(), "traceId": ""} for answer in answers]
    assert bodies[0] == bodies[1]


# ── roles ──

CALLS: list[tuple[str, str, Any, set[str]]] = [
    ("GET", "/v1/events", None, READERS),
    ("GET", "/v1/search?q=x", None, READERS),
    ("GET", "/v1/dead-letters", None, READERS),
    ("GET", "/v1/dead-letters/groups", None, READERS),
    ("GET", "/v1/dead-letters/retries", None, READERS),
    ("GET", "/v1/exceptions", None, READERS),
    ("GET", "/v1/lanes", None, READERS),
    ("GET", "/v1/lanes/waiting?route=x&key=y", None, READERS),
    ("GET", "/v1/crosswalks", None, READERS),
    ("GET", "/v1/adapters", None, READERS),
    ("GET", "/v1/routes", None, READERS),
    ("GET", "/v1/plants", None, READERS),
    ("GET", "/v1/sla", None, READERS),
    ("POST", "/v1/events", [], {"integrator", "admin"}),
    ("POST", "/v1/dead-letters/7/retry", {}, {"operator", "admin"}),
    ("POST", "/v1/dead-letters/7/discard", {"reason": "x"}, {"operator", "admin"}),
    ("POST", "/v1/dead-letters/retry", {"filter": {"route": "x"}}, {"operator", "admin"}),
    ("POST", "/v1/dead-letters/retries", {}, {"operator", "admin"}),
    ("POST", "/v1/dead-letters/retries/7/stop", {}, {"operator", "admin"}),
    ("POST", "/v1/dead-letters/7/edit", {}, {"operator", "admin"}),
    ("POST", "/v1/dead-letters/7/edits/1/approve", {}, {"approver", "admin"}),
    ("POST", "/v1/exceptions/7/resolve", {"resolution": "x"}, {"operator", "steward", "admin"}),
    ("POST", "/v1/lanes/release", {"route": "x", "key": "y"}, {"operator", "admin"}),
    ("POST", "/v1/crosswalks", {}, {"steward", "admin"}),
    ("GET", "/v1/crosswalks/candidates?domain=item&system=erp&value=x", None, READERS),
    ("GET", "/v1/crosswalks/7", None, READERS),
    ("GET", "/v1/crosswalks/7/history", None, READERS),
    ("POST", "/v1/crosswalks/7/approve", {}, {"steward", "admin"}),
    ("POST", "/v1/crosswalks/7/retire", {"why": "x"}, {"steward", "admin"}),
    ("POST", "/v1/crosswalks/import", {}, {"steward", "admin"}),
    ("GET", "/v1/keys", None, {"admin"}),
    ("POST", "/v1/keys", {}, {"admin"}),
    ("POST", "/v1/keys/x/rotate", None, {"admin"}),
    ("POST", "/v1/keys/x/revoke", None, {"admin"}),
    ("POST", "/v1/routes/x/forget", None, {"admin"}),
    ("GET", "/v1/replays", None, {"integrator", "admin"}),
    ("POST", "/v1/replays", {}, {"integrator", "admin"}),
    ("GET", "/v1/replays/7/differences", None, {"integrator", "admin"}),
    ("POST", "/v1/replays/7/stop", None, {"integrator", "admin"}),
    ("GET", "/v1/configuration", None, READERS),
    ("POST", "/v1/configuration/check", None, {"integrator", "admin"}),
    ("POST", "/v1/configuration/reload", None, {"integrator", "admin"}),
    ("GET", "/v1/audit", None, {"admin"}),
    ("GET", "/v1/audit/verify", None, {"admin"}),
    ("GET", "/metrics", None, {"monitor", "admin"}),
]


@pytest.mark.parametrize("role", ROLES)
async def test_each_role_may_exactly_its_own(gate: Gate, role: Role) -> None:
    client = await gate.client(role)
    for method, path, body, allowed in CALLS:
        content_type = "application/cloudevents-batch+json" if path == "/v1/events" else "application/json"
        content = None if body is None else json.dumps(body).encode()
        answer = await client.request(method, path, content=content, headers={"content-type": content_type})
        assert (answer.status_code == 403) == (role not in allowed), (role, method, path, answer.text)
        assert answer.status_code != 401


async def test_two_roles_may_what_each_may(gate: Gate) -> None:
    client = await gate.client("monitor", "viewer")
    assert (await client.get("/metrics")).status_code == 200
    assert (await client.get("/v1/events")).status_code == 200


# ── plants and domains ──


@pytest.mark.parametrize(
    ("plants", "domains", "seen"),
    [
        (None, None, [1, 2, 3, 4]),
        (["aachen"], None, [1, 3]),
        (["brno"], None, [2]),
        (["aachen", "brno"], None, [1, 2, 3]),
        (None, ["production"], [1, 2, 4]),
        (["aachen"], ["production"], [1]),
        (["aachen"], ["sales"], []),
    ],
)
async def test_a_key_sees_its_plants_and_domains(
    gate: Gate, plants: list[str] | None, domains: list[str] | None, seen: list[int]
) -> None:
    hold = {
        "type": "com.crossplant.quality.hold.released.v1",
        "data": {"hold": "H-1", "decision": "release", "by": "x", "at": "2026-03-31T10:00:00Z"},
    }
    await gate.record(event(1), event(2, plantid="brno"), event(3, **hold), event(4, plantid=None))
    client = await gate.client("viewer", plants=plants, domains=domains)
    listed = (await client.get("/v1/events")).json()["items"]
    assert [item["position"] for item in listed] == seen
    for position in range(1, 5):
        for path in (f"/v1/events/{position}", f"/v1/events/{position}/timeline"):
            assert (await client.get(path)).status_code == (200 if position in seen else 403), path
        hits = (await client.get("/v1/search", params={"q": f"{position:06d}"})).json()["items"]
        assert bool(hits) == (position in seen)
        params = {"source": "/plants/aachen/adapters/mes", "id": f"{position:06d}"}
        found = await client.get("/v1/events/lookup", params=params)
        assert found.status_code == (200 if position in seen else 403)


async def test_asking_for_another_plant_is_403(gate: Gate) -> None:
    client = await gate.client("viewer", plants=["aachen"])
    for path in (
        "/v1/events?plant=brno",
        "/v1/events?plant=-",
        "/v1/events/stream?plant=brno",
        "/v1/dead-letters?plant=brno",
        "/v1/sla/brno",
    ):
        assert (await client.get(path)).status_code == 403, path
    assert [each["plant"] for each in (await client.get("/v1/plants")).json()["items"]] == ["aachen"]


async def test_an_expired_key_is_401_although_it_was_just_used(gate: Gate) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    wanted = NewKey(name="short", roles=("viewer",), expires_at=soon)
    text = (await gate.hub.keys.create(wanted, by="test")).text
    client = await gate.client()
    headers = {"Authorization": f"Bearer {text}"}
    assert (await client.get("/v1/plants", headers=headers)).status_code == 200
    gate.hub.keys._clock = lambda: soon
    assert (await client.get("/v1/plants", headers=headers)).status_code == 401


# ── guessing ──


async def test_who_guesses_has_to_wait_and_others_do_not(gate: Gate) -> None:
    good = await gate.client("viewer")
    assert (await good.get("/v1/plants")).status_code == 200  # remembered from here on
    stranger = await gate.client()
    answers = [
        await stranger.get("/v1/plants", headers={"Authorization": f"Bearer cp_nobody_{number}"})
        for number in range(22)
    ]
    assert [answer.status_code for answer in answers[:20]] == [401] * 20
    assert answers[21].status_code == 429
    assert int(answers[21].headers["retry-after"]) > 0
    assert answers[21].json()["retryable"] is True
    assert (await good.get("/v1/plants")).status_code == 200  # the same address


def test_failed_attempts_take_bounded_memory() -> None:
    attempts = Attempts(clock=lambda: 0.0)
    for number in range(20_000):
        attempts.failed(f"10.{number // 65536}.{number // 256 % 256}.{number % 256}")
    assert len(attempts._failures) == 10_000


def test_an_ipv6_subscriber_is_one_address_and_time_heals() -> None:
    now = 0.0
    attempts = Attempts(clock=lambda: now)
    for number in range(20):
        attempts.failed(f"2001:db8:1:2::{number:x}")
    with pytest.raises(Problem):
        attempts.check("2001:db8:1:2:ffff::1")
    attempts.check("2001:db8:1:3::1")
    now = 61.0
    attempts.check("2001:db8:1:2::1")


async def test_publishing_as_an_operator_says_which_role_is_needed(gate: Gate) -> None:
    client = await gate.client("operator")
    answer = await client.post("/v1/events", json=cloud_event(), headers={"content-type": STRUCTURED})
    assert answer.status_code == 403
    assert "integrator" in answer.json()["detail"]
