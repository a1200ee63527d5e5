"""The deployment of docker-compose.yml against real servers, with its own files; only containers lack."""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import re
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aio_pika
import paho.mqtt.client as paho
import pytest
from aiohttp import ClientSession
from paho.mqtt.enums import CallbackAPIVersion

from config.load import check
from tests.deploy.test_compose import FOLDER, make_secrets
from tests.hub import HubProcess
from tests.servers import Mosquitto, OpenSsh, RabbitMQ, StartOpenSsh
from tests.servers.ports import LOOPBACK
from tests.waiting import eventually

DESPATCH = Path(__file__).parents[1] / "adapters" / "edi" / "cases" / "desadv-pallets" / "input.edi"


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """What secrets.sh makes, beside the deployment, as in the container."""
    shutil.copytree(FOLDER / "hub", tmp_path / "hub")
    make_secrets(tmp_path / "secrets")
    return tmp_path / "secrets"


@pytest.fixture
def broker(secrets: Path, tmp_path: Path, free_port: Callable[[], int]) -> Mosquitto:
    """mosquitto with the deployment's own settings and passwords; ended by ``ended``."""
    port = free_port()
    made = Mosquitto.create(tmp_path / "mosquitto", port=port)
    passwords = tmp_path / "passwords"
    passwords.write_text((secrets / "mqtt-passwords").read_text())
    passwords.chmod(0o600)
    replaced = {
        "listener 1883": f"listener {port} {LOOPBACK}\nuser {pwd.getpwuid(os.geteuid()).pw_name}",
        "/tmp/passwords": str(passwords),
        "/mosquitto/data/": f"{tmp_path}/mosquitto/",
        "log_dest stdout": "log_dest stderr\nlog_type information",
    }
    settings = (FOLDER / "mosquitto" / "mosquitto.conf").read_text()
    for written, used in replaced.items():
        assert written in settings
        settings = settings.replace(written, used)
    (tmp_path / "mosquitto" / "mosquitto.conf").write_text(settings)
    return made


@pytest.fixture
def server(secrets: Path, start_sshd: StartOpenSsh, tmp_path: Path) -> OpenSsh:
    """OpenSSH that lets the deployment's key in, and whose host key the deployment knows."""
    running = start_sshd()
    with (running.folder / "authorized_keys").open("a") as keys:
        keys.write((secrets / "sftp-key.pub").read_text())
    known = secrets / "sftp-host-key.pub"
    known.chmod(0o600)
    known.write_text(running.host_key)
    (tmp_path / "out").mkdir()
    return running


class Plant:
    """The hub with its deployment, and what stands around it."""

    def __init__(self, hub: HubProcess, broker: Mosquitto, password: str, server: OpenSsh, out: Path) -> None:
        self.hub, self.broker, self.password, self.server, self.out = hub, broker, password, server, out

    async def connected(self) -> bool:
        """Whether every adapter is."""
        status, answer = await self.hub.ask("GET", "/readyz")
        return status == 200 and answer["adapters_down"] == 0


@pytest.fixture
async def plant(
    secrets: Path,
    broker: Mosquitto,
    rabbitmq: RabbitMQ,
    server: OpenSsh,
    tmp_path: Path,
    free_port: Callable[[], int],
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Plant]:
    """All of it, running and connected."""
    await asyncio.to_thread(rabbitmq.control, "import_definitions", str(secrets / "amqp-definitions.json"))
    await asyncio.to_thread(broker.start)
    port = free_port()
    environment = {
        "HUB_BIND": LOOPBACK,
        "HUB_PORT": str(port),
        "MQTT_URL": f"mqtt://{LOOPBACK}:{broker.port}",
        "AMQP_URL": f"amqp://{LOOPBACK}:{rabbitmq.port}",
        "SFTP_URL": server.url(tmp_path / "out"),
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    hub = HubProcess(tmp_path, tmp_path / "hub", port)
    try:
        await hub.start()
        running = Plant(hub, broker, (secrets / "mqtt-password").read_text(), server, tmp_path / "out")
        await eventually(running.connected, 60)
        yield running
    finally:
        await hub.end()
        await asyncio.to_thread(broker.stop)


@pytest.fixture
async def queues(rabbitmq: RabbitMQ) -> AsyncIterator[aio_pika.abc.AbstractChannel]:
    """A channel of another client than the hub."""
    connection = await aio_pika.connect(rabbitmq.url)
    async with connection:
        yield await connection.channel()


async def next_of(channel: aio_pika.abc.AbstractChannel, name: str) -> Any:
    """The next message of a queue, as JSON."""
    queue = await channel.get_queue(name)

    async def got() -> aio_pika.abc.AbstractIncomingMessage | None:
        return await queue.get(no_ack=True, fail=False)

    message = await eventually(got, 60)
    assert message is not None
    return json.loads(message.body)


class Line:
    """A client on the floor: publishes, and keeps what it hears."""

    def __init__(self, plant: Plant, topic: str) -> None:
        self.heard: list[bytes] = []
        self.subscribed = False
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        self._client.username_pw_set("crossplant", plant.password)
        self._client.on_connect = lambda client, *_: client.subscribe(topic, 1)
        self._client.on_subscribe = lambda *_: setattr(self, "subscribed", True)
        self._client.on_message = lambda _, __, message: self.heard.append(bytes(message.payload))
        self._client.connect(LOOPBACK, plant.broker.port)
        self._client.loop_start()

    def publish(self, topic: str, body: object) -> None:
        """At QoS 1."""
        self._client.publish(topic, json.dumps(body), qos=1).wait_for_publish(30)

    def end(self) -> None:
        """Leaves."""
        self._client.disconnect()
        self._client.loop_stop()


def test_the_deployment_passes_its_check_with_two_warnings_for_a_network_of_its_own(
    secrets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (FOLDER.parents[1] / "docker-compose.yml").read_text()
    for name, value in re.findall(r"^      ([A-Z_]+): \"?([^\"#\s]+)", text, re.MULTILINE):
        if not name.startswith("GF_"):
            monkeypatch.setenv(name, value)
    findings = check(secrets.parent / "hub")
    assert [found for found in findings if found.severity == "error"] == []
    assert all("clear" in found.message or "plain text" in found.message for found in findings), findings


async def test_messages_pass_through_the_deployment_in_every_direction(
    plant: Plant, queues: aio_pika.abc.AbstractChannel
) -> None:
    line = await asyncio.to_thread(Line, plant, "acme/aachen/press-1/order")
    try:
        await eventually(lambda: line.subscribed)

        done = {"order": "4711", "item": "A-1", "good": "118", "scrap": "2", "at": "2026-03-02T10:15:00Z"}
        await asyncio.to_thread(line.publish, "acme/aachen/press-1/completed", done)
        assert await next_of(queues, "erp.confirmations") == {
            "order": "4711",
            "material": "A-1",
            "yield": "118",
            "scrap": "2",
            "plant": "aachen",
        }

        times = {"start": "2026-03-03T06:00:00Z", "end": "2026-03-03T10:00:00Z"}
        order = {"order": "4712", "item": "A-1", "quantity": "120", "line": "press-1", **times}
        await queues.default_exchange.publish(aio_pika.Message(json.dumps(order).encode()), "erp.orders")
        await eventually(lambda: line.heard, 60)
        assert json.loads(line.heard[0])["order"] == "4712"

        put = plant.server.sftp(f"put {DESPATCH} {plant.out}/dn-1001.edi")
        assert await asyncio.to_thread(put.wait, 60) == 0
        advice = await next_of(queues, "erp.advices")
        assert advice["delivery_note"] == "DN-1001"
        assert advice["lines"]
    finally:
        await asyncio.to_thread(line.end)
    assert await plant.hub.stop() == 0


async def test_prometheus_key_opens_the_metrics_and_nothing_else(plant: Plant, tmp_path: Path) -> None:
    key = await monitor_key(tmp_path)
    async with asyncio.timeout(60):
        assert (await metrics(plant, key))[0] == 200
        assert (await metrics(plant, ""))[0] == 401
        assert (await plant.hub.ask("GET", "/v1/events", key=key))[0] == 403


async def monitor_key(tmp_path: Path) -> str:
    """What keys.sh writes into Prometheus' file."""
    made = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "gateway.cli", "keys", "create", "prometheus", "--role", "monitor"),
        *("--data", str(tmp_path / "data")),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await made.communicate()
    assert made.returncode == 0
    return out.decode().strip()


async def metrics(plant: Plant, key: str) -> tuple[int, str]:
    """(status, text), as Prometheus asks."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with (
        ClientSession() as client,
        client.get(f"http://{LOOPBACK}:{plant.hub.port}/metrics", headers=headers) as answer,
    ):
        return answer.status, await answer.text()
