"""The largest memory while a million events come in and the sink is slow."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import ClientSession

from bench.brokers import mosquitto
from bench.contest import Arena, Options, Run
from bench.hub import Hub, hub
from bench.measure import Meter, Sample, per_100k
from bench.program import output, python, running
from tests.servers import Mosquitto, free_port, give_back

__all__ = ["memory"]

_PIECE = 50_000
_LIMIT_S = 900.0
_SLOW_S = 0.5
_DEPLOYMENT = """
journal: {{retain: 1d, retain_size: 8GB}}
plants:
  brno: {{name: Brno, timezone: Europe/Prague}}
adapters:
  floor:
    kind: mqtt
    plant: brno
    url: mqtt://127.0.0.1:{mqtt}
    subscribe: [{{topic: "{root}/#"}}]
    format:
      kind: json
      events:
        - type: telemetry.measurement.recorded
          subject: payload.tag
          data:
            tag: payload.tag
            value: payload.value
            uom: "'CEL'"
            quality: payload.quality
            source_time: payload.at
  erp:
    kind: rest
    url: http://127.0.0.1:{target}
routes:
  readings:
    on: [telemetry.measurement.recorded]
    to: {{adapter: erp, path: readings}}
"""


def _run(folder: Path, broker: Mosquitto, target: int, count: int) -> Run:
    numbers = itertools.count()

    async def run() -> Sample:
        root = f"memory-{next(numbers)}"
        text = _DEPLOYMENT.format(mqtt=broker.port, root=root, target=target)
        async with hub(folder / root, text) as found:
            key = await found.key()
            meter = Meter([found.process.pid])
            for at in range(0, count, _PIECE):
                piece = min(_PIECE, count - at)
                await output(python("bench.publisher", broker.port, root, piece), within_s=_LIMIT_S)
                await _taken_in(found, key, at + piece)
            wall_s, cpu_s, rss_mb = meter.read()
        return Sample(
            value=rss_mb,
            rss_mb=rss_mb,
            cpu_s_per_100k=per_100k(cpu_s, count),
            more={"events_per_s": count / wall_s},
        )

    return run


async def _taken_in(found: Hub, key: str, wanted: int) -> None:
    """Returns once so many events are in the journal."""
    async with asyncio.timeout(_LIMIT_S), ClientSession() as client:
        while True:
            headers = {"Authorization": f"Bearer {key}"}
            async with client.get(f"{found.url}/metrics", headers=headers) as answer:
                lines = (await answer.text()).splitlines()
            accepted = [line for line in lines if line.startswith("crossplant_events_accepted_total{")]
            if sum(float(line.rpartition(" ")[2]) for line in accepted) >= wanted:
                return
            await asyncio.sleep(0.2)


@asynccontextmanager
async def memory(options: Options) -> AsyncIterator[list[Arena]]:
    """Megabytes. The sink answers each request after half a second, so that nearly all events wait."""
    count = 100_000 if options.quick else 1_000_000
    port = free_port()
    try:
        with tempfile.TemporaryDirectory(prefix="crossplant-bench-") as place:
            folder = Path(place)
            argv = python("bench.target", port, _SLOW_S)
            async with mosquitto(folder) as broker, running(argv, folder / "target.log"):
                yield [
                    Arena(
                        name=f"memory, {count:,} events, slow sink",
                        unit="MB",
                        runs={"ours": _run(folder, broker, port, count)},
                        note="The goal is less than 150 MB, the gate 300 MB.",
                        better="lower",
                        most_rounds=2,
                    )
                ]
    finally:
        give_back(port)
