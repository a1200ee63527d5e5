"""Who takes part in the pipeline: each does the work of ``bench.workload`` between two brokers."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from bench.brokers import Brokers
from bench.hub import hub
from bench.program import ROOT, output, python, running
from bench.workload import PLANT, UOM
from tests.servers import free_port, give_back

__all__ = ["NOTE", "Contestant", "contestants", "deployment"]

Contestant = Callable[[Brokers, str, Path], AbstractAsyncContextManager[int]]
"""(brokers, queue, an empty folder) → the pid of a program that carries messages while the context lasts.

The queue's name is the first level of the topics, too."""

NOTE = (
    "Ours writes every event to its journal (fsync) before it acknowledges, deduplicates, validates against "
    "the catalogue, indexes for search and keeps metrics; no peer does any of it. Node-RED acknowledges on "
    "receipt, before RabbitMQ has the message."
)
CACHE = ROOT / "bench" / ".cache"
_CAPACITY = 500_000
_INSTALL_S = 600.0


def deployment(brokers: Brokers, queue: str) -> str:
    """What an operator would write for it."""
    return f"""
journal: {{retain: 1d, retain_size: 4GB}}
plants:
  {PLANT}: {{name: Brno, timezone: Europe/Prague}}
adapters:
  floor:
    kind: mqtt
    plant: {PLANT}
    url: mqtt://{brokers.mqtt.host}:{brokers.mqtt.port}
    subscribe: [{{topic: "{queue}/#"}}]
    format:
      kind: json
      events:
        - type: telemetry.measurement.recorded
          subject: payload.tag
          data:
            tag: payload.tag
            value: payload.value
            uom: "'{UOM}'"
            quality: payload.quality
            source_time: payload.at
  rabbit:
    kind: amqp
    url: amqp://{brokers.amqp.host}:{brokers.amqp.port}
routes:
  readings:
    on: [telemetry.measurement.recorded]
    when: data.quality == 'good'
    map:
      plant: event.plantid
      tag: data.tag
      value: data.value
      uom: data.uom
      at: data.source_time
    to: {{adapter: rabbit, routing_key: {queue}}}
"""


@asynccontextmanager
async def crossplant(brokers: Brokers, queue: str, folder: Path) -> AsyncIterator[int]:
    """Ours, the whole hub."""
    async with hub(folder, deployment(brokers, queue)) as found:
        yield found.process.pid


@asynccontextmanager
async def naive(brokers: Brokers, queue: str, folder: Path) -> AsyncIterator[int]:
    """paho and aio-pika, 100 workers."""
    argv = python("bench.peers.naive", brokers.mqtt.port, brokers.amqp.url, queue)
    async with running(argv, folder / "naive.log") as process:
        yield process.pid


@asynccontextmanager
async def node_red(brokers: Brokers, queue: str, folder: Path) -> AsyncIterator[int]:
    """Node-RED: MQTT node, function node with amqplib on a confirm channel."""
    modules = await _npm()
    port = free_port()
    flow = folder / "flow.json"
    flow.write_text(json.dumps(_flow(brokers.mqtt.port, queue)))
    source = ROOT / "bench" / "peers" / "nodered"
    argv = [shutil.which("node") or "node", str(modules / "node-red" / "red.js")]
    argv += ["--userDir", str(folder), "--settings", str(source / "settings.js")]
    environment = {
        "BENCH_PORT": str(port),
        "BENCH_FLOW": str(flow),
        "BENCH_MODULES": str(modules),
        "BENCH_AMQP": brokers.amqp.url,
        "BENCH_QUEUE": queue,
    }
    try:
        async with running(argv, folder / "node-red.log", environment=environment) as process:
            yield process.pid
    finally:
        give_back(port)


def _flow(port: int, root: str) -> list[dict[str, object]]:
    source = ROOT / "bench" / "peers" / "nodered"
    broker = {
        "id": "broker",
        "type": "mqtt-broker",
        "broker": "127.0.0.1",
        "port": str(port),
        "clientid": "node-red",
        "autoConnect": True,
        "protocolVersion": "4",
        "keepalive": "60",
        "cleansession": False,
    }
    taken = {
        "id": "in",
        "type": "mqtt in",
        "z": "tab",
        "topic": f"{root}/#",
        "qos": "1",
        "datatype": "json",
        "broker": "broker",
        "inputs": 0,
        "wires": [["work"]],
    }
    work = {
        "id": "work",
        "type": "function",
        "z": "tab",
        "func": (source / "function.js").read_text(),
        "initialize": (source / "initialize.js").read_text(),
        "outputs": 0,
        "wires": [],
    }
    return [{"id": "tab", "type": "tab", "label": "bench"}, broker, taken, work]


def bridge(how: str) -> Contestant:
    """mq-bridge, ``default`` or ``tuned``."""

    @asynccontextmanager
    async def contestant(brokers: Brokers, queue: str, folder: Path) -> AsyncIterator[int]:
        interpreter = await _bridge_python()
        script = ROOT / "bench" / "peers" / "bridge.py"
        argv = [
            str(interpreter),
            str(script),
            str(brokers.mqtt.port),
            brokers.amqp.url.rstrip("/") + "/%2f",  # it takes an empty path for an empty virtual host
            queue,
            str(_CAPACITY),
            how,
        ]
        async with running(argv, folder / "bridge.log") as process:
            yield process.pid

    return contestant


contestants: dict[str, Contestant] = {
    "ours": crossplant,
    "naive paho + aio-pika": naive,
    "Node-RED": node_red,
    "mq-bridge tuned": bridge("tuned"),
    "mq-bridge default": bridge("default"),
}


# ── what peers need, installed when first asked for ─────────────────────────────────────────────

_installing = asyncio.Lock()


async def _npm() -> Path:
    """Node-RED's modules, in the benchmarks' cache."""
    modules = CACHE / "nodered" / "node_modules"
    async with _installing:
        if not (modules / "node-red" / "red.js").exists():
            modules.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / "bench" / "peers" / "nodered" / "package.json", modules.parent)
            argv = [shutil.which("npm") or "npm", "install", "--prefix", str(modules.parent)]
            argv += ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
            await output(argv, within_s=_INSTALL_S)
    return modules


async def _bridge_python() -> Path:
    """The interpreter of an environment with mq-bridge."""
    folder = CACHE / "bridge"
    async with _installing:
        if not (folder / "installed").exists():
            await output([sys.executable, "-m", "venv", "--clear", str(folder)], within_s=_INSTALL_S)
            argv = [
                str(folder / "bin" / "pip"),
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "mq-bridge==1.2.0",
            ]
            await output(argv, within_s=_INSTALL_S)
            (folder / "installed").touch()
    return folder / "bin" / "python"
