"""The demo's deployment fits the company: it checks clean, and real messages become the ledger's facts."""

from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

import pytest

from canonical.event import Event, to_json
from canonical.ports import RawMessage
from canonical.spec import FormatContext
from config.crosswalks import read_crosswalks
from config.load import check, load
from config.model import Deployment
from simulator.ledger import identity
from simulator.story import AACHEN_ITEMS, BRNO_ITEMS, UNKNOWN_ITEM
from tests.simulator.conftest import StartCompany
from tests.simulator.fakehub import KEY
from tests.simulator.minihub import MiniHub
from tests.waiting import eventually

DEMO = Path(__file__).parents[2] / "config" / "examples" / "demo"
ENVIRONMENT = {
    "AACHEN_OPCUA_URL": "opc.tcp://127.0.0.1:4840/presses",
    "MES_URL": "http://127.0.0.1:8001/api",
    "MES_TOKEN": "a",
    "MES_WEBHOOK_SECRET": "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0",
    "BRNO_MQTT_URL": "mqtt://127.0.0.1:1883",
    "BRNO_MQTT_USERNAME": "hub",
    "BRNO_MQTT_PASSWORD": "b",
    "ERP_URL": "http://127.0.0.1:8002/api",
    "ERP_TOKEN": "c",
    "WMS_URL": "http://127.0.0.1:8003/api",
    "WMS_TOKEN": "d",
}


@pytest.fixture(scope="module")
def deployment() -> Deployment:
    return load(DEMO / "crossplant.yaml", ENVIRONMENT)


def test_nothing_is_wrong_with_it_but_what_a_simulated_server_lacks() -> None:
    found = check(DEMO / "crossplant.yaml", ENVIRONMENT)
    assert {one.severity for one in found} <= {"warning"}, [str(one) for one in found]
    assert all("aachen-lines" in one.message for one in found), [str(one) for one in found]


def test_the_company_names_every_variable_that_it_needs(start_company: StartCompany) -> None:
    assert set(start_company().env) == set(ENVIRONMENT)


def test_the_crosswalk_knows_every_item_but_the_unknown_one() -> None:
    canonical: dict[str, dict[str, str]] = defaultdict(dict)
    for row in read_crosswalks([DEMO / "crosswalk.csv"]):
        canonical[row.system][row.value] = row.canonical
    assert {canonical["aachen-mes"][item] for item in AACHEN_ITEMS} <= set(canonical["wms"].values())
    assert {canonical["brno-wms"][item] for item in BRNO_ITEMS} <= set(canonical["erp"].values())
    assert UNKNOWN_ITEM not in canonical["aachen-mes"]


def _decode(deployment: Deployment, name: str, topic: str, body: bytes) -> list[object]:
    adapter = deployment.adapters[name]
    assert adapter.format is not None
    build = adapter.format.spec.decoder
    assert build is not None
    context = FormatContext(
        adapter=name,
        source=deployment.event_source(name),
        plant=adapter.plant,
        partner=None,
        timezone=deployment.timezone(name),
    )
    levels = dict(zip(("area", "line", "tag"), topic.split("/")[2:], strict=False))
    raw = RawMessage(
        adapter=name, id="1", body=body, received_at=datetime.now(UTC), attributes={"topic": topic, **levels}
    )
    return list(build(adapter.format.options, context).decode(None, raw)[1])


async def test_real_messages_become_the_facts_of_the_ledger(
    start_company: StartCompany, deployment: Deployment
) -> None:
    company = start_company("--pace", "4")
    async with MiniHub(company.env) as hub:
        await company.tell("/_control/hub", url=hub.url, key=KEY)
        await eventually(lambda: len(hub.raws) > 150 and hub.malformed and len(hub.webhooks) > 2, 30)
        await company.tell("/_control/stop-producing")
        hub.take_webhooks()
    invalid = []
    facts = {identity(one) for one in hub.events if "aachen-lines" not in one["source"]}
    for name, topic, body in hub.raws:
        (made,) = _decode(deployment, name, topic, body)
        if isinstance(made, Event):
            facts.discard(identity(to_json(made)))
        else:
            invalid.append(body)
    assert facts == set()
    assert invalid == [bytes(body) for body in hub.malformed]
