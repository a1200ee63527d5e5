"""Groups of dead letters, and the retry of many: the frozen selection, each once, stopped and resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx

from canonical.errors import Rejected
from canonical.ports import Accepted, Delivery, Failed, SinkOutcome
from gateway import audit
from tests.gateway.hubs import Gate, event, opened
from tests.gateway.test_exceptions import letters, refused
from tests.router.rig import ScriptedSink, route
from tests.waiting import eventually


async def begin(client: httpx.AsyncClient, **body: Any) -> Any:
    answer = await client.post("/v1/dead-letters/retries", json=body)
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"/v1/dead-letters/retries/{answer.json()['id']}"
    return answer.json()


async def progress(client: httpx.AsyncClient, number: int = 1) -> Any:
    return (await client.get(f"/v1/dead-letters/retries/{number}")).json()


class Door:
    """A sink that refuses everything until it is opened, and keeps what it took."""

    def __init__(self, gate: Gate) -> None:
        self.open = False
        self.refuses: set[str] = set()
        self.taken: list[str] = []
        self.sink = ScriptedSink(self.answer)
        self.gate = gate

    def answer(self, delivery: Delivery) -> SinkOutcome:
        order = str(delivery.event.data["order"])
        if not self.open or order in self.refuses:
            return Failed(Rejected(f"order {order!r} is not wanted"))
        self.taken.append(order)
        return Accepted()

    async def refuse(self, first: int, last: int) -> None:
        """Lets orders become dead letters."""
        before = await self.count()
        await self.gate.record(*(event(number) for number in range(first, last)))
        await eventually(lambda: self._has(before + last - first))

    async def count(self) -> int:
        rows = await self.gate.hub.journal.read(lambda t: t.execute("SELECT count(*) FROM dead_letters"))
        return int(rows[0][0])

    async def _has(self, number: int) -> bool:
        return await self.count() == number


async def test_groups_tell_what_failed_alike_where_and_how_often(gate: Gate) -> None:
    await letters(gate, *range(5), first_at=gate.hub.clock().timestamp() - 7200)
    await letters(gate, 10, 11, code="other", error="no such plant 'x7'", plant="brno")
    await letters(gate, 12, code="other", error="no such plant 'y8'", plant="brno", status="discarded")
    client = await gate.client("viewer")
    first, second = (await client.get("/v1/dead-letters/groups")).json()["items"]
    assert (first["open"], first["adapter"], first["plants"], first["code"]) == (
        5,
        "mes",
        ["aachen"],
        "invalid",
    )
    assert (sum(first["trend"]), first["trend"][21]) == (5, 5)
    assert (second["open"], second["error"], second["newest"]) == (2, "no such plant 'x7'", 7)
    only = (await client.get("/v1/dead-letters/groups?plant=brno")).json()["items"]
    assert [group["fingerprint"] for group in only] == [second["fingerprint"]]
    limited = await gate.client("viewer", plants=["brno"])
    seen = (await limited.get("/v1/dead-letters/groups")).json()["items"]
    assert [group["fingerprint"] for group in seen] == [second["fingerprint"]]


async def test_group_retry_takes_the_frozen_selection_and_no_more(gate: Gate) -> None:
    door = Door(gate)
    await gate.route(route(), door.sink)
    await door.refuse(0, 40)
    operator = await gate.client("operator")
    (group,) = (await operator.get("/v1/dead-letters/groups")).json()["items"]
    begun = await begin(operator, group=group["fingerprint"], rate=5)
    assert (begun["total"], begun["state"]) == (40, "running")
    stopped = (await operator.post("/v1/dead-letters/retries/1/stop")).json()
    assert stopped["state"] == "stopped"
    assert stopped["waiting"] > 0
    await door.refuse(100, 105)  # they fail alike, later
    door.open, door.refuses = True, {"O-7", "O-8"}
    taken_before = list(door.taken)
    again = await operator.post("/v1/dead-letters/retries/1/stop")
    assert (again.status_code, taken_before) == (409, [])
    await operator.post("/v1/dead-letters/retries/1/resume")

    async def ended() -> Any:
        told = await progress(operator)
        return told if told["state"] == "done" and not told["under_way"] else None

    told = await eventually(ended, 100)
    assert told["arrived"] == 5
    assert told["recovered"] + told["failed"] + told["passed_over"] == 40
    assert not {f"O-{number}" for number in range(100, 105)} & set(door.taken)
    assert len(door.taken) == len(set(door.taken)) == told["recovered"]
    acts = (await (await gate.client("admin")).get("/v1/audit?subject=retry/1")).json()["items"]
    assert [act["act"] for act in acts] == ["retry.running", "retry.stopped", "retry.begin"]


async def test_why_one_a_group_or_many_were_retried_is_in_the_audit(gate: Gate) -> None:
    door = Door(gate)
    await gate.route(route(), door.sink)
    await door.refuse(0, 3)
    operator = await gate.client("operator")
    path = "/v1/dead-letters"
    assert (await operator.post(f"{path}/1/retry")).status_code == 200  # nobody has to say why
    await eventually(lambda: _open(operator, 3))
    assert (await operator.post(f"{path}/1/retry", json={"reason": "a hunch"})).status_code == 200
    await eventually(lambda: _open(operator, 3))
    (group,) = (await operator.get(f"{path}/groups")).json()["items"]
    wanted = {"group": group["fingerprint"], "reason": "the target was down"}
    assert len((await operator.post(f"{path}/retry", json=wanted)).json()["results"]) == 3
    await eventually(lambda: _open(operator, 3))
    begun = await begin(operator, **wanted, rate=100)
    await eventually(lambda: _tried(gate))
    whys = [entry.details.get("reason") for entry in await audit.page(gate.hub.journal, act="retry.begin")]
    assert whys == ["the target was down"]
    entries = await audit.page(gate.hub.journal, act="dead_letter.retry", subject="dead_letter/1")
    told = [(entry.details.get("reason"), entry.details.get("retry")) for entry in entries]
    assert told == [
        (None, begun["id"]),
        ("the target was down", None),
        ("a hunch", None),
        (None, None),
    ]
    too_long = {"reason": "x" * 2001}
    again = f"{path}/retries/{begun['id']}"
    for address in (
        f"{path}/1/retry",
        f"{path}/retry",
        f"{path}/retries",
        f"{again}/stop",
        f"{again}/resume",
    ):
        refused = await operator.post(address, json=too_long)
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/reason")


async def test_why_a_retry_was_stopped_and_went_on_is_in_the_audit(gate: Gate) -> None:
    await letters(gate, *range(5), adapter="gone")
    operator = await gate.client("operator")
    begun = await begin(operator, filter={"kind": "message"}, rate=0.1)
    path = f"/v1/dead-letters/retries/{begun['id']}"
    for act, body in (("stop", {"reason": "the target is slow"}), ("resume", {"reason": "it is not"})):
        assert (await operator.post(f"{path}/{act}", json=body)).status_code == 200
    assert (await operator.post(f"{path}/stop")).status_code == 200  # nobody has to say why
    entries = await audit.page(gate.hub.journal, subject=f"retry/{begun['id']}")
    assert [(entry.act, entry.details.get("reason")) for entry in entries] == [
        ("retry.stopped", None),
        ("retry.running", "it is not"),
        ("retry.stopped", "the target is slow"),
        ("retry.begin", None),
    ]


async def _open(client: httpx.AsyncClient, number: int) -> bool:
    found = (await client.get("/v1/dead-letters?status=open")).json()["items"]
    return len(found) == number


async def _tried(gate: Gate) -> bool:
    entries = await audit.page(gate.hub.journal, act="dead_letter.retry")
    return sum("retry" in entry.details for entry in entries) == 3


async def test_retry_goes_on_after_a_restart(tmp_path: Path) -> None:
    async with opened(tmp_path) as gate:
        for _ in range(3):
            await refused(gate, {"order": "x", "item": "A", "quantity": "1", "at": "soon"})
        await letters(gate, *range(30), adapter="gone")
        operator = await gate.client("operator")
        await begin(operator, filter={"kind": "message"}, rate=2)
    async with opened(tmp_path) as gate:
        assert (await gate.hub.retries.show(1)).state == "running"
        await gate.hub.journal.write(lambda t: t.execute("UPDATE retries SET rate = 1000"))

        async def done() -> bool:
            return (await gate.hub.retries.show(1)).state == "done"

        await eventually(done, 60)
        told = await gate.hub.retries.show(1)
        assert (told.total, told.passed_over, told.waiting) == (33, 30, 0)
        assert "gone" in told.problem


async def test_message_whose_retry_was_cut_off_by_a_crash_waits_again(tmp_path: Path) -> None:
    async with opened(tmp_path) as gate:
        number = await refused(gate)
        await gate.hub.journal.write(
            lambda t: t.execute("UPDATE dead_letters SET status = 'retrying' WHERE id = ?", (number,))
        )
    async with opened(tmp_path) as gate:
        assert (await gate.hub.dead_letters.show(number)).status == "open"


async def test_retry_of_nothing_or_at_no_rate_is_refused(gate: Gate) -> None:
    await letters(gate, 1)
    operator = await gate.client("operator")
    for body, status in (
        ({"filter": {"route": "none"}}, 409),
        ({}, 422),
        ({"group": "x", "rate": 0}, 422),
        ({"group": "x", "rate": 1e9}, 422),
    ):
        assert (await operator.post("/v1/dead-letters/retries", json=body)).status_code == status, body
    assert (await operator.get("/v1/dead-letters/retries/9")).status_code == 404
    viewer = await gate.client("viewer")
    assert (await viewer.post("/v1/dead-letters/retries", json={"group": "x"})).status_code == 403


async def test_others_retries_are_for_keys_of_everything(gate: Gate) -> None:
    await letters(gate, 1)
    await begin(await gate.client("operator"), filter={"kind": "message"})
    limited = await gate.client("operator", plants=["aachen"])
    assert (await limited.get("/v1/dead-letters/retries")).status_code == 403
    assert (await limited.get("/v1/dead-letters/retries/1")).status_code == 403
    assert (await limited.post("/v1/dead-letters/retries/1/stop")).status_code == 403
