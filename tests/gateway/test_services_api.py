"""The normalised services over HTTP: one shape, codes side by side, pages, filters, who sees what."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from canonical.ports import RawMessage
from gateway.api import service_schema
from gateway.projections.services.registry import SERVICES
from router.crosswalk import Row
from tests.gateway.hubs import Gate, opened
from tests.gateway.test_services import adjusted, balance, moved, order, quantity, said, value

ORDER = {
    "order": "payload.order",
    "item": "payload.item",
    "quantity": {"value": "payload.quantity", "uom": "payload.unit"},
    "planned_start": "payload.start",
    "planned_end": "payload.end",
    "work_centre": "payload.line",
}
STOCK = {
    "location": {"plant": "payload.plant", "storage": "payload.storage"},
    "item": "payload.item",
    "on_hand": {"value": "payload.quantity", "uom": "payload.unit"},
    "as_of": "payload.start",
}
EVENTS = [
    {"when": "has(payload.order)", "type": "production.order.released", "data": ORDER},
    {"type": "inventory.balance.reported", "data": STOCK},
]
CSV = [
    {**EVENTS[0], "when": "payload.order != null"},
    EVENTS[1],
]


def _adapters(folder: Path) -> dict[str, Any]:
    """Three plants, each with another protocol, format and code."""
    return {
        "mes": {
            "kind": "rest",
            "plant": "aachen",
            "codes": {"system": "aachen-mes", "fields": ["data.item"]},
            "format": {"kind": "json", "events": EVENTS},
            "webhook": {"verify": {"kind": "bearer", "secret": "a-secret-of-the-tests"}},
        },
        "brno-drop": {
            "kind": "files",
            "plant": "brno",
            "path": str(folder / "in"),
            "codes": {"system": "brno-mes", "fields": ["data.item"]},
            "format": {"kind": "csv", "delimiter": ";", "events": CSV},
        },
        "coventry-floor": {
            "kind": "mqtt",
            "plant": "coventry",
            "url": "mqtt://127.0.0.1:1",
            "codes": {"system": "coventry-mes", "fields": ["data.item"]},
            "subscribe": [{"topic": "acme/coventry/#"}],
            "format": {"kind": "json", "events": EVENTS},
        },
    }


PLANTS = {
    "aachen": {"name": "Aachen", "timezone": "Europe/Berlin"},
    "brno": {"name": "Brno", "timezone": "Europe/Prague"},
    "coventry": {"name": "Coventry", "timezone": "Europe/London"},
}


@pytest.fixture
async def company(tmp_path: Path) -> AsyncIterator[Gate]:
    (tmp_path / "in").mkdir()
    async with opened(tmp_path / "data", plants=PLANTS, adapters=_adapters(tmp_path)) as gate:
        for system, code in (("aachen-mes", "A-4711"), ("brno-mes", "B100"), ("coventry-mes", "C/20")):
            row = Row(domain="item", system=system, value=code, canonical="HYD-PUMP-20")
            await gate.hub.crosswalks.add(row, by="test")
        yield gate


def _body(form: str, plant: str, item: str, order: str | None) -> bytes:
    fields: dict[str, Any] = {
        "plant": plant,
        "storage": "0001",
        "item": item,
        "quantity": "12",
        "unit": "H87",
        "start": "2026-03-31T06:00:00Z",
        "end": "2026-03-31T14:00:00Z",
        "line": "L1",
    }
    if form == "csv":
        fields["order"] = order or ""
        return (";".join(fields) + "\n" + ";".join(fields.values()) + "\n").encode()
    return json.dumps(fields | ({"order": order} if order else {})).encode()


async def _bring(gate: Gate) -> None:
    """An order and a balance of each plant, through its own adapter's decoder."""
    brought = (("mes", "json", "aachen", "A-4711"), ("brno-drop", "csv", "brno", "B100"))
    for adapter, form, plant, item in (*brought, ("coventry-floor", "json", "coventry", "C/20")):
        for number, name in enumerate(("O-1", None)):
            raw = RawMessage(
                adapter=adapter,
                id=f"{adapter}-{number}",
                body=_body(form, plant, item, name),
                received_at=datetime.now(UTC),
            )
            (outcome,) = await gate.hub.ingest.submit(adapter, [raw])
            assert outcome.status == "accepted", outcome


def _shape(shown: Any) -> Any:
    if isinstance(shown, dict):
        return {name: _shape(inner) for name, inner in shown.items()}
    return [_shape(inner) for inner in shown] if isinstance(shown, list) else type(shown).__name__


@pytest.mark.parametrize("service", ["production-orders", "inventory/balances"])
async def test_three_plants_have_one_shape_whatever_brought_it(company: Gate, service: str) -> None:
    await _bring(company)
    client = await company.client("viewer")
    answer = (await client.get(f"/v1/{service}", params={"item": "HYD-PUMP-20"})).json()
    assert [item["plant"] for item in answer["items"]] == ["aachen", "brno", "coventry"]
    assert {item["item"] for item in answer["items"]} == {"HYD-PUMP-20"}
    assert [item["source_item"] for item in answer["items"]] == ["A-4711", "B100", "C/20"]
    assert len({json.dumps(_shape(item)) for item in answer["items"]}) == 1
    assert answer["as_of"]["behind"] == 0


async def test_an_unknown_code_is_shown_as_such_and_mended_by_the_row(company: Gate) -> None:
    client = await company.client("viewer")
    raw = RawMessage(
        adapter="mes", id="x", body=_body("json", "aachen", "NEW", "O-7"), received_at=datetime.now(UTC)
    )
    await company.hub.ingest.submit("mes", [raw])
    (found,) = (await client.get("/v1/production-orders?item=NEW")).json()["items"]
    assert (found["item"], found["source_item"]) == (None, "NEW")
    (missing,) = found["unresolved"]
    assert missing["pointer"] == "/item"
    assert (missing["domain"], missing["system"], missing["plant"], missing["value"]) == (
        *("item", "aachen-mes", "aachen", "NEW"),
    )
    row = Row(domain="item", system="aachen-mes", value="NEW", canonical="HYD-PUMP-40")
    await company.hub.crosswalks.add(row, by="test")
    (found,) = (await client.get("/v1/production-orders?item=HYD-PUMP-40")).json()["items"]
    assert (found["item"], found["source_item"], found["unresolved"]) == ("HYD-PUMP-40", "NEW", [])


async def test_codes_are_read_as_of_the_event(company: Gate) -> None:
    change = datetime(2026, 3, 1, 0, 30, tzinfo=UTC).timestamp()
    source = "/plants/aachen/adapters/mes"
    for canonical, start, end in (("OLD", None, change), ("NEW", change, None)):
        row = Row(
            domain="item", system="aachen-mes", value="A", canonical=canonical, valid_from=start, valid_to=end
        )
        await company.hub.crosswalks.add(row, by="test")
    await company.record(order(10, name="O-old", source=source), order(50, name="O-new", source=source))
    client = await company.client("viewer")
    for wanted, name in (("OLD", "O-old"), ("NEW", "O-new")):
        items = (await client.get("/v1/production-orders", params={"item": wanted})).json()["items"]
        assert [(item["order"], item["item"]) for item in items] == [(name, wanted)]


async def test_pages_follow_one_another_without_gap_or_repeat(gate: Gate) -> None:
    await gate.record(*(order(number, name=f"O-{number:02}") for number in range(7)))
    client = await gate.client("viewer")
    found: list[str] = []
    link = "/v1/production-orders?limit=3"
    while link:
        answer = await client.get(link)
        found += [item["order"] for item in answer.json()["items"]]
        link = answer.headers.get("link", "").partition(">")[0][1:]
    assert found == [f"O-{number:02}" for number in range(7)]


async def test_what_a_caller_has_is_not_sent_again(gate: Gate) -> None:
    await gate.record(order(1))
    client = await gate.client("viewer")
    first = await client.get("/v1/production-orders")
    known = {"If-None-Match": first.headers["etag"]}
    again = await client.get("/v1/production-orders", headers=known)
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    await gate.record(value(2))  # of another service
    assert (await client.get("/v1/production-orders", headers=known)).status_code == 304
    await gate.record(order(3, "released"))
    after = await client.get("/v1/production-orders", headers=known)
    assert (after.status_code, after.json()["items"][0]["status"]) == (200, "released")


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("wrong=1", "/query/wrong"),
        ("status=broken", "/query/status"),
        ("due=tomorrow", "/query/due"),
        ("late=perhaps", "/query/late"),
        ("limit=0", "/query/limit"),
        ("cursor=nonsense", "/query/cursor"),
    ],
)
async def test_a_filter_that_cannot_be_is_refused_with_its_place(
    gate: Gate, query: str, pointer: str
) -> None:
    client = await gate.client("viewer")
    answer = await client.get(f"/v1/production-orders?{query}")
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


async def test_a_key_sees_its_plants_and_domains_only(gate: Gate) -> None:
    await gate.record(order(1), order(2, name="O-2", plantid="brno"), order(3, name="O-3", plantid=None))
    everybody = await gate.client("viewer")
    assert len((await everybody.get("/v1/production-orders")).json()["items"]) == 3
    nowhere = (await everybody.get("/v1/production-orders?plant=-")).json()["items"]
    assert [(item["plant"], item["order"]) for item in nowhere] == [(None, "O-3")]
    brno = await gate.client("viewer", plants=["brno"])
    assert [item["order"] for item in (await brno.get("/v1/production-orders")).json()["items"]] == ["O-2"]
    for query in ("plant=aachen", "plant=-"):
        assert (await brno.get(f"/v1/production-orders?{query}")).status_code == 403
    quality = await gate.client("viewer", domains=["quality"])
    assert (await quality.get("/v1/production-orders")).status_code == 403
    assert (await quality.get("/v1/quality/holds")).status_code == 200
    (plant,) = (await brno.get("/v1/plants")).json()["items"]
    assert plant["counts"]["production-orders"] == 1
    (plant, _) = (await quality.get("/v1/plants")).json()["items"]
    assert set(plant["counts"]) == {"quality/holds"}


async def test_late_and_due_are_told(gate: Gate) -> None:
    future = {"planned_start": "2126-03-01T00:00:00Z", "planned_end": "2126-03-01T02:00:00Z"}
    coming = order(3, name="O-3")
    coming.data.update(future)
    await gate.record(order(1, name="O-1"), order(2, "completed", name="O-2"), coming)
    client = await gate.client("viewer")

    async def found(query: str) -> list[str]:
        answer = await client.get(f"/v1/production-orders?{query}")
        return [item["order"] for item in answer.json()["items"]]

    assert await found("late=true") == ["O-1"]
    assert await found("late=false") == ["O-2", "O-3"]
    assert await found("due=2026-03-02T00:00:00Z") == ["O-1"]
    assert await found("status=completed") == ["O-2"]


async def test_an_asn_is_late_until_it_is_received(gate: Gate) -> None:
    advised = {
        "asn": "DN-1",
        "supplier": "S",
        "ship_to": "0001",
        "shipped_at": "2026-03-01T00:00:00Z",
        "eta": "2126-03-02T00:00:00Z",
        "lines": [{"item": "A", "quantity": quantity(4)}],
    }
    delayed = {
        "asn": "DN-1",
        "old_eta": "2126-03-02T00:00:00Z",
        "new_eta": "2126-03-05T00:00:00Z",
        "delay": 259200,
        "detected_by": "carrier",
    }
    receipt = {
        "receipt": "R-1",
        "asn": "DN-1",
        "at": "2026-03-05T08:00:00Z",
        "lines": [{"item": "A", "received": quantity(4), "rejected": quantity(0)}],
    }
    client = await gate.client("viewer")

    async def shown() -> tuple[Any, ...]:
        (item,) = (await client.get("/v1/asns?asn=DN-1&supplier=S")).json()["items"]
        return item["plant"], item["status"], item["late"], item["eta"]

    await gate.record(said(1, "procurement.asn.received", advised, plantid=None))
    assert await shown() == (None, "announced", False, advised["eta"])
    await gate.record(said(2, "procurement.asn.delayed", delayed, plantid=None))
    assert await shown() == (None, "delayed", True, delayed["new_eta"])
    await gate.record(said(3, "procurement.receipt.posted", receipt))
    assert await shown() == ("aachen", "received", False, delayed["new_eta"])


async def test_equipment_is_found_by_a_path_above_it(gate: Gate) -> None:
    def state(path: str, minute: int) -> Any:
        data = {"state": "execute", "previous": None, "entered_at": f"2026-03-01T00:0{minute}:00Z"}
        return said(minute, "equipment.state.changed", data, subject=path)

    await gate.record(state("acme/aachen/shop/p-1", 1), state("acme/aachen/shop-2/p-9", 2))
    client = await gate.client("viewer")
    items: list[Any] = []
    for query, names in (
        ("acme/aachen/shop", ["acme/aachen/shop/p-1"]),
        ("acme/aachen/shop/p-1", ["acme/aachen/shop/p-1"]),
        ("acme", ["acme/aachen/shop-2/p-9", "acme/aachen/shop/p-1"]),
    ):
        items = (await client.get("/v1/equipment", params={"equipment": query})).json()["items"]
        assert [item["equipment"] for item in items] == names
    assert items[1]["since"] == "2026-03-01T00:01:00Z"


async def test_the_latest_value_leads_to_its_history(gate: Gate) -> None:
    await gate.record(*(value(number) for number in (1, 5, 3)), value(9, "other"))
    client = await gate.client("viewer")
    (item,) = (await client.get("/v1/telemetry/latest?equipment=press&tag=t")).json()["items"]
    assert item["value"] == 5
    history = (await client.get(item["links"]["history"])).json()
    assert [each["value"] for each in history["items"]] == [1, 5, 3]
    window = {"equipment": "press", "since": "2026-03-01T00:02:00Z", "until": "2026-03-01T00:06:00Z"}
    assert [
        each["value"] for each in (await client.get("/v1/telemetry/history", params=window)).json()["items"]
    ] == [5, 3]
    first = await client.get("/v1/telemetry/history?equipment=press&limit=3")
    assert len(first.json()["items"]) == 3
    rest = await client.get(first.headers["link"].partition(">")[0][1:])
    assert [each["tag"] for each in rest.json()["items"]] == ["other"]


async def test_a_thing_leads_to_its_events(gate: Gate) -> None:
    await gate.record(order(1), order(2, "released"))
    client = await gate.client("viewer")
    (item,) = (await client.get("/v1/production-orders")).json()["items"]
    events = (await client.get(item["links"]["events"])).json()["items"]
    assert [event["position"] for event in events] == [1, 2]
    assert (await client.get(item["links"]["timeline"])).json()["position"] == item["position"] == 2
    assert len((await client.get(item["links"]["search"])).json()["items"]) == 2


async def test_stock_is_what_was_reported_and_what_changed_since(gate: Gate) -> None:
    await gate.record(balance(1, 50), adjusted(2, -3), moved(3, 7))
    client = await gate.client("viewer")
    items = (await client.get("/v1/inventory/balances?storage=0001")).json()["items"]
    assert [item["on_hand"]["value"] for item in items] == ["40"]
    place = {"plant": "aachen", "source_plant": "aachen", "storage": "0001", "source_storage": "0001"}
    assert items[0]["location"] == place


async def test_a_stale_answer_says_how_far_behind_it_is(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    await gate.record(order(1))
    client = await gate.client("viewer")
    assert len((await client.get("/v1/production-orders")).json()["items"]) == 1
    file = gate.hub.services._file
    assert file is not None

    def refuse(*_: object) -> None:
        raise OSError("the disk hangs")

    monkeypatch.setattr(file, "add", refuse)
    await gate.record(order(2, name="O-2"))
    answer = await client.get("/v1/production-orders?stale=true")
    assert (len(answer.json()["items"]), answer.json()["as_of"]["behind"]) == (1, 1)
    refused = await client.get("/v1/production-orders")
    assert (refused.status_code, refused.json()["code"]) == (503, "index_behind")
    assert "retry-after" in refused.headers


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: str(service.name))
async def test_an_item_has_what_the_documentation_says(gate: Gate, service: Any) -> None:
    events = [said(number, suffix, dict(data)) for number, (suffix, data) in enumerate(service.example, 1)]
    await gate.record(*events)
    client = await gate.client("viewer")
    (item,) = (await client.get(f"/v1/{service.name}")).json()["items"]
    page = service_schema.page(service)
    assert set(item) == set(page["schema"]["properties"]["items"]["items"]["properties"])
    assert set(page["example"]["items"][0]) == set(item)
    for name in {name for name in item if name.startswith("source_")} - {"source_time"}:
        assert name.removeprefix("source_") in item, "a name of its own that looks like a source's code"


async def test_at_the_size_limit_the_retention_passes_what_is_in_a_copy(tmp_path: Path) -> None:
    """A whole hub: without a copy nothing may go; housekeeping takes one as soon as the journal is full."""
    async with opened(tmp_path / "data") as gate:
        await gate.record(order(1), value(2), balance(3, 50))
        hub = gate.hub
        await hub.services.caught_up()
        await hub.search.caught_up()
        assert hub.services.keep_after == 0
        hub.journal._retention.size_bytes = 1
        await hub.journal.retain()
        assert (hub.journal.full, len((await hub.journal.events(0))[0])) == (True, 3)
        await hub._make_room()
        await hub.journal.retain()
        assert hub.services.keep_after == 3
        client = await gate.client("viewer")
        for service in ("production-orders", "telemetry/latest", "inventory/balances"):
            assert len((await client.get(f"/v1/{service}")).json()["items"]) == 1
