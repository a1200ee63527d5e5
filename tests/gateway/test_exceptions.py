"""Dead letters, lanes and crosswalks through the API: what people do with what got stuck."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from canonical.errors import Rejected, Unresolved
from canonical.ports import Accepted, Delivery, Failed
from deadletter import store
from deadletter.entry import DeadLetter
from gateway import audit
from router.journal import StorageError
from tests.gateway.hubs import HOOK_SECRET, Gate, event
from tests.router.rig import ScriptedSink, route
from tests.waiting import eventually

BAD = {"order": "W-1", "item": "A-1", "quantity": "5", "at": "soon"}
GOOD = {**BAD, "at": "2026-03-31T10:00:00Z"}


async def refused(gate: Gate, body: Any = None) -> int:
    """The number of the dead letter of a message that was refused."""
    client = await gate.client()
    headers = {"Authorization": f"Bearer {HOOK_SECRET}"}
    answer = await client.post("/v1/webhooks/mes", json=BAD if body is None else body, headers=headers)
    return int(answer.json()["dead_letter"])


async def letters(gate: Gate, *numbers: int, **columns: Any) -> None:
    """Dead letters as they are kept."""

    def work(transaction: Any) -> None:
        for number in numbers:
            fields: dict[str, Any] = {
                "kind": "message",
                "stage": "receiving",
                "code": "invalid",
                "error": f"row {number} is no order",
                "adapter": "mes",
                "plant": "aachen",
                "type": "com.crossplant.production.order.created.v1",
                "message_id": f"m{number}",
                "body": b"text",
                **columns,
            }
            store.add(transaction, DeadLetter(**fields))

    await gate.hub.journal.write(work)


async def ids(client: httpx.AsyncClient, query: str = "") -> list[int]:
    answer = await client.get(f"/v1/dead-letters{query}")
    assert answer.status_code == 200, answer.text
    return [letter["id"] for letter in answer.json()["items"]]


async def test_dead_letters_page_newest_first(gate: Gate) -> None:
    await letters(gate, *range(25))
    client = await gate.client("viewer")
    url, seen = "/v1/dead-letters?limit=10&status=open", []
    while url:
        answer = await client.get(url)
        seen += [letter["id"] for letter in answer.json()["items"]]
        url = answer.links["next"]["url"] if "next" in answer.links else ""
    assert seen == list(range(25, 0, -1))


async def test_dead_letters_are_filtered(gate: Gate) -> None:
    await letters(gate, 1)
    await letters(gate, 2, plant="brno", code="other", adapter="press")
    client = await gate.client("viewer")
    assert await ids(client, "?plant=brno") == [2]
    assert await ids(client, "?code=invalid") == [1]
    assert await ids(client, "?adapter=press") == [2]
    assert await ids(client, "?type=production.order.created") == [2, 1]
    assert await ids(client, "?message_id=m1") == [1]
    assert await ids(client, "?status=discarded") == []
    print_of = (await client.get("/v1/dead-letters/1")).json()["fingerprint"]
    assert await ids(client, f"?fingerprint={print_of}") == [1]


async def test_dead_letters_of_others_are_not_seen(gate: Gate) -> None:
    await letters(gate, 1)
    await letters(gate, 2, plant="brno")
    await letters(gate, 3, plant="")
    await letters(gate, 4, type="")
    for limits, seen in (
        ({"plants": ["aachen"]}, [4, 1]),
        ({"domains": ["production"]}, [3, 2, 1]),
        ({"domains": ["sales"]}, []),
        ({}, [4, 3, 2, 1]),
    ):
        client = await gate.client("operator", **limits)
        assert await ids(client) == seen, limits
        for number in range(1, 5):
            for method, path in (("GET", ""), ("POST", "/discard")):
                if number in seen and method == "POST":
                    continue
                answer = await client.request(
                    method, f"/v1/dead-letters/{number}{path}", content=b'{"reason":"x"}'
                )
                assert answer.status_code == (200 if number in seen else 403)


async def test_many_dead_letters_of_other_domains_hide_nothing(gate: Gate) -> None:
    await letters(gate, 0)
    await letters(gate, *range(1, 450), type="com.crossplant.quality.hold.released.v1")
    client = await gate.client("viewer", domains=["production"])
    assert await ids(client, "?limit=10") == [1]


async def test_bytes_are_shown_as_text_or_base64(gate: Gate) -> None:
    await letters(gate, 1, body="größe ".encode() * 20_000)
    await letters(gate, 2, body=b"\xff\xfe\x00")
    client = await gate.client("viewer")
    long = (await client.get("/v1/dead-letters/1")).json()
    assert (long["truncated"], long["size_bytes"], long["body"][:5]) == (True, 160_000, "größe")
    raw = (await client.get("/v1/dead-letters/2")).json()
    assert (raw["body_base64"], raw["truncated"]) == ("//4A", False)
    listed = (await client.get("/v1/dead-letters")).json()["items"]
    assert len(listed[1]["body"]) < 2001


async def test_a_refused_message_is_taken_in_once_its_format_reads_it(gate: Gate) -> None:
    number = await refused(gate)
    operator = await gate.client("operator")
    again = await operator.post(f"/v1/dead-letters/{number}/retry")
    assert (again.status_code, again.json()["status"], again.json()["attempts"]) == (200, "open", 2)
    await gate.hub.journal.write(
        lambda t: t.execute("UPDATE dead_letters SET body = ?", (json.dumps(GOOD).encode(),))
    )
    mended = (await operator.post(f"/v1/dead-letters/{number}/retry")).json()
    assert (mended["status"], mended["resolved_by"]) == ("recovered", "test 0")
    assert (await operator.get("/v1/search?q=W-1")).json()["items"]
    late = await operator.post(f"/v1/dead-letters/{number}/retry")
    assert (late.status_code, late.json()["code"]) == (409, "not_possible")


async def test_discarding_needs_a_reason_and_is_audited(gate: Gate) -> None:
    number = await refused(gate)
    operator = await gate.client("operator")
    path = f"/v1/dead-letters/{number}/discard"
    for body in ({}, {"reason": "  "}, {"reason": 5}, {"reason": "x", "by": "y"}):
        assert (await operator.post(path, json=body)).status_code == 422, body
    done = (await operator.post(path, json={"reason": "a test of theirs"})).json()
    assert (done["status"], done["reason"]) == ("discarded", "a test of theirs")
    admin = await gate.client("admin")
    entries = (await admin.get("/v1/audit", params={"subject": f"dead_letter/{number}"})).json()["items"]
    assert [(entry["act"], entry["actor"]) for entry in entries] == [("dead_letter.discard", "test 0")]
    assert (await operator.get("/v1/dead-letters/99")).status_code == 404


async def test_all_that_a_filter_selects(gate: Gate) -> None:
    for number in range(3):
        await refused(gate, {**BAD, "order": f"W-{number}"})
    await letters(gate, 7, adapter="press")
    operator = await gate.client("operator")
    answer = await operator.post("/v1/dead-letters/retry", json={"filter": {"adapter": "mes"}})
    assert [(each["id"], each["status"]) for each in answer.json()["results"]] == [
        (1, "open"),
        (2, "open"),
        (3, "open"),
    ]
    assert answer.json()["remaining"] == 0
    gone = await operator.post(
        "/v1/dead-letters/discard", json={"filter": {"adapter": "mes"}, "reason": "old"}
    )
    assert {each["status"] for each in gone.json()["results"]} == {"discarded"}
    assert await ids(operator, "?status=open") == [4]
    group = (await operator.get("/v1/dead-letters/4")).json()["fingerprint"]
    last = await operator.post("/v1/dead-letters/discard", json={"group": group, "reason": "old"})
    assert [each["id"] for each in last.json()["results"]] == [4]


@pytest.mark.parametrize(
    "body", [{}, {"filter": {}}, {"filter": {"colour": "red"}}, {"filter": "all"}, [], "x"]
)
async def test_a_filter_that_selects_everything_or_nothing_known_is_422(gate: Gate, body: object) -> None:
    answer = await (await gate.client("operator")).post("/v1/dead-letters/retry", json=body)
    assert answer.status_code == 422


async def test_retrying_a_filter_leaves_other_plants_alone(gate: Gate) -> None:
    await letters(gate, 1, code="x")
    await letters(gate, 2, code="x", plant="brno")
    operator = await gate.client("operator", plants=["brno"])
    answer = await operator.post("/v1/dead-letters/discard", json={"filter": {"code": "x"}, "reason": "y"})
    assert [each["id"] for each in answer.json()["results"]] == [2]


# ── lanes ──


async def blocked(gate: Gate, *events: Any) -> ScriptedSink:
    def behave(delivery: Delivery) -> Failed:
        return Failed(Unresolved(domain="item", system="erp", value=delivery.event.data["item"]))

    sink = ScriptedSink(behave)
    await gate.route(route(), sink)
    await gate.record(*events)

    async def all_in_lanes() -> bool:
        rows = await gate.hub.journal.read(lambda t: t.execute("SELECT count(*) FROM lanes"))
        return bool(rows[0][0] == len(events))

    await eventually(all_in_lanes)
    return sink


async def test_lanes_page_in_order_and_say_what_is_missing(gate: Gate) -> None:
    await blocked(gate, *(event(number) for number in range(1, 8)), event(8, partitionkey="O:O-1"))
    client = await gate.client("viewer")
    url, seen = "/v1/lanes?limit=3", []
    while url:
        answer = await client.get(url)
        seen += answer.json()["items"]
        url = answer.links["next"]["url"] if "next" in answer.links else ""
    assert [lane["position"] for lane in seen] == [1, 2, 3, 4, 5, 6, 7]
    assert (seen[0]["size"], seen[0]["state"], seen[0]["key"]) == (2, "parked", "O:O-1")
    assert seen[0]["missing"] == {"domain": "item", "system": "erp", "value": "A-1"}
    assert seen[0]["event"]["id"] == "000001"
    for cursor in ("abc", "%00", "kQE", "1"):
        assert (await client.get(f"/v1/lanes?cursor={cursor}")).status_code == 422


async def test_a_release_is_audited_or_not_done(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = await blocked(gate, event(1), event(2, partitionkey="O:O-1"))
    operator = await gate.client("operator")
    tried = len(sink.calls)

    def full(*_: Any) -> None:
        raise StorageError("the disk is full")

    lane = {"route": "orders", "key": "O:O-1"}
    with monkeypatch.context() as patched:
        patched.setattr(gate.hub.audit, "record", full)
        assert (await operator.post("/v1/lanes/release", json=lane)).status_code == 503
    assert len(sink.calls) == tried
    lane["reason"] = "the press is set up again"
    assert (await operator.post("/v1/lanes/release", json=lane)).json()["released"] == 2
    await eventually(lambda: len(sink.calls) > tried)
    [entry] = await audit.page(gate.hub.journal, act="lane.release")
    assert (entry.actor, entry.subject) == ("test 0", "route/orders")
    assert entry.details == {"key": "O:O-1", "waiting": 2, "reason": "the press is set up again"}


async def test_what_waits_in_a_lane_is_listed_in_its_order(gate: Gate) -> None:
    same = {"partitionkey": "O:O-1"}
    await blocked(
        gate, event(1), event(2, **same), event(3), event(4, **same), event(5, **same, plantid="brno")
    )
    client = await gate.client("viewer")
    url, seen = "/v1/lanes/waiting?route=orders&key=O:O-1&limit=3", []
    while url:
        answer = await client.get(url)
        seen += answer.json()["items"]
        url = answer.links["next"]["url"] if "next" in answer.links else ""
    assert [(row["id"], row["state"]) for row in seen] == [
        ("000001", "parked"),
        *((f"{number:06d}", "waiting") for number in (2, 4, 5)),
    ]
    own = await gate.client("viewer", plants=["aachen"])
    rows = (await own.get("/v1/lanes/waiting?route=orders&key=O:O-1")).json()["items"]
    assert [row["position"] for row in rows] == [1, 2, 4]
    other = await gate.client("viewer", plants=["brno"])
    assert (await other.get("/v1/lanes/waiting?route=orders&key=O:O-1")).status_code == 403
    assert (await client.get("/v1/lanes/waiting?route=orders&key=O:O-9")).status_code == 404


async def test_lanes_of_others_are_neither_seen_nor_released(gate: Gate) -> None:
    await blocked(gate, event(1), event(2, plantid="brno"), event(3, plantid=None))
    for limits, seen in (
        ({"plants": ["brno"]}, [2]),
        ({"domains": ["production"]}, [1, 2, 3]),
        ({"domains": ["sales"]}, []),
    ):
        client = await gate.client("operator", **limits)
        listed = (await client.get("/v1/lanes")).json()["items"]
        assert [lane["position"] for lane in listed] == seen
    client = await gate.client("operator", plants=["brno"])
    for key, status in (("O:O-2", 200), ("O:O-1", 403), ("O:nothing", 404)):
        answer = await client.post("/v1/lanes/release", json={"route": "orders", "key": key})
        assert answer.status_code == status


# ── crosswalks ──

ROW = {"domain": "item", "system": "erp", "value": "V-1", "canonical": "A-1"}


async def test_a_row_lets_go_what_waits_for_it_in_order(gate: Gate) -> None:
    delivered: list[str] = []

    def behave(delivery: Delivery) -> Accepted | Failed:
        crosswalk, at = gate.hub.crosswalks.current, gate.hub.clock()
        try:
            crosswalk.code(domain="item", system="erp", plant="aachen", canonical="A-1", at=at)
        except Unresolved as error:
            return Failed(error)
        delivered.append(delivery.event.id)
        return Accepted()

    await gate.route(route(), ScriptedSink(behave))
    await gate.record(*(event(number, partitionkey="O:same") for number in range(1, 5)))

    async def parked() -> bool:
        client = await gate.client("viewer")
        lanes = (await client.get("/v1/lanes")).json()["items"]
        return [lane["size"] for lane in lanes] == [4]

    await eventually(parked)
    steward = await gate.client("steward")
    answer = await steward.post("/v1/crosswalks", json=ROW)
    assert answer.status_code == 201
    row = answer.json()
    assert (row["released"], row["approved_by"], row["status"], row["plant"]) == (
        1,
        "test 1",
        "approved",
        None,
    )
    await eventually(lambda: len(delivered) == 4)
    assert delivered == sorted(delivered)


async def test_another_meaning_at_the_same_time_is_409(gate: Gate) -> None:
    steward = await gate.client("steward")
    until_2026 = {**ROW, "valid_to": "2026-01-01T00:00:00Z"}
    assert (await steward.post("/v1/crosswalks", json=until_2026)).status_code == 201
    clash = await steward.post("/v1/crosswalks", json={**ROW, "canonical": "B-1"})
    assert (clash.status_code, clash.json()["code"]) == (409, "overlap")
    after = {**ROW, "canonical": "B-1", "valid_from": "2026-01-01T00:00:00Z"}
    assert (await steward.post("/v1/crosswalks", json=after)).status_code == 201
    assert (await steward.post("/v1/crosswalks", json={**ROW, "plant": "brno"})).status_code == 201
    listed = (await steward.get("/v1/crosswalks?system=erp&limit=2")).json()
    assert [row["canonical"] for row in listed["items"]] == ["A-1", "B-1"]
    assert listed["items"][1]["valid_from"] == "2026-01-01T00:00:00Z"
    rest = (await steward.get(f"/v1/crosswalks?system=erp&cursor={listed['next']}")).json()["items"]
    assert [row["plant"] for row in rest] == ["brno"]


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"value": ""}, "/value"),
        ({"plant": "paris"}, "/plant"),
        ({"valid_from": "2026-01-01T00:00:00"}, "/valid_from"),
        ({"valid_from": "2026-01-02T00:00:00Z", "valid_to": "2026-01-01T00:00:00Z"}, "/valid_to"),
        ({"colour": "red"}, ""),
        ({"domain": 5}, "/domain"),
    ],
)
async def test_a_row_that_makes_no_sense_is_422(gate: Gate, change: dict[str, Any], pointer: str) -> None:
    answer = await (await gate.client("steward")).post("/v1/crosswalks", json={**ROW, **change})
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


async def test_a_steward_of_a_plant_keeps_its_rows_only(gate: Gate) -> None:
    steward = await gate.client("steward", plants=["brno"])
    assert (await steward.post("/v1/crosswalks", json=ROW)).status_code == 403
    assert (await steward.post("/v1/crosswalks", json={**ROW, "plant": "aachen"})).status_code == 403
    assert (await steward.post("/v1/crosswalks", json={**ROW, "plant": "brno"})).status_code == 201


async def test_a_rejected_delivery_retried_through_the_api_is_recovered(gate: Gate) -> None:
    sick = True

    def behave(delivery: Delivery) -> Accepted | Failed:
        return Failed(Rejected("no such item", code="http_422")) if sick else Accepted()

    await gate.route(route(), ScriptedSink(behave))
    await gate.record(event(1))
    operator = await gate.client("operator")

    async def status() -> str:
        found = (await operator.get("/v1/dead-letters")).json()["items"]
        return str(found[0]["status"]) if found else ""

    async def is_open() -> bool:
        return await status() == "open"

    async def is_recovered() -> bool:
        return await status() == "recovered"

    await eventually(is_open)
    sick = False
    assert (await operator.post("/v1/dead-letters/1/retry")).json()["status"] == "retrying"
    await eventually(is_recovered)
