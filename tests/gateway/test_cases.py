"""``crossplant test``: a deployment's own cases, what is told of failed ones, cases of real messages."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from config.load import load
from gateway.cases import Bench
from gateway.comparing import MISSING, Text, differences
from gateway.junit import junit
from gateway.masking import masked_attributes, masked_body
from tests.gateway.commands import RunningHub, crossplant, hub, leased_port

DEPLOYMENT: dict[str, Any] = {
    "company": "acme",
    "plants": {"aachen": {"name": "Aachen", "timezone": "Europe/Berlin"}},
    "crosswalks": ["items.csv"],
    "adapters": {
        "mes": {
            "kind": "rest",
            "plant": "aachen",
            "webhook": {"verify": {"kind": "bearer", "secret": "${file:secret}"}},
            "format": {
                "kind": "json",
                "events": [
                    {
                        "type": "production.order.completed",
                        "id": "payload.order",
                        "time": "payload.at",
                        "data": {
                            "order": "payload.order",
                            "item": "payload.item",
                            "good": {"value": "payload.good", "uom": "'H87'"},
                            "scrap": {"value": "'0'", "uom": "'H87'"},
                            "completed_at": "payload.at",
                        },
                    }
                ],
            },
        },
        "inbox": {
            "kind": "files",
            "format": {"kind": "edifact"},
            "plant": "aachen",
            "path": "in",
        },
        "erp": {"kind": "rest", "url": "http://127.0.0.1:9"},
    },
    "routes": {
        "completions": {
            "on": ["production.order.completed"],
            "when": "double(data.good.value) > 0.0",
            "codes": {"system": "erp", "fields": ["data.item"]},
            "map": {"order": "data.order", "lines": [{"material": "data.item", "good": "data.good.value"}]},
            "to": "erp",
        },
        "as-xml": {
            "on": ["production.order.completed"],
            "map": {"order": "data.order"},
            "format": {"kind": "xml", "root": "completion"},
            "to": "erp",
        },
    },
}
MESSAGE = {"order": "4711", "item": "PUMP-1", "good": "5", "at": "2026-03-02T10:15:00Z"}
LINE = '{"material":"40001","good":"5"}'
ORDERS = Path(__file__).parents[1] / "adapters" / "edi" / "cases" / "orders-d96a" / "input.edi"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the deployment is."""
    (tmp_path / "items.csv").write_text("domain,system,value,canonical\nitem,erp,40001,PUMP-1\n")
    (tmp_path / "secret").write_text("webhook-secret\n")
    return tmp_path


def deployed(folder: Path, *cases: dict[str, Any], **sections: Any) -> Path:
    """The deployment with these cases, as a file."""
    path = folder / "hub.yaml"
    path.write_text(yaml.safe_dump({**DEPLOYMENT, **sections, "tests": list(cases)}, sort_keys=False))
    return path


def case(expect: dict[str, Any], body: Any = MESSAGE, adapter: str = "mes", **sent: Any) -> dict[str, Any]:
    """A case that sends this body."""
    send = {"adapter": adapter, **sent} | ({} if "file" in sent else {"body": body})
    return {"name": "it", "send": send, "expect": expect}


async def faults(folder: Path, *cases: dict[str, Any]) -> list[str]:
    """What is wrong with the cases."""
    deployment = load(deployed(folder, *cases))
    bench = Bench(deployment)
    return [fault for one in deployment.tests for fault in (await bench.judge(one)).faults]


# ── cases ───────────────────────────────────────────────────────────────────────────────────────


async def test_a_case_passes_when_all_comes_as_expected(folder: Path) -> None:
    lines = [{"material": "40001"}]
    expect = {
        "events": [{"type": "production.order.completed", "contains": {"good": {"value": "5"}}}],
        "deliveries": [
            {"route": "as-xml", "contains": "<order>4711</order>"},
            {"route": "completions", "contains": {"order": "4711", "lines": lines}},
        ],
    }
    assert await faults(folder, case(expect)) == []


async def test_every_difference_is_told_by_its_field(folder: Path) -> None:
    wanted = {"order": "4712", "lines": [{"material": "PUMP-1", "unit": "H87"}]}
    expect = {
        "events": [{"type": "production.order.completed", "contains": {"order": 4711}}],
        "deliveries": [{"route": "completions", "contains": wanted}, {"route": "as-xml"}],
    }
    assert await faults(folder, case(expect)) == [
        'event 1, production.order.completed: data.order: expected 4711, got "4711"',
        'delivery on route completions: order: expected "4712", got "4711"',
        'delivery on route completions: lines[0].material: expected "PUMP-1", got "40001"',
        'delivery on route completions: lines[0].unit: expected "H87", got nothing',
    ]


async def test_what_is_missing_and_what_is_too_much_is_told(folder: Path) -> None:
    told = await faults(
        folder, case({"events": [], "deliveries": [{"route": "as-xml"}, {"route": "as-xml"}]})
    )
    assert told == [
        "unexpected event production.order.completed, 4711",
        "expected a delivery on route as-xml, there is none",
        f'unexpected delivery on route completions: {{"order":"4711","lines":[{LINE}]}}',
    ]


async def test_what_is_refused_must_be_expected(folder: Path) -> None:
    unknown = {**MESSAGE, "item": "PUMP-9"}
    assert await faults(folder, case({"refused": ["unresolved"]}, unknown)) == []
    (told,) = await faults(folder, case({}, unknown))
    assert told.startswith("refused, on route completions: unresolved: no crosswalk row for item 'PUMP-9'")
    (told,) = await faults(folder, case({"refused": ["unresolved"]}))
    assert told == "expected something to be refused with the code 'unresolved'"
    (told,) = await faults(folder, case({}, {"order": 1}))
    assert told.startswith("refused, the message: mapping: ")


async def test_an_event_that_the_condition_leaves_out_is_not_delivered(folder: Path) -> None:
    body = {**MESSAGE, "good": "0"}
    assert await faults(folder, case({"deliveries": [{"route": "as-xml"}]}, body)) == []


async def test_a_file_is_a_message_too(folder: Path) -> None:
    (folder / "orders.edi").write_bytes(ORDERS.read_bytes())
    expect = {
        "events": [
            {"type": "integration.interchange.received", "contains": {"outcome": "accepted"}},
            {"type": "procurement.order.issued", "contains": {"lines": [{"line": "1"}, {"line": "2"}]}},
        ],
        "deliveries": [],
    }
    assert await faults(folder, case(expect, adapter="inbox", file="orders.edi")) == []


# ── comparing ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        ({"a": 1}, {"a": 1.0, "b": 2}),
        ([{"a": 1}], [{"a": 1, "b": 2}]),
        ("x", Text("a x b")),
        (["x", "b"], Text("a x b")),
        (None, None),
        (True, True),
    ],
)
def test_more_than_expected_is_fine(expected: Any, actual: Any) -> None:
    assert list(differences(expected, actual)) == []


@pytest.mark.parametrize(
    ("expected", "actual", "path"),
    [
        ({"a": {"b": 1}}, {"a": {"b": 2}}, "a.b"),
        ({"a": 1}, {}, "a"),
        ([1], [1, 2], "[1]"),
        ([1, 2], [1], "[1]"),
        ({"a": {"b": 1}}, {"a": "b"}, "a"),
        (1, True, ""),
        ("5", 5, ""),
        (None, 0, ""),
    ],
)
def test_less_is_a_difference_at_its_place(expected: Any, actual: Any, path: str) -> None:
    (found,) = differences(expected, actual)
    assert found.path == path
    assert found.expected is not MISSING or found.actual is not MISSING


# ── masking ─────────────────────────────────────────────────────────────────────────────────────


def test_secrets_and_people_are_masked_and_nothing_else() -> None:
    body = {
        "order": "4711",
        "item": {"name_of_part": "Bolt", "password": "hunter2"},
        "operator": "Jane Roe 7",
        "contacts": [{"email": "jane@example.com"}],
        "note": "write to joe@example.org or https://joe:secret@example.org/x",
    }
    assert json.loads(masked_body(json.dumps(body))) == {
        "order": "4711",
        "item": {"name_of_part": "Bolt", "password": "XXXXXX0"},
        "operator": "XXXX XXX 0",
        "contacts": [{"email": "XXXX@XXXXXXX.XXX"}],
        "note": "write to XXX@XXXXXXX.XXX or https://XXX:XXXXXX@XXXXXXX.XXX/x",
    }


def test_contacts_of_edi_and_fields_of_xml_are_masked() -> None:
    edi = "UNB+UNOC:3+A+B'NAD+BY+ACME::92'CTA+OC+:Jane Roe'COM+0123456789:TE'LIN+1'"
    assert masked_body(edi) == "UNB+UNOC:3+A+B'NAD+BY+ACME::92'CTA+OC+:XXXX XXX'COM+0000000000:TE'LIN+1'"
    x12 = "ISA*00~PER*OC*Jane Roe*TE*0123456789~PO1*1~"
    assert masked_body(x12) == "ISA*00~PER*OC*XXXX XXX*TE*0000000000~PO1*1~"
    xml = "<o><order>4711</order><userName>jroe</userName><Password>x1</Password></o>"
    assert masked_body(xml) == "<o><order>4711</order><userName>XXXX</userName><Password>X0</Password></o>"


def test_headers_that_prove_who_sent_it_are_left_out() -> None:
    sent = {"header.authorization": "Bearer abcdefgh", "topic": "a/b", "key": "x", "header.x-api-key": "y"}
    assert masked_attributes(sent) == {"topic": "a/b"}


# ── the command ─────────────────────────────────────────────────────────────────────────────────


def test_the_command_tells_each_case_and_fails_with_1(folder: Path) -> None:
    good, bad = case({}), {**case({"deliveries": []}), "name": "nothing \x1b[2J & <none>"}
    path = deployed(folder, good, bad)
    done = crossplant("test", "--config", path, "--junit", folder / "results.xml")
    assert done.code == 1
    assert done.out.startswith("ok     it\nFAILED nothing \\x1b[2J & <none>\n         unexpected delivery")
    assert done.err == "1 passed, 1 failed\n"
    suite = ElementTree.parse(folder / "results.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    assert "unexpected delivery on route" in (suite[1][0].text or "")
    told = crossplant("test", "--config", path, "--json").json()
    assert (told["passed"], told["failed"]) == (1, 1)
    assert told["cases"][0]["deliveries"][0]["route"] == "completions"
    assert told["cases"][1]["faults"]


def test_nothing_is_written_beside_the_deployment(folder: Path) -> None:
    path = deployed(folder, case({}))
    before = sorted(folder.iterdir())
    assert crossplant("test", "--config", path, cwd=folder).code == 0
    assert sorted(folder.iterdir()) == before


def test_what_init_writes_passes_its_own_cases(tmp_path: Path) -> None:
    assert crossplant("init", tmp_path / "hub").code == 0
    done = crossplant("test", "--config", tmp_path / "hub")
    assert (done.code, done.err) == (0, "2 passed, 0 failed\n"), done.out


def test_the_first_example_passes_its_own_cases() -> None:
    path = Path(__file__).parents[2] / "config" / "examples" / "first" / "deployment.yaml"
    env = {"MQTT_URL": "mqtt://127.0.0.1:1", "ORDERS_URL": "http://127.0.0.1:9"}
    done = crossplant("test", "--config", path, env=env)
    assert (done.code, done.err) == (0, "2 passed, 0 failed\n"), done.out


def test_the_example_of_patterns_passes_its_own_cases() -> None:
    path = Path(__file__).parents[2] / "config" / "examples" / "patterns" / "deployment.yaml"
    env = {"ERP_URL": "http://127.0.0.1:9", "MES_SECRET": "not-a-secret-of-anybody"}
    done = crossplant("test", "--config", path, env=env)
    assert (done.code, done.err) == (0, f"{len(load(path, env).tests)} passed, 0 failed\n"), done.out


def test_a_mapping_function_that_cannot_be_imported_is_2(folder: Path) -> None:
    (folder / "broken_mapping_of_test.py").write_text("def f(data):\n    return {")
    routes = {"x": {"on": ["production.order.completed"], "map": "broken_mapping_of_test.f", "to": "erp"}}
    done = crossplant("check", "--config", deployed(folder, routes=routes, python=["."]))
    assert done.code == 2
    assert "routes.x.map: importing broken_mapping_of_test failed: " in done.err + done.out
    assert "broken_mapping_of_test.py:2:12: '{' was never closed" in done.err + done.out


def test_a_broken_deployment_is_2(folder: Path) -> None:
    done = crossplant("test", "--config", deployed(folder, case({}, adapter="nowhere")))
    assert done.code == 2
    assert "nowhere" in done.err


def test_results_without_cases_are_a_document_all_the_same() -> None:
    assert ElementTree.fromstring(junit([], "hub"))[0].get("tests") == "0"


# ── enrichment ──────────────────────────────────────────────────────────────────────────────────

ENRICHED = {
    "on": ["production.order.completed"],
    "enrich": {
        "order": {"from": "production-orders", "key": "data.order"},
        "sold": {"from": "sales-orders", "key": "data.order", "missing": "omit"},
    },
    "to": "erp",
}
FIELDS = {"item": "enrich.order.item", "customer": "enrich.?sold.?customer.orValue('stock')"}


async def enriched(folder: Path, made: Any, knows: dict[str, Any], expect: dict[str, Any]) -> list[str]:
    """What is wrong with a case that knows this, on a route that maps so."""
    one = {**case(expect), "knows": knows}
    routes = {"enriched": {**ENRICHED, "map": made}}
    deployment = load(deployed(folder, one, routes=routes, python=[str(folder)]))
    return (await Bench(deployment).judge(deployment.tests[0])).faults


def delivered(**contains: str) -> dict[str, Any]:
    return {"deliveries": [{"route": "enriched", "contains": contains}]}


async def test_a_case_says_what_the_read_models_know(folder: Path) -> None:
    order = {"production-orders": {"4711": {"item": "PUMP-1", "plant": "aachen"}}}
    assert await enriched(folder, FIELDS, order, delivered(item="PUMP-1", customer="stock")) == []
    both = {**order, "sales-orders": {"4711": {"customer": "C-1"}}}
    assert await enriched(folder, FIELDS, both, delivered(customer="C-1")) == []
    waits = {"deliveries": [], "refused": ["not_known"]}
    for known in (
        {},
        {"production-orders": {"4712": {"item": "PUMP-1"}}},
        {"production-orders": {"4711": {"item": "PUMP-1", "plant": "brno"}}},
        {"production-orders": {"4711": {"status": "created", "item": None}}},
    ):
        assert await enriched(folder, FIELDS, known, waits) == [], known


async def test_a_function_is_given_what_it_asks_for(folder: Path) -> None:
    (folder / "enriched_by_cases.py").write_text(
        "def made(data, enrich):\n"
        "    return {'item': enrich['order']['item'], 'sold': 'sold' in enrich, 'good': data['good']}\n"
    )
    known = {"production-orders": {"4711": {"item": "PUMP-1"}}}
    expect = {"deliveries": [{"route": "enriched", "contains": {"item": "PUMP-1", "sold": False}}]}
    assert await enriched(folder, "enriched_by_cases.made", known, expect) == []


# ── recording ───────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def running(folder: Path) -> Iterator[RunningHub]:
    """A hub that has taken in one order that is fine and one that is not."""
    (folder / "in").mkdir()
    with leased_port() as port:
        path = deployed(folder, gateway={"port": port}, routes={})
        with hub(folder, path, port) as started:
            for body in ({**MESSAGE, "operator": "Jane Roe"}, {"order": 7, "password": "hunter2"}):
                request = urllib.request.Request(
                    f"{started.url}/v1/webhooks/mes",
                    json.dumps(body).encode(),
                    {"Authorization": "Bearer webhook-secret", "Content-Type": "application/json"},
                )
                try:
                    urllib.request.urlopen(request, timeout=30).close()
                except urllib.error.HTTPError as error:
                    error.close()
            yield started


def test_a_real_message_becomes_a_case_that_passes(folder: Path, running: RunningHub) -> None:
    deployed(folder)
    events = [json.loads(line) for line in running.cli("events", "--json").out.splitlines()]
    row = next(each for each in events if each["source"] == "/hub/crosswalks")
    its_own = running.cli("test", "--config", folder / "hub.yaml", "--record", str(row["position"]))
    assert (its_own.code, "came from the hub itself" in its_own.err) == (2, True), its_own.err
    position = str(next(each["position"] for each in events if each["source"].endswith("/mes")))
    for which, kept in ((position, f"mes-{position}.json"), ("dead-letter/1", "mes-dead-letter-1.json")):
        done = running.cli("test", "--config", folder / "hub.yaml", "--record", which)
        assert done.code == 0, done.err
        text = (folder / "cases" / kept).read_text()
        assert "Jane" not in text
        assert "hunter2" not in text
        recorded = yaml.safe_load(done.out)["tests"][0]
        again = crossplant("test", "--config", deployed(folder, recorded))
        assert again.code == 0, again.out
    deployed(folder, routes={"enriched": {**ENRICHED, "map": FIELDS}})
    (folder / "cases" / f"mes-{position}.json").unlink()
    lacking = running.cli("test", "--config", folder / "hub.yaml", "--record", position)
    assert "write the records below `knows`" in lacking.out, lacking.err
    assert yaml.safe_load(lacking.out)["tests"][0]["expect"]["refused"] == ["not_known"]
    twice = running.cli("test", "--config", folder / "hub.yaml", "--record", position)
    assert twice.code == 2
    assert "there already" in twice.err
