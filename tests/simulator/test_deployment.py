"""The demo's deployment fits the company: it checks clean, and real messages become the ledger's facts."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from canonical.event import Event, to_json
from canonical.ports import RawMessage
from canonical.spec import FormatContext
from config.crosswalks import read_crosswalks
from config.load import check, load
from config.model import Deployment
from simulator.brno_mes import BrnoMes
from simulator.broker import MqttBroker
from simulator.company import SYSTEMS, Company
from simulator.coventry import CoventryFloor
from simulator.coventry_lab import CoventryLab
from simulator.coventry_mes import CoventryMes
from simulator.edifact import Edifact
from simulator.ledger import Ledger, identity
from simulator.moments import Moments
from simulator.partner import Partner
from simulator.shift import Shift
from simulator.story import (
    AACHEN_ITEMS,
    BRNO_ITEMS,
    COVENTRY_ITEMS,
    SUPPLIERS,
    UNKNOWN_ITEM,
    Rhythm,
)
from simulator.trade import Dialect
from simulator.x12 import X12
from tests.adapters.edi.test_partner import sent
from tests.simulator.conftest import StartCompany
from tests.simulator.fakehub import KEY
from tests.simulator.minihub import MiniHub
from tests.waiting import eventually

DEMO = Path(__file__).parents[2] / "config" / "examples" / "demo"
SFTP = {"BRNO_MES": "brno-mes", "NORDSTAHL": "nordstahl", "LAKESHORE": "lakeshore"}
ENVIRONMENT = {
    "AACHEN_OPCUA_URL": "opc.tcp://127.0.0.1:4840/presses",
    "MES_URL": "http://127.0.0.1:8001/api",
    "MES_TOKEN": "a",
    "MES_WEBHOOK_SECRET": "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0",
    **{f"{plant}_MQTT_URL": "mqtt://127.0.0.1:1883" for plant in ("BRNO", "COVENTRY")},
    **{f"{plant}_MQTT_USERNAME": "hub" for plant in ("BRNO", "COVENTRY")},
    **{f"{plant}_MQTT_PASSWORD": "b" for plant in ("BRNO", "COVENTRY")},
    "COVENTRY_SHARE": "/srv/coventry",
    "SFTP_HOST_KEY": "SHA256:" + 43 * "A",
    **{f"{name}_SFTP_URL": f"sftp://{user}@127.0.0.1:2222" for name, user in SFTP.items()},
    **{f"{name}_SFTP_KEY": "-----BEGIN OPENSSH PRIVATE KEY-----" for name in SFTP},
    **{f"{system.upper()}_URL": "http://127.0.0.1:8002/api" for system in SYSTEMS},
    **{f"{system.upper()}_TOKEN": "c" for system in SYSTEMS},
}


@pytest.fixture(scope="module")
def deployment() -> Deployment:
    return load(DEMO, ENVIRONMENT)


def test_nothing_is_wrong_with_it_but_what_a_simulated_server_lacks() -> None:
    found = check(DEMO, ENVIRONMENT)
    assert {one.severity for one in found} <= {"warning"}, [str(one) for one in found]
    assert all("aachen-lines" in one.message for one in found), [str(one) for one in found]


def test_the_company_names_every_variable_that_it_needs() -> None:
    assert set(Company(Rhythm()).environment) == set(ENVIRONMENT)


def test_the_crosswalk_knows_every_item_but_the_unknown_ones() -> None:
    canonical: dict[str, dict[str, str]] = defaultdict(dict)
    for row in read_crosswalks([DEMO / "crosswalk.csv"]):
        if row.domain == "item":
            canonical[row.system][row.value] = row.canonical
    made = {canonical["aachen-mes"][item] for item in AACHEN_ITEMS}
    made |= {canonical["brno-mes"][item] for item in BRNO_ITEMS}
    made |= {canonical["coventry-mes"][item] for item in COVENTRY_ITEMS}
    assert made <= set(canonical["wms"].values())
    assert {canonical["brno-wms"][item] for item in BRNO_ITEMS} <= set(canonical["erp"].values())
    assert UNKNOWN_ITEM not in canonical["aachen-mes"]
    for supplier in SUPPLIERS[:2]:
        for material in supplier.materials:
            assert canonical[supplier.name][material.code] == canonical["erp"][material.erp]
        assert supplier.unknown not in canonical[supplier.name]


def test_an_item_that_several_plants_make_has_one_code() -> None:
    makers = defaultdict(set)
    for row in read_crosswalks([DEMO / "crosswalk.csv"]):
        if row.domain == "item" and row.plant:
            makers[row.canonical].add(row.plant)
    assert makers["HYD-PUMP-20"] == {"aachen", "brno", "coventry"}


def decoded(deployment: Deployment, name: str, body: bytes, **attributes: str) -> list[object]:
    adapter = deployment.adapters[name]
    assert adapter.format is not None
    build = adapter.format.spec.decoder
    assert build is not None
    context = FormatContext(
        adapter=name,
        source=deployment.event_source(name),
        plant=adapter.plant,
        partner=adapter.partner,
        timezone=deployment.timezone(name),
    )
    raw = RawMessage(
        adapter=name, id="1", body=body, received_at=datetime.now(UTC), attributes={**attributes}
    )
    return list(build(adapter.format.options, context).decode(None, raw)[1])


def _levels(topic: str) -> dict[str, str]:
    return {"topic": topic, **dict(zip(("area", "line", "tag"), topic.split("/")[2:], strict=False))}


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
        (made,) = decoded(deployment, name, body, **_levels(topic))
        if isinstance(made, Event):
            facts.discard(identity(to_json(made)))
        else:
            invalid.append(body)
    assert facts == set()
    assert invalid == [bytes(body) for body in hub.malformed]


class Worker(Protocol):
    async def work(self, shift: Shift) -> None: ...


@asynccontextmanager
async def working(*workers: Worker) -> AsyncIterator[None]:
    """They work while the context lasts."""
    shift = Shift()
    tasks = [asyncio.create_task(one.work(shift)) for one in workers]
    shift.begin()
    try:
        yield
    finally:
        shift.end()
        await asyncio.gather(*tasks)


def _facts(ledger: Ledger, *adapters: str) -> set[Any]:
    return {found for found in ledger._waiting if found[0] in adapters}


async def test_files_of_brno_and_coventry_become_the_facts_of_the_ledger(
    deployment: Deployment, tmp_path: Path
) -> None:
    ledger, moments = Ledger(), Moments()
    rhythm = Rhythm(file=0.05, stock=0.05, inspection=0.05)
    folders = {
        "brno-mes-orders": tmp_path / "orders",
        "brno-mes-stock": tmp_path / "stock",
        "coventry-lab": tmp_path / "lab",
        "coventry-mes": tmp_path / "mes",
    }
    for folder in folders.values():
        folder.mkdir()
    async with working(
        BrnoMes(tmp_path, ledger, moments, rhythm),
        CoventryLab(tmp_path / "lab", ledger, moments, rhythm),
        CoventryMes(tmp_path / "mes", ledger, moments, rhythm),
    ):
        await eventually(lambda: all(len(list(folder.iterdir())) > 5 for folder in folders.values()))
    made = set()
    for name, folder in folders.items():
        for file in folder.iterdir():
            for one in decoded(deployment, name, file.read_bytes(), file=file.name):
                assert isinstance(one, Event), one
                made.add(identity(to_json(one)))
    assert made == _facts(ledger, *folders)


def _dialect(name: str) -> Dialect:
    if name == "nordstahl":
        return Edifact(us="4012345000009", them="4060000000017")
    return X12(us="LAKESHORE", them="ACMEPUMPS")


@pytest.mark.parametrize("supplier", SUPPLIERS[:2], ids=lambda one: str(one.name))
async def test_interchanges_of_partners_become_the_facts_of_the_ledger(
    supplier: Any, deployment: Deployment, tmp_path: Path
) -> None:
    ledger, dialect = Ledger(), _dialect(supplier.name)
    for folder in ("in", "out"):
        (tmp_path / folder).mkdir()
    order = sent("EDIFACT" if dialect.kind == "edifact" else "X12", "order")
    for number in range(6):
        file = tmp_path / "in" / f"order_{number}{dialect.suffix}"
        file.write_text(order.replace("PO-4711", f"PO-{number}"))
    partner = Partner(supplier, dialect, tmp_path, ledger, Moments(), Rhythm(shipment=0.05, report=0.3))
    out = tmp_path / "out"
    async with working(partner):
        await eventually(lambda: {one.name.partition("_")[0] for one in out.iterdir()} >= KINDS)
        await eventually(lambda: len(ledger.on_purpose) >= 4)
    name = f"{supplier.name}-inbox"
    made = set()
    for file in out.iterdir():
        found = decoded(deployment, name, file.read_bytes(), file=file.name)
        events = [one for one in found if isinstance(one, Event)]
        made |= {identity(to_json(one)) for one in events}
        cut = len(events) < len(found)
        assert cut == any(one.data.get("outcome") == "rejected" for one in events)
    told = {fact for fact in _facts(ledger, name) if not fact[2].endswith("/duplicate")}
    assert made == told


KINDS = {"ack", "asn", "asn-again", "stock"}


async def test_what_coventry_says_over_mqtt_becomes_the_facts_of_the_ledger(deployment: Deployment) -> None:
    broker, ledger = MqttBroker({"hub": "right", "floor": "right"}), Ledger()
    rhythm = Rhythm(measurement=0.05, order=0.05, stock=0.1, downtime=0.2)
    floor = CoventryFloor(broker, ledger, Moments(), rhythm, account=("floor", "right"))
    await broker.open()
    await floor.open()
    said: list[mqtt.MQTTMessage] = []
    hub = _listener(broker.port, said.append)
    async with working(floor):
        await eventually(lambda: {one.topic.rpartition("/")[2] for one in said} >= TAGS)
        await eventually(lambda: sum(one.topic.endswith("downtime") for one in said) >= 3)
    await eventually(lambda: len(said) == ledger.safe_total)
    hub.disconnect()
    await asyncio.to_thread(hub.loop_stop)
    await floor.close()
    await broker.close()
    made = set()
    for one in said:
        (event,) = decoded(deployment, "coventry-floor", bytes(one.payload), **_levels(one.topic))
        assert isinstance(event, Event), event
        made.add(identity(to_json(event)))
    assert made == _facts(ledger, "coventry-floor")


TAGS = {"temperature", "cycle-time", "downtime", "order", "stock"}


def _listener(port: int, take: Callable[[mqtt.MQTTMessage], None]) -> mqtt.Client:
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="a-hub", clean_session=False)
    client.username_pw_set("hub", "right")
    client.on_connect = lambda connected, *_: connected.subscribe("acme/coventry/#", qos=1)
    client.on_message = lambda _client, _data, message: take(message)
    client.connect_async("127.0.0.1", port)
    client.loop_start()
    return client
