"""``crossplant probe`` against real servers, and ``crossplant tap`` on a real hub."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from paho.mqtt import publish

from canonical.probing import Step
from config.model import Deployment
from gateway.probing import probe
from tests.adapters.sftp.peer import PASSWORD, peer
from tests.gateway.commands import ARGV, RunningHub, crossplant, hub, leased_port
from tests.servers.mosquitto import Mosquitto, StartMosquitto
from tests.servers.opcua_peer import OpcuaPeer
from tests.servers.rabbitmq import RabbitMQ

EVENTS = [
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
]
FORMAT = {"kind": "json", "events": EVENTS}
MESSAGE = json.dumps({"order": "4711", "item": "PUMP-1", "good": "5", "at": "2026-03-02T10:15:00Z"})


async def steps(adapter: dict[str, Any], data_dir: Path | None = None) -> list[Step]:
    """The steps of one adapter's test."""
    deployment = Deployment.model_validate(
        {
            "company": "acme",
            "plants": {"aachen": {"name": "Aachen", "timezone": "Europe/Berlin"}},
            "adapters": {"it": {"plant": "aachen", **adapter}},
        }
    )
    return [step async for step in probe(deployment, "it", data_dir)]


def told(found: list[Step]) -> list[tuple[str, bool | None]]:
    return [(step.name, step.ok) for step in found]


def failed(found: list[Step]) -> Step:
    """The last step, which must be the one that failed and say what to do."""
    assert [step.ok is False for step in found] == [False] * (len(found) - 1) + [True], found
    assert found[-1].remedy
    return found[-1]


# ── the way there ───────────────────────────────────────────────────────────────────────────────


async def test_a_name_that_nobody_knows() -> None:
    found = await steps({"kind": "rest", "url": "http://nowhere.invalid"})
    assert failed(found).name == "name"
    assert "nowhere.invalid" in found[-1].detail


async def test_a_port_where_nothing_listens(free_port: Callable[[], int]) -> None:
    found = await steps({"kind": "mqtt", "url": f"mqtt://127.0.0.1:{free_port()}"})
    assert told(found) == [("name", True), ("tcp", False)]
    assert "is the server running" in failed(found).remedy


@pytest.mark.requires_server("mosquitto")
async def test_a_server_whose_certificate_nobody_vouches_for(start_mosquitto: StartMosquitto) -> None:
    broker = start_mosquitto(tls=True)
    url = f"mqtts://127.0.0.1:{broker.port}"
    found = await steps({"kind": "mqtt", "url": url})
    assert told(found) == [("name", True), ("tcp", True), ("tls", False)]
    assert "tls.ca" in failed(found).remedy
    trusting = await steps({"kind": "mqtt", "url": url, "tls": {"ca": str(broker.ca_path)}})
    assert told(trusting) == [("name", True), ("tcp", True), ("tls", True), ("login", True)]
    assert trusting[2].detail.startswith("TLSv1.")


# ── each kind ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.requires_server("mosquitto")
async def test_mqtt_up_to_the_event(mosquitto: Mosquitto) -> None:
    await asyncio.to_thread(
        publish.single, "a/b", MESSAGE, qos=1, retain=True, hostname="127.0.0.1", port=mosquitto.port
    )
    url = f"mqtt://127.0.0.1:{mosquitto.port}"
    found = await steps({"kind": "mqtt", "url": url, "subscribe": [{"topic": "a/b"}], "format": FORMAT})
    assert told(found) == [(name, True) for name in ("name", "tcp", "login", "sample", "event")]
    assert found[3].message is not None
    assert found[4].detail == "production.order.completed 4711"


@pytest.mark.requires_server("mosquitto")
async def test_mqtt_with_a_wrong_password(start_mosquitto: StartMosquitto) -> None:
    broker = start_mosquitto(users={"hub": "right"})
    url = f"mqtt://127.0.0.1:{broker.port}"
    found = await steps({"kind": "mqtt", "url": url, "username": "hub", "password": "wrong"})
    assert failed(found).name == "login"
    assert "wrong" not in found[-1].detail


@pytest.mark.requires_server("mosquitto")
async def test_mqtt_does_not_disturb_a_session_of_the_hub(mosquitto: Mosquitto) -> None:
    url = f"mqtt://127.0.0.1:{mosquitto.port}"
    shared = [{"topic": "$share/hub/a/b"}]
    found = await steps({"kind": "mqtt", "url": url, "subscribe": shared, "format": FORMAT})
    assert told(found) == [("name", True), ("tcp", True), ("login", True)]
    log = mosquitto.log_path.read_text()
    assert "as crossplant-probe-" in log
    assert "as crossplant-it" not in log


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_sftp_reads_a_file_and_leaves_it(tmp_path: Path) -> None:
    (tmp_path / "order.json").write_text(MESSAGE)
    (tmp_path / "empty.json").write_text("")
    async with peer(tmp_path) as server:
        adapter = {
            "kind": "sftp",
            "url": f"sftp://edi@127.0.0.1:{server.port}/",
            "host_key": server.host_key,
            "password": PASSWORD,
            "pick_up": {"match": ["order*"], "ready": {"kind": "renamed"}},
            "format": FORMAT,
        }
        found = await steps(adapter)
        assert told(found) == [(name, True) for name in ("name", "tcp", "login", "sample", "event")]
        assert names(tmp_path) == ["empty.json", "order.json"]
        wrong = await steps({**adapter, "password": "wrong"})
        assert failed(wrong).name == "login"


async def test_files_are_looked_at_and_left(tmp_path: Path) -> None:
    adapter = {"kind": "files", "path": str(tmp_path), "format": FORMAT, "pick_up": {"match": ["*.json"]}}
    assert told(await steps(adapter)) == [("login", True), ("sample", None)]
    (tmp_path / "a.json").write_text('{"order": 1}')
    found = await steps(adapter)
    assert told(found) == [("login", True), ("sample", True), ("event", False)]
    assert failed(found).detail.startswith("mapping: ")
    assert names(tmp_path) == ["a.json"]
    found = await steps({**adapter, "path": str(tmp_path / "nowhere")})
    assert failed(found).remedy.startswith("make the folder")


@pytest.mark.requires_server("rabbitmq")
@pytest.mark.xdist_group("rabbitmq")
async def test_amqp_logs_in_and_takes_nothing(rabbitmq: RabbitMQ) -> None:
    url = rabbitmq.url.replace("guest:guest@", "")
    found = await steps({"kind": "amqp", "url": url, "username": "guest", "password": "guest"})
    assert told(found) == [("name", True), ("tcp", True), ("login", True)]


@pytest.mark.requires_server("node-opcua")
async def test_opcua_up_to_the_event(opcua_peer: OpcuaPeer) -> None:
    adapter = {
        "kind": "opcua",
        "url": opcua_peer.url,
        "security": "none",
        "anonymous": True,
        "equipment": "acme/aachen/press-shop/line-1/press-3",
        "tags": [{"node": "nsu=urn:peer:machine;s=temperature", "tag": "temperature"}],
    }
    found = await steps(adapter)
    assert told(found)[:3] == [("name", True), ("tcp", True), ("login", True)]


async def test_a_webhook_waits_to_be_called() -> None:
    webhook = {"verify": {"kind": "bearer", "secret": "x" * 20}}
    deployment = Deployment.model_validate(
        {"company": "acme", "adapters": {"it": {"kind": "rest", "webhook": webhook, "format": FORMAT}}}
    )
    first = await anext(aiter(probe(deployment, "it")))
    assert (first.name, first.ok, first.detail) == ("login", True, "waits to be called")


# ── the commands ────────────────────────────────────────────────────────────────────────────────


def deployed(folder: Path, **sections: Any) -> Path:
    """A deployment with a webhook and a folder."""
    (folder / "secret").write_text("webhook-secret\n")
    path = folder / "hub.yaml"
    adapters = {
        "mes": {
            "kind": "rest",
            "webhook": {"verify": {"kind": "bearer", "secret": "${file:secret}"}},
            "format": FORMAT,
        },
        "inbox": {"kind": "files", "path": str(folder / "in"), "format": FORMAT},
    }
    path.write_text(yaml.safe_dump({"company": "acme", "adapters": adapters, **sections}))
    return path


def test_the_command_tells_each_step_and_what_to_do(tmp_path: Path) -> None:
    path = deployed(tmp_path)
    done = crossplant("probe", "inbox", "--config", path)
    assert done.code == 1
    assert done.out.startswith("FAILED  login")
    assert "make the folder" in done.out
    (tmp_path / "in").mkdir()
    done = crossplant("probe", "inbox", "--config", path, "--json")
    assert done.code == 0, done.err
    assert [step["step"] for step in done.json()["steps"]] == ["login", "sample"]
    assert crossplant("probe", "nowhere", "--config", path).code == 2


@pytest.fixture
def running(tmp_path: Path) -> Iterator[RunningHub]:
    """A hub with a folder that it looks into."""
    (tmp_path / "in").mkdir()
    with leased_port() as port, hub(tmp_path, deployed(tmp_path, gateway={"port": port}), port) as started:
        yield started


def test_tap_shows_what_comes_in_from_now_on(tmp_path: Path, running: RunningHub) -> None:
    tapping = subprocess.Popen(
        [*ARGV, "tap", "mes", "--raw", "-n", "2"],
        env={**running.env, "PATH": "", "PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    post = (
        "import sys, urllib.request, urllib.error\n"
        "request = urllib.request.Request(sys.argv[1], sys.argv[2].encode(), "
        "{'Authorization': 'Bearer webhook-secret', 'Content-Type': 'application/json'})\n"
        "try:\n    urllib.request.urlopen(request, timeout=30).close()\n"
        "except urllib.error.HTTPError as error:\n    error.close()\n"
    )
    try:
        assert tapping.stderr is not None
        assert "waits to be called" in tapping.stderr.readline()
        number = 0
        while tapping.poll() is None and number < 1000:
            number += 1  # what comes before the stream stands is not shown: so it comes again and again
            for body in (MESSAGE.replace("4711", f"O-{number}"), '{"order": 7}'):
                subprocess.run(
                    [sys.executable, "-c", post, f"{running.url}/v1/webhooks/mes", body], check=True
                )
        out, _ = tapping.communicate(timeout=60)
    finally:
        tapping.kill()
        tapping.wait()
    assert tapping.returncode == 0
    assert "production.order.completed.v1  O-" in out or "refused: mapping: " in out


def test_tap_refuses_what_is_not_there(running: RunningHub) -> None:
    done = running.cli("tap", "nowhere")
    assert done.code == 2
    assert "there are: inbox, mes" in done.err
