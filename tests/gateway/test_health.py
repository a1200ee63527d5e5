"""Liveness, readiness, metrics, service levels, what the hub consists of."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from canonical.errors import Rejected, TransientError, Unresolved
from canonical.ports import Accepted, Delivery, Failed
from tests.gateway.hubs import Gate, event
from tests.router.rig import ScriptedSink, route
from tests.waiting import eventually

Samples = dict[str, dict[tuple[tuple[str, str], ...], float]]


async def scrape(gate: Gate) -> Samples:
    gate.hub.metrics._refreshed_s = 0.0
    answer = await (await gate.client("monitor")).get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    found: Samples = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


def labelled(samples: Samples, name: str, **labels: str) -> float:
    return samples[name][tuple(sorted(labels.items()))]


async def a_day_at_work(gate: Gate) -> None:
    """Two plants, one route: some delivered, one parked, one dead."""

    def behave(delivery: Delivery) -> Accepted | Failed:
        match delivery.event.id:
            case "000002":
                return Failed(Unresolved(domain="item", system="erp", value="A-1"))
            case "000003":
                return Failed(Rejected("no", code="http_422"))
            case _:
                return Accepted()

    await gate.route(route(), ScriptedSink(behave))
    await gate.record(
        *(event(number) for number in range(1, 6)),
        event(6, plantid="brno"),
        event(7, plantid=None, source="/systems/x"),
        event(8, time=gate.hub.clock() + timedelta(hours=1)),
    )
    await eventually(lambda: gate.hub.metrics.delivered_by_route().get("orders") == 6)

    async def settled() -> bool:
        await gate.hub.metrics.refresh(gate.hub)
        return bool(gate.hub.metrics.snapshot.dead_letters)

    await eventually(settled)


async def test_the_names_of_the_contract_and_their_labels(gate: Gate) -> None:
    await a_day_at_work(gate)
    gate.hub.adapters["mes"].health.last_good_at = gate.hub.clock()
    found = await scrape(gate)
    plant = "aachen"
    accepted = "crossplant_events_accepted_total"
    assert labelled(found, accepted, plant=plant, adapter="api", domain="production") == 6
    assert labelled(found, accepted, plant="-", adapter="api", domain="production") == 1
    deliveries = "crossplant_deliveries_total"
    for outcome, number in (("delivered", 4), ("parked", 1), ("dead_lettered", 1)):
        assert labelled(found, deliveries, plant=plant, route="orders", outcome=outcome) == number
    for clock, number in (("pipeline", 4), ("end_to_end", 3)):
        labels = {"plant": plant, "domain": "production", "route": "orders", "clock": clock}
        name = "crossplant_message_latency_seconds"
        assert labelled(found, f"{name}_count", **labels) == number
        assert labelled(found, f"{name}_bucket", le="+Inf", **labels) == number
        assert labelled(found, f"{name}_sum", **labels) >= 0
    assert labelled(found, "crossplant_clock_skew_total", plant=plant, route="orders") == 1
    assert labelled(found, "crossplant_parked_events", plant=plant, route="orders") == 1
    assert labelled(found, "crossplant_dead_letters", plant=plant, route="orders") == 1
    assert labelled(found, "crossplant_adapter_connected", plant=plant, adapter="mes") == 1
    assert labelled(found, "crossplant_adapter_data_flowing", plant=plant, adapter="mes") == 1
    last = labelled(found, "crossplant_adapter_last_good_timestamp_seconds", plant=plant, adapter="mes")
    assert last > 1_700_000_000


async def test_a_backlog_and_its_age_are_shown(gate: Gate) -> None:
    def away(delivery: Delivery) -> Failed:
        return Failed(TransientError("connection refused", outage=True))

    engine = await gate.route(route(), ScriptedSink(away))
    await gate.record(event(1), event(2), event(3, plantid="brno"))
    await eventually(lambda: engine.status.state == "paused")
    found = await scrape(gate)
    assert labelled(found, "crossplant_backlog_events", plant="aachen", route="orders") == 2
    assert labelled(found, "crossplant_backlog_events", plant="brno", route="orders") == 1
    assert labelled(found, "crossplant_backlog_oldest_age_seconds", plant="aachen", route="orders") >= 0
    shown = (await (await gate.client("viewer")).get("/v1/routes")).json()["items"][0]
    assert (shown["name"], shown["state"], shown["to"]) == ("orders", "paused", "erp")
    assert "refused" in shown["reason"]
    by_plant = {entry["plant"]: entry["events"] for entry in shown["backlog"]}
    assert by_plant == {"aachen": 2, "brno": 1}
    brno = await gate.client("viewer", plants=["brno"])
    shown = (await brno.get("/v1/routes")).json()["items"][0]
    assert [entry["plant"] for entry in shown["backlog"]] == ["brno"]


async def test_service_levels_so_far(gate: Gate) -> None:
    await a_day_at_work(gate)
    client = await gate.client("viewer")
    shown = (await client.get("/v1/sla")).json()
    rows = {(row["plant"], row["domain"], row["route"]): row for row in shown["latency"]}
    aachen = rows["aachen", "production", "orders"]
    assert aachen["pipeline"]["count"] == 4
    assert 0 < aachen["pipeline"]["p50_ms"] <= aachen["pipeline"]["p95_ms"] <= aachen["pipeline"]["p99_ms"]
    assert aachen["end_to_end"]["count"] == 3
    routes = {(row["plant"], row["route"]): row for row in shown["routes"]}
    figures = routes["aachen", "orders"]
    assert (figures["delivered"], figures["failed"], figures["failed_rate"]) == (4, 1, 0.2)
    assert (figures["parked"], figures["dead_letters"], figures["backlog"]) == (1, 1, 0)
    assert routes["brno", "orders"]["failed_rate"] == 0
    brno = (await client.get("/v1/sla/brno")).json()
    assert {row["plant"] for row in brno["latency"] + brno["routes"]} == {"brno"}
    assert (await client.get("/v1/sla/paris")).status_code == 404
    limited = await gate.client("viewer", plants=["aachen"], domains=["sales"])
    assert (await limited.get("/v1/sla")).json()["latency"] == []


async def test_a_summary_for_people(gate: Gate) -> None:
    await a_day_at_work(gate)
    metrics = gate.hub.metrics
    assert metrics.accepted_by_adapter()["api"] == 8
    assert metrics.accepted_by_format()["cloudevents"] == 8
    p50 = metrics.latency_of("pipeline").percentile_s(0.5)
    assert p50 is not None
    assert 0 < p50 < 10
    assert metrics.latency_of("pipeline", route="nothing").percentile_s(0.5) is None


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/startupz"])
async def test_a_hub_that_runs_is_well_without_a_key(gate: Gate, path: str) -> None:
    assert (await (await gate.client()).get(path)).status_code == 200


async def test_readiness_says_what_is_wrong(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    client = await gate.client()

    async def ready() -> tuple[int, Any]:
        answer = await client.get("/readyz")
        return answer.status_code, answer.json()

    gate.hub.adapters["mes"].health.connected = False
    status, body = await ready()
    assert (status, body["status"], body["adapters_down"]) == (200, "degraded", 1)
    assert "mes" not in str(body)
    gate.hub.journal._room.clear()
    status, body = await ready()
    assert (status, body["status"]) == (503, "not ready")
    assert "size limit" in body["checks"]["space"]
    gate.hub.journal._room.set()
    monkeypatch.setattr(type(gate.hub.journal), "busy_s", 11.0)
    status, body = await ready()
    assert (status, "disk" in body["checks"]["journal"]) == (503, True)
    monkeypatch.undo()
    gate.hub.ready = False
    assert (await ready())[0] == 503
    assert (await client.get("/startupz")).status_code == 503
    assert (await client.get("/livez")).status_code == 200


async def test_adapters_show_health_and_no_options(gate: Gate) -> None:
    client = await gate.client("viewer")
    answer = await client.get("/v1/adapters")
    (shown,) = answer.json()["items"]
    assert (shown["name"], shown["kind"], shown["plant"], shown["format"]) == (
        "mes",
        "rest",
        "aachen",
        "json",
    )
    assert (shown["receives"], shown["delivers"], shown["connected"]) == (True, False, True)
    assert "a-hook-secret" not in answer.text
    brno = await gate.client("viewer", plants=["brno"])
    assert (await brno.get("/v1/adapters")).json()["items"] == []


async def test_plants_name_their_adapters(gate: Gate) -> None:
    shown = (await (await gate.client("viewer")).get("/v1/plants")).json()["items"]
    named = {name: shown[0][name] for name in ("plant", "name", "timezone", "legal_entity", "adapters")}
    assert named == {
        "plant": "aachen",
        "name": "Aachen",
        "timezone": "Europe/Berlin",
        "legal_entity": None,
        "adapters": ["mes"],
    }
    assert shown[0]["links"]["asns"] == "/v1/asns?plant=aachen"
    assert set(shown[0]["counts"].values()) == {0}


async def test_the_docs_load_nothing_from_elsewhere(gate: Gate) -> None:
    client = await gate.client("viewer")
    page = await client.get("/docs")
    assert page.status_code == 200
    assert not re.search(r"(src|href)=[\"'](https?:)?//", page.text)
    assert "POST /v1/events" in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]


async def test_references_of_the_document_lead_somewhere(gate: Gate) -> None:
    document = (await (await gate.client("viewer")).get("/openapi.json")).json()
    references: list[str] = []

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            if isinstance(value.get("$ref"), str):
                references.append(value["$ref"])
            for inner in value.values():
                walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    walk(document)
    assert len(references) > 100
    for reference in set(references):
        assert reference.startswith("#/components/schemas/"), reference
        assert reference.rpartition("/")[2] in document["components"]["schemas"], reference
    bodies = [
        f"{method} {path}"
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if "requestBody" in operation
    ]
    assert "post /v1/events" in bodies
    assert "post /v1/crosswalks" in bodies
