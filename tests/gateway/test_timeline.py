"""One event's whole way, for every way that it can take."""

from __future__ import annotations

from typing import Any

from canonical.errors import Rejected, TransientError, Unresolved
from canonical.ports import Accepted, Delivery, Failed
from tests.gateway.hubs import Gate, event
from tests.router.rig import ScriptedSink, route
from tests.waiting import eventually

LOCKED = TransientError("locked", busy=True, code="http_423", retry_after_s=0.02)


async def trail(gate: Gate, position: int, name: str = "orders") -> dict[str, Any]:
    answer = await (await gate.client("viewer")).get(f"/v1/events/{position}/timeline")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = next(each for each in answer.json()["routes"] if each["route"] == name)
    return found


async def until(gate: Gate, position: int, state: str) -> dict[str, Any]:
    async def reached() -> dict[str, Any] | None:
        found = await trail(gate, position)
        return found if found["state"] == state else None

    found: dict[str, Any] | None = await eventually(reached)
    assert found is not None
    return found


async def test_a_delivered_event_has_time_attempts_and_receipt(gate: Gate) -> None:
    await gate.route(route(), ScriptedSink(lambda delivery: Accepted(f"doc-{delivery.event.id}")))
    positions = await gate.record(*(event(number) for number in range(1, 30)))
    found = await until(gate, positions[17], "delivered")
    assert (found["receipt"], found["attempts"], bool(found["at"])) == ("doc-000018", 1, True)


async def test_a_delivery_that_took_several_attempts_says_so(gate: Gate) -> None:
    tries: list[int] = []

    def behave(delivery: Delivery) -> Accepted | Failed:
        tries.append(1)
        return Accepted() if len(tries) > 2 else Failed(LOCKED)

    await gate.route(route(), ScriptedSink(behave))
    (position,) = await gate.record(event(1))
    found = await until(gate, position, "delivered")
    assert found["attempts"] == 3


async def test_not_matched_and_passed(gate: Gate) -> None:
    await gate.route(route(name="brno-only", plants=frozenset({"brno"})), ScriptedSink())
    await gate.route(route(when="data.order == 'another'"), ScriptedSink())
    (position,) = await gate.record(event(1))
    assert (await trail(gate, position, "brno-only"))["state"] == "not_matched"
    assert "condition" in (await until(gate, position, "passed"))["reason"]


async def test_waiting_behind_a_paused_route_says_why(gate: Gate) -> None:
    def away(delivery: Delivery) -> Failed:
        return Failed(TransientError("connection refused by erp", outage=True))

    await gate.route(route(), ScriptedSink(away))
    (position,) = await gate.record(event(1))

    async def paused() -> bool:
        return "refused by erp" in (await trail(gate, position))["reason"]

    await eventually(paused)
    assert (await trail(gate, position))["state"] == "waiting"


async def test_parked_blocked_and_their_release(gate: Gate) -> None:
    unknown = True

    def behave(delivery: Delivery) -> Accepted | Failed:
        if unknown:
            return Failed(Unresolved(domain="item", system="erp", value="A-1"))
        return Accepted()

    await gate.route(route(), ScriptedSink(behave))
    first, second = await gate.record(event(1, partitionkey="O:same"), event(2, partitionkey="O:same"))
    found = await until(gate, first, "parked")
    assert (found["code"], "A-1" in found["error"]) == ("unresolved", True)
    assert (await until(gate, second, "blocked"))["state"] == "blocked"
    unknown = False
    operator = await gate.client("operator")
    released = await operator.post("/v1/lanes/release", json={"route": "orders", "key": "O:same"})
    assert released.json()["released"] == 2
    await until(gate, first, "delivered")
    await until(gate, second, "delivered")


async def test_what_is_let_go_is_never_said_to_have_passed(gate: Gate) -> None:
    unknown = True

    def behave(delivery: Delivery) -> Accepted | Failed:
        return Failed(Unresolved(domain="item", system="erp", value="A-1")) if unknown else Accepted()

    await gate.route(route(), ScriptedSink(behave))
    keys = [f"O:{number}" for number in range(20)]
    positions = await gate.record(*(event(at, partitionkey=key) for at, key in enumerate(keys)))
    for position in positions:
        await until(gate, position, "parked")
    unknown = False
    operator = await gate.client("operator")
    seen: set[str] = set()
    for position, key in zip(positions, keys, strict=True):
        await operator.post("/v1/lanes/release", json={"route": "orders", "key": key})
        while (state := (await trail(gate, position))["state"]) != "delivered":
            seen.add(state)
    (another,) = await gate.record(event(100))
    while (state := (await trail(gate, another))["state"]) != "delivered":
        seen.add(state)
    assert seen <= {"parked", "waiting"}


async def test_a_dead_letter_its_cause_and_its_discarding(gate: Gate) -> None:
    await gate.route(route(), ScriptedSink(lambda _: Failed(Rejected("no such customer", code="http_422"))))
    (position,) = await gate.record(event(1))
    found = await until(gate, position, "dead")
    assert (found["code"], found["dead_letter"] is not None) == ("http_422", True)
    client = await gate.client("viewer")
    shown = (await client.get(f"/v1/events/{position}/timeline")).json()
    assert [letter["id"] for letter in shown["dead_letters"]] == [found["dead_letter"]]
    effects = {effect["type"] for effect in shown["effects"]}
    assert effects == {"com.crossplant.integration.message.dead_lettered.v1"}
    effect = shown["effects"][0]["position"]
    causes = (await client.get(f"/v1/events/{effect}/timeline")).json()["causes"]
    assert [cause["position"] for cause in causes] == [position]
    operator = await gate.client("operator")
    path = f"/v1/dead-letters/{found['dead_letter']}/discard"
    assert (await operator.post(path, json={"reason": "made by hand"})).status_code == 200

    async def discarded() -> bool:
        return bool((await trail(gate, position))["reason"] == "made by hand")

    await eventually(discarded)
    assert (await trail(gate, position))["state"] == "discarded"


async def test_the_raw_message_is_only_for_those_who_may_see_all_of_it(gate: Gate) -> None:
    secret = {"Authorization": "Bearer a-hook-secret-of-the-tests"}
    body = {"order": "W-1", "item": "A-1", "quantity": "5", "at": "2026-03-31T10:00:00Z"}
    stranger = await gate.client()
    answer = await stranger.post("/v1/webhooks/mes", json=body, headers=secret)
    assert answer.status_code == 202, answer.text
    path = f"/v1/events/{answer.json()['results'][0]['positions'][0]}/timeline"
    for limits, shown in (
        ({}, True),
        ({"plants": ["aachen"]}, True),
        ({"domains": ["production"]}, False),
    ):
        client = await gate.client("viewer", **limits)
        raw = (await client.get(path)).json()["raw"]
        assert (raw is not None) == shown, limits
