"""A route adds what the hub's own services know to its events, over a real hub."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from canonical.errors import TransientError
from canonical.event import Event
from config.enrichment import services
from gateway import reading, recipes
from gateway.auth import Principal
from gateway.console import codes as codes_room
from gateway.console import letters, steps
from gateway.crosswalks import seen
from gateway.enriching import keyed
from gateway.projections.following import Behind
from router.enrichment import Question
from tests.gateway.hubs import Gate, deployment, event, opened, order_data
from tests.gateway.ledger import Ledger, install
from tests.waiting import eventually

STARTED = "com.crossplant.production.operation.started.v1"
MAP = {
    "n": "event.id",
    "order": "data.order",
    "item": "enrich.order.item",
    "quantity": "enrich.order.quantity.value",
    "status": "enrich.order.status",
}
EVERYBODY = Principal(name="test", key_id="", roles=frozenset({"viewer"}))
FAST = {"first": "10ms", "max": "40ms", "give_up_after": "1h"}


def sections(*, codes: bool = False, missing: str = "retry", **more: Any) -> dict[str, Any]:
    """A hub with a route from operations to a ledger, which adds the order."""
    route = {
        "on": ["production.operation.started"],
        "enrich": {"order": {"from": "production-orders", "key": "data.order", "missing": missing}},
        "map": MAP,
        "to": "erp",
        "order": "key",
        "retry": FAST,
        **more,
    }
    adapters: dict[str, Any] = {"erp": {"kind": "ledger"}}
    if codes:
        adapters["mes"] = {
            "kind": "rest",
            "plant": "aachen",
            "format": {"kind": "cloudevents"},
            "codes": {"system": "mes", "fields": ["data.item"]},
            "webhook": {"verify": {"kind": "bearer", "secret": "a-secret-of-the-tests"}},
        }
    return {"adapters": adapters, "routes": {"steps": route}}


def started(number: int, order: str = "O-1", plant: str | None = "aachen", **more: Any) -> Event:
    data = {
        "operation": "10",
        "work_centre": "PRESS-1",
        "started_at": "2026-03-31T10:00:00Z",
        "order": order,
    }
    return event(number, type=STARTED, plantid=plant, partitionkey=order, data=data, **more)


def created(number: int, order: str = "O-1", plant: str | None = "aachen", **data: Any) -> Event:
    return event(number, plantid=plant, data=order_data(order, **data))


def got() -> list[Any]:
    return [payload for _, payload in Ledger.got]


def numbers() -> list[int]:
    return [int(payload["n"]) for payload in got()]


@pytest.fixture
async def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Gate]:
    install(monkeypatch)
    async with opened(tmp_path / "data", **sections()) as gate:
        yield gate


async def lane_of(gate: Gate, route: str = "steps") -> list[Any]:
    return await gate.hub.journal.read(
        lambda t: t.execute(
            "SELECT position, state, code, error FROM lanes WHERE route = ? ORDER BY position", (route,)
        )
    )


async def waiting(gate: Gate, many: int) -> None:
    """Until so many wait in the route's lanes."""

    async def look() -> bool:
        return len(await lane_of(gate)) == many

    await eventually(look)


# ── in time ──────────────────────────────────────────────────────────────────────────────────────


async def test_what_was_recorded_before_an_event_is_seen_by_it(site: Gate) -> None:
    for number in range(20):  # each follows its order at once, while the read models are still behind
        order = f"O-{number}"
        await site.record(created(number * 2, order, item=f"I-{number}"), started(number * 2 + 1, order))
    await eventually(lambda: len(Ledger.got) == 20)
    assert {payload["order"]: payload["item"] for payload in got()} == {f"O-{n}": f"I-{n}" for n in range(20)}
    assert {payload["quantity"] for payload in got()} == {"5"}
    assert {payload["status"] for payload in got()} == {"running"}
    assert await lane_of(site) == []


async def test_an_event_before_its_order_waits_and_is_delivered_after_it_in_order(site: Gate) -> None:
    await site.record(created(1, "O-2"), started(2), started(3, "O-2"), started(4))
    await waiting(site, 2)
    assert numbers() == [3]
    [(_, state, code, error), (_, behind, _, _)] = await lane_of(site)
    assert (state, code, behind) == ("retrying", "not_known", "waiting")
    assert error == (
        "enrich.order: production-orders does not know item and quantity of 'O-1' of plant aachen yet"
    )
    await site.record(started(5), created(6, item="late"))
    await eventually(lambda: len(Ledger.got) == 4)
    assert numbers() == [3, 2, 4, 5]
    assert [payload["item"] for payload in got()[1:]] == ["late"] * 3
    assert len({key for key, _ in Ledger.got}) == 4


async def test_what_waits_is_delivered_after_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch)
    async with opened(tmp_path / "data", **sections()) as gate:
        await gate.record(started(1), started(2))
        await waiting(gate, 2)
    async with opened(tmp_path / "data", **sections()) as gate:
        await gate.record(created(3))
        await eventually(lambda: len(Ledger.got) == 2)
        await waiting(gate, 0)
    assert numbers() == [1, 2]


# ── whose record it is ───────────────────────────────────────────────────────────────────────────


async def test_no_plant_reads_another_plant_s_records(site: Gate) -> None:
    await site.record(created(1, plant="brno", item="brno's"), started(2))
    await waiting(site, 1)
    await site.record(created(3, item="aachen's"))
    await eventually(lambda: len(Ledger.got) == 1)
    await site.record(started(4, plant="brno"))
    await eventually(lambda: len(Ledger.got) == 2)
    assert [payload["item"] for payload in got()] == ["aachen's", "brno's"]


async def test_what_belongs_to_no_plant_is_everybody_s_and_a_plant_can_be_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch)
    sales = {
        "sales": {"from": "sales-orders", "key": "data.order"},
        "order": {"from": "production-orders", "key": "data.order", "plant": "'brno'"},
    }
    fields = {"n": "event.id", "customer": "enrich.sales.customer", "item": "enrich.order.item"}
    sold = {"sales_order": "O-1", "revision": 1, "customer": "C-1", "change": "created", "lines": []}
    async with opened(tmp_path / "data", **sections(enrich=sales, map=fields)) as gate:
        placed = event(1, type="com.crossplant.sales.order.changed.v1", plantid=None, data=sold)
        await gate.record(placed, created(2, plant="brno", item="brno's"), started(3))
        await eventually(lambda: len(Ledger.got) == 1)
    assert got() == [{"n": "000003", "customer": "C-1", "item": "brno's"}]


async def test_codes_are_canonical_and_an_unknown_one_parks_until_its_row_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch)
    async with opened(tmp_path / "data", **sections(codes=True)) as gate:
        await gate.record(created(1, item="4711"), started(2), started(3))
        await waiting(gate, 2)
        [(_, state, _, error), (_, behind, _, _)] = await lane_of(gate)
        assert (state, behind) == ("parked", "waiting")
        assert error == "no crosswalk row for item '4711' of system 'mes' (enrich.order)"
        [code] = await letters.missing(gate.hub, EVERYBODY)
        assert codes_room.inbound(gate.hub, code)  # the source's code, though it is not in the event
        question = await seen.asked(gate.hub, "item", "mes", "4711", lambda _: True)
        assert not question.outward
        client = await gate.client("steward")
        row = {"domain": "item", "system": "mes", "value": "4711", "canonical": "HYD-PUMP", "plant": "aachen"}
        answer = await client.post("/v1/crosswalks", json=row)
        assert answer.status_code in (200, 201), answer.text
        await eventually(lambda: len(Ledger.got) == 2)
        assert [payload["item"] for payload in got()] == ["HYD-PUMP"] * 2
        assert numbers() == [2, 3]


PRESS = "acme/aachen/press/1"
COUNTED = "com.crossplant.equipment.count.reported.v1"


def machines() -> dict[str, Any]:
    """A hub whose route from counts to the ledger adds what the machine is doing."""
    route = {
        "on": ["equipment.count.reported"],
        "enrich": {"machine": {"from": "equipment", "key": "data.equipment"}},
        "map": {"n": "event.id", "press": "enrich.machine.equipment", "state": "enrich.machine.state"},
        "to": "erp",
        "retry": FAST,
    }
    made = sections(codes=True)
    made["adapters"]["mes"]["codes"]["fields"] = ["data.equipment"]
    return {**made, "routes": {"steps": route}}


def counted(number: int) -> Event:
    window = {"window_start": "2026-03-31T08:00:00Z", "window_end": "2026-03-31T09:00:00Z"}
    data = {**window, "equipment": "P1", "total": 5, "good": 5, "reject": 0}
    return event(number, type=COUNTED, partitionkey="P1", data=data)


def stopped(number: int, equipment: str, **more: Any) -> Event:
    entered = {"state": "stopped", "previous": "execute", "entered_at": "2026-03-31T09:00:00Z"}
    return event(
        number,
        type="com.crossplant.equipment.state.changed.v1",
        data={**entered, "equipment": equipment},
        **more,
    )


async def means(gate: Gate, **rows: str) -> None:
    """Adds the MES's codes of equipment."""
    client = await gate.client("steward")
    for code, canonical in rows.items():
        row = {"domain": "equipment", "system": "mes", "plant": "aachen"}
        answer = await client.post("/v1/crosswalks", json={**row, "value": code, "canonical": canonical})
        assert answer.status_code in (200, 201), answer.text


async def test_equipment_is_found_by_its_canonical_name_whatever_its_sources_call_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch)
    async with opened(tmp_path / "data", **machines()) as gate:
        await means(gate, P1=PRESS)
        await gate.record(stopped(1, PRESS, source="/systems/scada"), counted(2))
        await eventually(lambda: len(Ledger.got) == 1)
    assert got() == [{"n": "000002", "press": PRESS, "state": "stopped"}]


async def test_a_code_that_looks_like_our_name_is_not_taken_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch)
    async with opened(tmp_path / "data", **machines()) as gate:
        await means(gate, P1=PRESS, **{PRESS: "acme/aachen/press/2"})
        await gate.record(stopped(1, PRESS), counted(2))
        await waiting(gate, 1)
        assert (await lane_of(gate))[0][2] == "not_known"
        await gate.record(stopped(3, "P1"))
        await eventually(lambda: len(Ledger.got) == 1)
    assert got() == [{"n": "000002", "press": PRESS, "state": "stopped"}]


# ── what is not known ────────────────────────────────────────────────────────────────────────────


async def test_a_dead_letter_tells_what_a_retry_would_do_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch)
    async with opened(tmp_path / "data", **sections(missing="dead_letter")) as gate:
        await gate.record(started(1))
        client = await gate.client("operator")

        async def opened_ones() -> list[Any]:
            return list((await client.get("/v1/dead-letters?status=open")).json()["items"])

        [letter] = await eventually(opened_ones)
        assert (letter["code"], letter["stage"]) == ("not_known", "processing")
        dry = f"/v1/dead-letters/{letter['id']}/dry-run"
        before = (await client.post(dry)).json()
        assert (before["outcome"], before["code"]) == ("would_fail", "not_known")
        await gate.record(created(2, item="late"))
        after = (await client.post(dry)).json()
        assert after["outcome"] == "would_deliver"
        assert json.loads(after["sent"][0]["body"])["item"] == "late"
        assert got() == []
        retried = await client.post(f"/v1/dead-letters/{letter['id']}/retry")
        assert retried.status_code in (200, 202), retried.text
        await eventually(lambda: len(Ledger.got) == 1)
        assert got()[0]["item"] == "late"


async def test_omit_leaves_it_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    fields = {"n": "event.id", "item": "enrich.?order.?item.orValue('unknown')"}
    async with opened(tmp_path / "data", **sections(missing="omit", map=fields)) as gate:
        await gate.record(started(1), created(2, "O-2", item="known"), started(3, "O-2"))
        await eventually(lambda: len(Ledger.got) == 2)
    assert {payload["n"]: payload["item"] for payload in got()} == {"000001": "unknown", "000003": "known"}


async def test_while_the_read_models_are_behind_the_route_waits_and_says_so(
    site: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = asyncio.Event()
    caught_up = site.hub.services.caught_up

    async def held(within_s: float = 2.0) -> None:
        if not free.is_set():
            raise Behind("services is at position 0 of 2", retry_after_s=0.05)
        await caught_up(within_s)

    monkeypatch.setattr(site.hub.services, "caught_up", held)
    await site.record(created(1), started(2))
    engine = site.hub.engines["steps"]
    await eventually(lambda: engine.status.state == "paused")
    assert engine.status.reason == "the read models could not be asked: services is at position 0 of 2"
    assert (got(), await lane_of(site)) == ([], [])
    free.set()
    await eventually(lambda: numbers() == [2])


async def test_a_file_that_cannot_be_read_is_no_answer(site: Gate) -> None:
    await site.record(created(1))
    question = Question("production-orders", "O-1", "aachen")
    known = (await site.hub.models.find([question]))[question]
    assert known is not None
    assert known.fields["item"] == "A-1"
    assert known.fields["plant"] == "aachen"
    assert not {"links", "unresolved", "sources", "status_reason"} & known.fields.keys()
    thread = threading.get_ident()
    threads: list[int] = []
    read = site.hub.services.read

    async def noted(ask: Any) -> Any:
        def within(connection: apsw.Connection) -> Any:
            threads.append(threading.get_ident())
            return ask(connection)

        return await read(within)

    site.hub.services.read = noted  # type: ignore[method-assign]
    await site.hub.models.find([question])
    assert threads
    assert thread not in threads  # off the loop

    async def broken(ask: Any) -> Any:
        return await read(lambda connection: connection.execute("SELECT 1 FROM nothing_of_that_name"))

    site.hub.services.read = broken  # type: ignore[method-assign]
    with pytest.raises(TransientError, match="cannot be read"):
        await site.hub.models.find([question])


# ── beside the route's own work ──────────────────────────────────────────────────────────────────


async def test_a_replay_reads_anew_and_does_not_wait_for_what_is_not_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch)
    fields = {"n": "event.id", "item": "enrich.?order.?item.orValue('unknown')"}
    async with opened(tmp_path / "data", **sections(missing="omit", map=fields)) as gate:
        positions = await gate.record(created(1), started(2), started(3, "O-9"))
        await eventually(lambda: gate.hub.engines["steps"].status.cursor >= positions[-1])
        assert sorted(payload["item"] for payload in got()) == ["A-1", "unknown"]
        await gate.hub.reload(deployment(**sections()), by="test")
        client = await gate.client("integrator", "operator")
        body = {"route": "steps", "since": "2020-01-01T00:00:00Z", "rate": 1000}
        begun = await client.post("/v1/replays", json=body)
        assert begun.status_code == 202, begun.text

        async def ended() -> Any:
            found = (await client.get(begun.headers["location"])).json()
            return found if found["state"] != "running" else None

        found = await eventually(ended)
        assert (found["state"], found["result"]["counts"]["failed"]) == ("done", 1)
        assert got()[2]["item"] == "A-1"
        assert Ledger.got[2][0] in {key for key, _ in Ledger.got[:2]}


async def test_a_dry_run_reads_the_records_of_now_on_both_sides(site: Gate) -> None:
    positions = await site.record(created(1), started(2), created(3, "O-2"), started(4, "O-2"))
    await eventually(lambda: site.hub.engines["steps"].status.cursor >= positions[-1])
    await site.hub.journal.write(lambda _: None)
    client = await site.client("integrator")
    new = deployment(**sections(map={**MAP, "item": "'>' + enrich.order.item"}))
    body = {
        "route": "steps",
        "since": "2020-01-01T00:00:00Z",
        "dry_run": True,
        "recipe": json.loads(recipes.recipe("steps", new)),
    }
    begun = await client.post("/v1/replays", json=body)
    assert begun.status_code == 202, begun.text

    async def ended() -> Any:
        found = (await client.get(begun.headers["location"])).json()
        return found if found["state"] != "running" else None

    found = await eventually(ended)
    assert found["state"] == "done", found
    assert found["result"]["counts"]["changed"] == 2
    [field] = found["result"]["fields"]
    assert (field["field"], field["events"]) == ("item", 2)
    assert field["examples"][0]["after"] == ">A-1"
    assert len(Ledger.got) == 2


async def test_a_shadow_records_what_would_be_delivered_with_the_record_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch)
    async with opened(tmp_path / "data", **sections(mode="shadow")) as gate:
        positions = await gate.record(created(1), started(2), started(3, "O-9"))
        await eventually(lambda: gate.hub.engines["steps"].status.cursor >= positions[-1])
        client = await gate.client("viewer")
        known = (await client.get(f"/v1/events/{positions[1]}/timeline")).json()["routes"][0]
        assert json.loads(known["would_deliver"]["body"])["item"] == "A-1"
        unknown = (await client.get(f"/v1/events/{positions[2]}/timeline")).json()["routes"][0]
        assert "not_known" in json.dumps(unknown)
        assert got() == []
        refused = await (await gate.client("integrator")).post(
            "/v1/replays", json={"route": "steps", "since": "2020-01-01T00:00:00Z", "rate": 1000}
        )
        assert (refused.status_code, "is a shadow" in refused.text) == (409, True)


async def test_the_page_of_an_event_shows_what_it_becomes(site: Gate) -> None:
    positions = await site.record(created(1, item="shown"), started(2), started(3, "O-9"))
    await eventually(lambda: len(Ledger.got) == 1)
    await waiting(site, 1)
    await site.hub.journal.write(lambda _: None)
    shown = []
    for position in positions[1:]:
        item = await reading.at(site.hub.journal, position)
        assert item is not None
        [went] = (await steps.way_of(site.hub, EVERYBODY, item)).went
        shown.append(went)
    assert json.loads(shown[0].payload)["item"] == "shown"
    assert "does not know item and quantity of 'O-9'" in shown[1].problem


def test_the_check_of_a_configuration_knows_what_can_be_enriched_from() -> None:
    assert set(services()) == set(keyed())
    assert {"production-orders", "purchase-orders", "sales-orders", "asns"} <= set(services())
    assert "inventory/balances" not in services()  # a balance has no key of one part
    with pytest.raises(ValueError, match="no service 'materials' to enrich from"):
        deployment(**sections(enrich={"order": {"from": "materials", "key": "data.order"}}))


async def test_at_a_limit_the_route_and_a_replay_of_it_deliver_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch)
    limited = sections()
    limited["adapters"]["erp"]["rate"] = "100/s"
    async with opened(tmp_path / "data", **limited) as gate:
        await gate.record(created(1), *(started(2 + n, f"O-{n % 2 + 1}") for n in range(10)))
        await waiting(gate, 5)
        await eventually(lambda: len(Ledger.got) == 5)
        await gate.record(created(20, "O-2"))
        await eventually(lambda: len(Ledger.got) == 10)
        await waiting(gate, 0)
        client = await gate.client("integrator")
        body = {"route": "steps", "since": "2020-01-01T00:00:00Z", "rate": 1000}
        begun = await client.post("/v1/replays", json=body)
        assert begun.status_code == 202, begun.text
        await eventually(lambda: len(Ledger.got) == 20)
        assert len({key for key, _ in Ledger.got}) == 10


SLOW = {"first": "1h", "max": "1h", "give_up_after": "9h"}


async def test_what_waits_for_a_document_is_tried_when_something_is_said_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch)
    async with opened(tmp_path / "data", **sections(retry=SLOW)) as gate:
        await gate.record(*(started(n, f"O-{n % 2}") for n in range(6)))
        await waiting(gate, 6)
        await gate.record(created(10, "O-1"))
        await eventually(lambda: len(Ledger.got) == 3)
        await waiting(gate, 3)
        assert numbers() == [1, 3, 5]
        await gate.record(created(11, "O-0", plant="brno"))  # not ours: looked at, and waited on

        async def looked() -> bool:
            rows = await gate.hub.journal.read(lambda t: t.execute("SELECT max(attempts) FROM lanes"))
            return [tuple(row) for row in rows] == [(2,)]

        await eventually(looked)
        await gate.record(created(12, "O-0"))
        await eventually(lambda: len(Ledger.got) == 6)
        assert numbers()[3:] == [0, 2, 4]


async def test_a_dead_letter_stays_one_whatever_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch)
    short = {"first": "10ms", "max": "10ms", "give_up_after": "30ms"}
    async with opened(tmp_path / "data", **sections(retry=short)) as gate:
        await gate.record(started(1))

        async def dead() -> bool:
            return [row[1] for row in await lane_of(gate)] == ["dead"]

        await eventually(dead)
        [position] = await gate.record(created(2))
        await gate.hub.services.caught_up(10)
        await gate.record(created(3, "O-2"), started(4, "O-2"))
        await eventually(lambda: numbers() == [4])
        assert await dead()
        assert gate.hub.services.position >= position


async def test_a_batch_goes_out_without_what_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    async with opened(tmp_path / "data", **sections(batch={"size": 10, "within": "50ms"})) as gate:
        await gate.record(created(1), *(started(2 + n, f"O-{n % 2 + 1}") for n in range(10)))
        await waiting(gate, 5)
        together = [body for _, bodies in Ledger.got for body in bodies]
        assert [(body["n"], body["item"]) for body in together] == [
            (f"{n:06d}", "A-1") for n in range(2, 12, 2)
        ]
        await gate.record(created(20, "O-2", item="late"))
        await waiting(gate, 0)
        late = [body for _, bodies in Ledger.got for body in bodies][5:]
    assert [(body["n"], body["item"]) for body in late] == [(f"{n:06d}", "late") for n in range(3, 12, 2)]


async def test_the_lines_of_a_document_each_carry_its_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch)
    route = {
        "on": ["production.order.completed"],
        "split": "data.lots",
        "enrich": {"order": {"from": "production-orders", "key": "data.order"}},
        "map": {"lot": "item", "start": "enrich.order.planned_start"},
        "to": "erp",
        "retry": FAST,
    }
    done = {"order": "O-1", "item": "A-1", "good": {"value": "5", "uom": "H87"}, "lots": ["L1", "L2"]}
    done |= {"scrap": {"value": "0", "uom": "H87"}, "completed_at": "2026-03-31T13:00:00Z"}
    ended = "com.crossplant.production.order.completed.v1"
    async with opened(tmp_path / "data", **{**sections(), "routes": {"steps": route}}) as gate:
        await gate.record(event(1, type=ended, partitionkey="O-1", data=done))
        await waiting(gate, 1)
        assert got() == []
        await gate.record(created(2))
        await eventually(lambda: len(Ledger.got) == 2)
        await waiting(gate, 0)
    assert got() == [{"lot": lot, "start": "2026-03-31T10:00:00Z"} for lot in ("L1", "L2")]
    keys = [key for key, _ in Ledger.got]
    assert keys[0].removesuffix("-1") == keys[1].removesuffix("-2")
