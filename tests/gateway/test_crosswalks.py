"""Crosswalk rows through the API: proposed, approved, retired, by those whose codes they are."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from canonical.errors import Unresolved
from canonical.event import Event
from canonical.ports import Accepted, Delivery, Failed
from gateway import audit
from tests.gateway.hubs import Gate, event, opened
from tests.router.rig import ScriptedSink, route
from tests.waiting import eventually

ROW = {"domain": "item", "system": "erp", "value": "V-1", "canonical": "A-1"}
APRIL, MAY = "2026-04-01T00:00:00Z", "2026-05-01T00:00:00Z"


def meaning(gate: Gate, at: str, value: str = "V-1", plant: str = "brno") -> str | None:
    """What the hub makes of the code then."""
    moment = datetime.fromisoformat(at)
    try:
        return gate.hub.crosswalks.current.canonical(
            domain="item", system="erp", plant=plant, value=value, at=moment
        )
    except Unresolved:
        return None


async def added(client: httpx.AsyncClient, **more: Any) -> dict[str, Any]:
    answer = await client.post("/v1/crosswalks", json={**ROW, **more})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def acts(gate: Gate) -> list[tuple[str, str]]:
    """(act, subject) of the audit about crosswalks, oldest first."""
    entries = await audit.page(gate.hub.journal)
    return [(entry.act, entry.subject) for entry in reversed(entries) if entry.act.startswith("crosswalk.")]


# ── the life of a row ───────────────────────────────────────────────────────────────────────────


async def test_a_draft_has_no_effect_until_it_is_approved(gate: Gate) -> None:
    steward = await gate.client("steward")
    row = await added(steward, status="draft", why="seen on the label")
    assert (row["status"], row["approved_by"], row["version"]) == ("draft", "", 1)
    assert meaning(gate, APRIL) is None
    approved = (await steward.post(f"/v1/crosswalks/{row['id']}/approve", json={"why": "checked"})).json()
    assert (approved["status"], approved["approved_by"], approved["version"]) == ("approved", "test 0", 2)
    assert meaning(gate, APRIL) == "A-1"
    again = await steward.post(f"/v1/crosswalks/{row['id']}/approve")
    assert (again.status_code, again.json()["code"]) == (409, "not_possible")
    steps = (await steward.get(f"/v1/crosswalks/{row['id']}/history")).json()["items"]
    assert [(step["act"], step["why"], step["actor"], step["state"]["status"]) for step in steps] == [
        ("propose", "seen on the label", "test 0", "draft"),
        ("approve", "checked", "test 0", "approved"),
    ]
    subject = f"crosswalk/{row['id']}"
    assert await acts(gate) == [("crosswalk.propose", subject), ("crosswalk.approve", subject)]


async def test_approving_a_draft_lets_go_what_waits_in_order(gate: Gate) -> None:
    delivered: list[str] = []

    def behave(delivery: Delivery) -> Accepted | Failed:
        try:
            gate.hub.crosswalks.current.code(
                domain="item", system="erp", plant="aachen", canonical="A-1", at=gate.hub.clock()
            )
        except Unresolved as error:
            return Failed(error)
        delivered.append(delivery.event.id)
        return Accepted()

    await gate.route(route(), ScriptedSink(behave))
    steward = await gate.client("steward")
    row = await added(steward, status="draft")
    await gate.record(*(event(number, partitionkey="O:same") for number in range(1, 5)))

    async def parked() -> bool:
        lanes = (await steward.get("/v1/lanes")).json()["items"]
        return [lane["size"] for lane in lanes] == [4]

    await eventually(parked)
    assert delivered == []
    answer = await steward.post(f"/v1/crosswalks/{row['id']}/approve")
    assert answer.json()["released"] == 1
    await eventually(lambda: len(delivered) == 4)
    assert delivered == sorted(delivered)


async def test_a_retired_row_holds_for_what_happened_before(gate: Gate) -> None:
    steward = await gate.client("steward")
    old = await added(steward)
    path = f"/v1/crosswalks/{old['id']}"
    assert (await steward.post(f"{path}/retire", json={"why": " "})).status_code == 422
    retired = await steward.post(f"{path}/retire", json={"why": "discontinued", "valid_to": MAY})
    assert (retired.json()["status"], retired.json()["valid_to"]) == ("retired", MAY)
    assert (meaning(gate, APRIL), meaning(gate, MAY)) == ("A-1", None)
    clash = await steward.post("/v1/crosswalks", json={**ROW, "canonical": "B-1", "valid_from": APRIL})
    assert clash.status_code == 409  # what it said of April is said
    await added(steward, canonical="B-1", valid_from=MAY)
    assert (meaning(gate, APRIL), meaning(gate, MAY)) == ("A-1", "B-1")
    assert (await steward.post(f"{path}/retire", json={"why": "again"})).status_code == 409
    kept = (await steward.get("/v1/crosswalks?value=V-1")).json()["items"]
    assert [row["canonical"] for row in kept] == ["A-1", "B-1"]


async def test_a_row_that_was_wrong_from_the_start_never_holds(gate: Gate) -> None:
    steward = await gate.client("steward")
    wrong = await added(steward)
    draft = await added(steward, status="draft", canonical="C-1")
    for row in (wrong, draft):
        body = {"why": "a slip of the pen", "never": True}
        assert (await steward.post(f"/v1/crosswalks/{row['id']}/retire", json=body)).status_code == 200
    assert meaning(gate, APRIL) is None
    await added(steward, canonical="B-1")
    assert meaning(gate, APRIL) == "B-1"


async def test_of_two_drafts_only_one_can_be_approved(gate: Gate) -> None:
    steward = await gate.client("steward")
    one = await added(steward, status="draft")
    other = await added(steward, status="draft", canonical="B-1")
    assert (await steward.post(f"/v1/crosswalks/{one['id']}/approve")).status_code == 200
    clash = await steward.post(f"/v1/crosswalks/{other['id']}/approve")
    assert (clash.status_code, clash.json()["code"]) == (409, "overlap")
    assert (await steward.get(f"/v1/crosswalks/{other['id']}")).json()["status"] == "draft"


async def test_rows_are_asked_for_as_of_a_moment(gate: Gate) -> None:
    steward = await gate.client("steward")
    await added(steward, valid_to=MAY)
    await added(steward, canonical="B-1", valid_from=MAY)
    await added(steward, canonical="C-1", plant="brno", valid_from=APRIL)
    await added(steward, canonical="D-1", status="draft")

    async def found(query: str) -> list[str]:
        answer = await steward.get(f"/v1/crosswalks?{query}")
        assert answer.status_code == 200, answer.text
        return [row["canonical"] for row in answer.json()["items"]]

    assert await found("as_of=2026-03-01T00:00:00Z") == ["A-1"]
    assert await found(f"as_of={APRIL}") == ["A-1", "C-1"]
    assert await found(f"as_of={MAY}&plant=brno") == ["C-1"]
    assert await found("status=draft") == ["D-1"]
    assert (await steward.get("/v1/crosswalks?as_of=2026-05-01T00:00:00")).status_code == 422
    assert meaning(gate, MAY) == "C-1"  # the plant's row before the enterprise's
    assert meaning(gate, MAY, plant="aachen") == "B-1"


async def test_what_is_not_there_is_404(gate: Gate) -> None:
    steward = await gate.client("steward")
    assert (await steward.get("/v1/crosswalks/7")).status_code == 404
    assert (await steward.get("/v1/crosswalks/7/history")).status_code == 404
    assert (await steward.post("/v1/crosswalks/7/approve")).status_code == 404
    assert (await steward.post("/v1/crosswalks/7/retire", json={"why": "x"})).status_code == 404
    unknown = await steward.post("/v1/crosswalks", json={**ROW, "domain": "itme"})
    assert unknown.json()["errors"][0]["pointer"] == "/domain"


async def test_a_row_of_a_file_is_changed_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text("domain,system,value,canonical\nitem,erp,V-1,A-1\n")
    async with opened(tmp_path / "data", crosswalks=[tmp_path / "items.csv"]) as gate:
        steward = await gate.client("steward")
        (row,) = (await steward.get("/v1/crosswalks")).json()["items"]
        answer = await steward.post(f"/v1/crosswalks/{row['id']}/retire", json={"why": "x"})
        assert (answer.status_code, "change it there" in answer.json()["detail"]) == (409, True)
        (step,) = (await steward.get(f"/v1/crosswalks/{row['id']}/history")).json()["items"]
        assert (step["act"], step["actor"]) == ("load", "files")
        assert meaning(gate, APRIL) == "A-1"


# ── whose codes they are ────────────────────────────────────────────────────────────────────────


async def test_a_domain_has_one_writer_and_others_are_refused_with_an_audit_row(tmp_path: Path) -> None:
    keepers = {"item": {"keys": ["test 0"]}, "uom": {"keys": ["somebody else"]}}
    async with opened(tmp_path / "data", stewardship=keepers) as gate:
        engineering = await gate.client("steward")
        other, admin, viewer = [await gate.client(role) for role in ("operator", "admin", "viewer")]
        second = await gate.client("steward", plants=["aachen", "brno"])
        row = await added(engineering)
        uom = {"domain": "uom", "system": "erp", "value": "ST", "canonical": "H87"}
        refused = [
            await engineering.post("/v1/crosswalks", json=uom),
            await second.post("/v1/crosswalks", json={**ROW, "plant": "brno"}),
            await second.post("/v1/crosswalks", json={**ROW, "plant": "brno", "status": "draft"}),
            await admin.post("/v1/crosswalks", json={**ROW, "plant": "brno"}),
            await admin.post(f"/v1/crosswalks/{row['id']}/retire", json={"why": "x"}),
            await other.post("/v1/crosswalks", json=ROW),
            await viewer.post(f"/v1/crosswalks/{row['id']}/approve"),
        ]
        assert [answer.status_code for answer in refused] == [403] * len(refused)
        assert refused[0].json()["code"] == "not_steward"
        assert "kept by somebody else, not by test 0" in refused[0].json()["detail"]
        entries = [e for e in await audit.page(gate.hub.journal) if e.act == "crosswalk.refused"]
        assert [(entry.actor, entry.subject) for entry in reversed(entries)] == [
            ("test 0", "crosswalks/uom"),
            ("test 4", "crosswalks/item"),
            ("test 4", "crosswalks/item"),
            ("test 2", "crosswalks/item"),
            ("test 2", "crosswalks/item"),
            ("test 1", "crosswalks"),
            ("test 3", "crosswalks"),
        ]
        assert entries[-1].details["row"]["value"] == "ST"
        assert len((await engineering.get("/v1/crosswalks")).json()["items"]) == 1


async def test_where_two_people_are_asked_for_nobody_approves_their_own_row(tmp_path: Path) -> None:
    async with opened(tmp_path / "data", stewardship={"item": {"second_person": True}}) as gate:
        one, two = await gate.client("steward"), await gate.client("steward", "viewer")
        assert (await one.post("/v1/crosswalks", json=ROW)).status_code == 403
        row = await added(one, status="draft")
        own = await one.post(f"/v1/crosswalks/{row['id']}/approve")
        assert (own.status_code, own.json()["code"]) == (403, "not_steward")
        assert (await two.post(f"/v1/crosswalks/{row['id']}/approve")).json()["approved_by"] == "test 1"
        assert [act for act, _ in await acts(gate)] == [
            "crosswalk.refused",
            "crosswalk.propose",
            "crosswalk.refused",
            "crosswalk.approve",
        ]


# ── what a code may mean ────────────────────────────────────────────────────────────────────────


async def test_candidates_come_with_their_reason(gate: Gate) -> None:
    steward = await gate.client("steward")
    await added(steward, system="wms", value="700-0099", canonical="VALVE-9", plant="brno")
    await added(steward, system="mes", value="700-0099", canonical="VALVE-8")
    await added(steward, system="wms", value="7000098", canonical="VALVE-7")
    await added(steward, system="wms", value="A-1", canonical="PUMP-1")
    draft = await added(
        steward, system="mes", value="700-0099", canonical="WRONG", plant="brno", status="draft"
    )
    query = "/v1/crosswalks/candidates?domain=item&system=wms&value=700-0099"
    answer = (await steward.get(query)).json()
    assert answer["outward"] is False
    found = [each["code"] for each in answer["items"]]
    assert found == ["VALVE-9", "VALVE-8", "VALVE-7"]
    assert answer["items"][0]["reason"] == "700-0099 is VALVE-9 of wms in brno (row 1)"
    assert "written much like 7000098" in answer["items"][2]["reason"]
    assert draft["canonical"] not in found
    scores = [each["score"] for each in answer["items"]]
    assert scores == sorted(scores, reverse=True)


GTIN = "04012345000009"


def changed(number: int, key: str, **snapshot: str) -> Event:
    """A change of an item's master data."""
    data = {
        "key": key,
        "version": number,
        "operation": "created",
        "effective_from": APRIL,
        "steward": "engineering",
        "snapshot": snapshot,
    }
    return event(number, type="com.crossplant.masterdata.item.changed.v1", data=data)


def asn(number: int, **line: str) -> Event:
    """A despatch advice of one line."""
    data = {
        "asn": f"D-{number}",
        "supplier": "lf",
        "ship_to": "S1",
        "shipped_at": APRIL,
        "eta": APRIL,
        "lines": [{"quantity": {"value": "5", "uom": "H87"}, **line}],
    }
    return event(number, type="com.crossplant.procurement.asn.received.v1", data=data)


async def test_what_events_say_of_a_code_makes_candidates(gate: Gate) -> None:
    def behave(delivery: Delivery) -> Accepted | Failed:
        return Failed(Unresolved(domain="item", system="lf", value="LF-77"))

    waits = route(
        types=frozenset({change.type for change in (asn(1), changed(1, "x"))}), when="event.id > '000040'"
    )
    await gate.route(waits, ScriptedSink(behave))
    await gate.record(
        changed(1, "VALVE-9", gtin=GTIN, description="Valve block, 9 bar"),
        changed(2, "VALVE-8", description="valve block 8 bar"),
        asn(3, item="VALVE-7", supplier_item="LF-77"),
        asn(44, item="LF-77", gtin=GTIN),
        changed(45, "LF-77", description="9 bar VALVE block,"),
    )
    viewer = await gate.client("viewer")
    query = "/v1/crosswalks/candidates?domain=item&system=lf&value=LF-77&outward=false"

    async def found() -> dict[str, str]:
        items = (await viewer.get(query)).json()["items"]
        reasons = {each["code"]: each["reason"] for each in items}
        return reasons if {"VALVE-7", "VALVE-8", "VALVE-9"} <= reasons.keys() else {}

    reasons = await eventually(found)
    assert list(reasons)[:2] == ["VALVE-9", "VALVE-7"]
    assert reasons["VALVE-9"] == f"the same GTIN {GTIN}, changed in event 1"
    assert reasons["VALVE-7"] == "LF-77 stands beside VALVE-7, seen in event 3"
    assert reasons["VALVE-8"] == "the description is alike, “valve block 8 bar”, changed in event 2"
    outsider = await gate.client("viewer", domains=["telemetry"])
    assert (await outsider.get(query)).json()["items"] == []


# ── import ──────────────────────────────────────────────────────────────────────────────────────

HEADER = "domain,system,plant,value,canonical,valid_from,valid_to,status\n"


async def sent(client: httpx.AsyncClient, text: str, query: str = "") -> httpx.Response:
    path = f"/v1/crosswalks/import{query}"
    return await client.post(path, content=text.encode(), headers={"Content-Type": "text/csv"})


async def test_an_import_shows_its_difference_and_only_that_takes_effect(gate: Gate) -> None:
    steward = await gate.client("steward")
    await added(steward)
    await added(steward, value="V-2", canonical="A-2")
    await added(steward, value="V-3", canonical="A-3")
    await added(steward, value="V-4", canonical="A-4")
    text = HEADER + (
        f"item,erp,,V-1,A-1,,{APRIL},\n"  # bounded
        f"item,erp,,V-1,B-1,{APRIL},,\n"  # and followed by another
        f"item,erp,,V-2,A-2,,{MAY},retired\n"
        "item,erp,,V-3,A-3,,,\n"
        "item,erp,brno,V-9,A-9,,,draft\n"
    )
    shown = (await sent(steward, text)).json()
    counts = {"added": 2, "changed": 1, "retired": 1, "unchanged": 1, "conflicts": 0}
    assert (shown["counts"], shown["applied"]) == (counts, False)
    assert [change["line"] for change in shown["added"]] == [3, 6]
    assert (shown["changed"][0]["line"], shown["changed"][0]["before"]["valid_to"]) == (2, None)
    assert (shown["retired"][0]["line"], shown["unchanged"]) == (4, [5])
    assert meaning(gate, MAY) == "A-1"  # nothing was changed
    other = await sent(steward, text.replace("B-1", "C-1"), f"?apply=true&hash={shown['hash']}")
    assert (other.status_code, other.json()["code"]) == (409, "not_possible")
    applied = (await sent(steward, text, f"?apply=true&hash={shown['hash']}&why=spring")).json()
    assert (applied["counts"], applied["applied"]) == (counts, True)
    assert (meaning(gate, MAY), meaning(gate, "2026-03-01T00:00:00Z")) == ("B-1", "A-1")
    assert (meaning(gate, APRIL, "V-2"), meaning(gate, MAY, "V-2"), meaning(gate, MAY, "V-4")) == (
        "A-2",
        None,
        "A-4",
    )
    again = (await sent(steward, text)).json()
    assert again["counts"] == {"added": 0, "changed": 0, "retired": 0, "unchanged": 5, "conflicts": 0}
    steps = (await steward.get("/v1/crosswalks/1/history")).json()["items"]
    assert [(step["act"], step["why"]) for step in steps] == [("add", ""), ("change", "spring")]
    assert (await acts(gate))[-1] == ("crosswalk.import", "crosswalks")


async def test_conflicts_are_told_by_line_and_nothing_takes_effect(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text("domain,system,value,canonical\nitem,erp,V-1,A-1\n")
    sections = {"crosswalks": [tmp_path / "items.csv"], "stewardship": {"uom": {"keys": ["somebody else"]}}}
    async with opened(tmp_path / "data", **sections) as gate:
        steward = await gate.client("steward")
        text = HEADER + (
            "item,erp,,V-1,B-1,,,\n"
            f"item,erp,,V-1,C-1,{APRIL},,\n"
            "uom,erp,,ST,H87,,,\n"
            "item,erp,paris,V-2,A-2,,,\n"
            "item,erp,,V-5,A-5,,,\n"
            "item,erp,,V-5,A-6,,,\n"
            f"item,erp,,V-5,A-7,{MAY},,\n"
            "item,erp,,V-6,A-6,,,retired\n"
        )
        shown = (await sent(steward, text)).json()
        told = {conflict["line"]: conflict["message"] for conflict in shown["conflicts"]}
        assert sorted(told) == [2, 3, 4, 5, 7, 8, 9]
        assert "from a file of the deployment" in told[2]
        assert "already means 'A-1' then (row 1)" in told[3]
        assert "kept by somebody else" in told[4]
        assert "'paris' is no plant" in told[5]
        assert "line 6 is about the same row" in told[7]
        assert "already means 'A-5' then (line 6)" in told[8]
        assert "no such row to retire" in told[9]
        text = text.replace("uom,erp,,ST,H87,,,\n", "")
        shown = (await sent(steward, text)).json()
        applied = await sent(steward, text, f"?apply=true&hash={shown['hash']}")
        assert applied.status_code == 409
        assert len((await steward.get("/v1/crosswalks")).json()["items"]) == 1


async def test_an_import_that_reaches_for_another_plant_is_409_with_an_audit_row(gate: Gate) -> None:
    steward = await gate.client("steward", plants=["aachen"])
    text = HEADER + "item,erp,aachen,V-1,A-1,,,\nitem,erp,brno,V-2,A-2,,,\n"
    shown = (await sent(steward, text)).json()
    assert await audit.page(gate.hub.journal, act="crosswalk.refused") == []  # looking is no attempt
    applied = await sent(steward, text, f"?apply=true&hash={shown['hash']}")
    assert applied.status_code == 409
    (entry,) = await audit.page(gate.hub.journal, act="crosswalk.refused")
    assert (entry.actor, entry.subject, entry.details["act"]) == (
        "test 0",
        "crosswalks/item",
        "crosswalk.import",
    )
    assert (entry.details["row"]["plant"], entry.details["row"]["value"]) == ("brno", "V-2")
    assert entry.details["refused"] in applied.json()["detail"]
    stale = await sent(steward, HEADER + "item,erp,aachen,V-1,A-1,,,\n", "?apply=true&hash=old")
    assert stale.status_code == 409  # a mistake, and theirs to write: no attempt at anything
    assert len(await audit.page(gate.hub.journal, act="crosswalk.refused")) == 1


async def test_an_import_that_wants_a_second_person_is_409_with_an_audit_row(tmp_path: Path) -> None:
    async with opened(tmp_path / "data", stewardship={"item": {"second_person": True}}) as gate:
        steward = await gate.client("steward")
        text = HEADER + "item,erp,,V-1,A-1,,,\n"
        shown = (await sent(steward, text)).json()
        applied = await sent(steward, text, f"?apply=true&hash={shown['hash']}")
        assert applied.status_code == 409
        (entry,) = await audit.page(gate.hub.journal, act="crosswalk.refused")
        assert (entry.actor, entry.details["act"]) == ("test 0", "crosswalk.import")
        assert "need a second person's approval" in entry.details["refused"]
        assert entry.details["row"]["value"] == "V-1"


async def test_an_import_of_codes_that_others_keep_is_403_with_an_audit_row(tmp_path: Path) -> None:
    keepers = {"uom": {"keys": ["test 1"]}}
    async with opened(tmp_path / "data", stewardship=keepers) as gate:
        engineering = await gate.client("steward")
        quality = await gate.client("steward", "viewer")
        own = HEADER + "uom,erp,,ST,H87,,,\n"
        shown = (await sent(quality, own)).json()
        applied = await sent(quality, own, f"?apply=true&hash={shown['hash']}")
        assert applied.status_code == 200, applied.text
        for line in ("uom,erp,,ST,EA,,,\n", "uom,erp,,KG,KGM,,,draft\n", f"uom,erp,,ST,H87,,{MAY},retired\n"):
            text = HEADER + "item,erp,,V-1,A-1,,,\n" + line
            shown = (await sent(engineering, text)).json()
            refused = await sent(engineering, text, f"?apply=true&hash={shown['hash']}")
            assert (refused.status_code, refused.json()["code"]) == (403, "not_steward"), line
        entries = await audit.page(gate.hub.journal, act="crosswalk.refused")
        assert [(entry.actor, entry.subject) for entry in entries] == [("test 0", "crosswalks/uom")] * 3
        assert {entry.details["act"] for entry in entries} == {"crosswalk.import"}
        assert [row["value"] for row in (await quality.get("/v1/crosswalks")).json()["items"]] == ["ST"]
        both = own + "item,erp,,V-1,A-1,,,\n"  # theirs stays as it is
        shown = (await sent(engineering, both)).json()
        assert shown["counts"]["unchanged"] == 1
        applied = await sent(engineering, both, f"?apply=true&hash={shown['hash']}")
        assert applied.status_code == 200, applied.text


@pytest.mark.parametrize(
    ("text", "pointer"), [("domain,system\n", "/1"), (HEADER + "itme,erp,,V,A,,,\n", "/2"), ("", "/1")]
)
async def test_a_file_that_cannot_be_read_is_422_with_its_lines(gate: Gate, text: str, pointer: str) -> None:
    answer = await sent(await gate.client("steward"), text)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)


async def test_an_import_needs_a_steward_and_a_csv(gate: Gate) -> None:
    assert (await sent(await gate.client("viewer"), HEADER)).status_code == 403
    steward = await gate.client("steward")
    assert (await steward.post("/v1/crosswalks/import", json={})).status_code == 415
    brno = await gate.client("steward", plants=["brno"])
    shown = (await sent(brno, HEADER + "item,erp,,V-1,A-1,,,\nitem,erp,brno,V-1,A-1,,,\n")).json()
    assert [conflict["line"] for conflict in shown["conflicts"]] == [2]
    assert [change["line"] for change in shown["added"]] == [3]


async def test_what_waits_although_its_row_is_there_is_let_go(gate: Gate) -> None:
    """A crash between the row and the lanes, or a row that came while the event was being parked."""
    known, delivered = False, list[str]()

    def behave(delivery: Delivery) -> Accepted | Failed:
        if not known:
            return Failed(Unresolved(domain="item", system="erp", value="V-1", plant="brno"))
        delivered.append(delivery.event.id)
        return Accepted()

    steward = await gate.client("steward")
    await added(steward, plant="aachen", valid_from=datetime.now(UTC).isoformat())
    await gate.route(route(), ScriptedSink(behave))
    await gate.record(event(1), event(2, plantid="brno"), event(3, time=datetime(2026, 1, 1, tzinfo=UTC)))

    async def parked() -> bool:
        return len((await steward.get("/v1/lanes")).json()["items"]) == 3

    await eventually(parked)
    known = True
    assert await gate.hub.crosswalks.look() == 1  # the other two are of another plant, another time
    await eventually(lambda: delivered == ["000001"])
