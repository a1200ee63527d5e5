"""MQTT QoS 1 burst → parse, enrich, drop one in ten → RabbitMQ quorum queue with confirms."""

from __future__ import annotations

import asyncio
import itertools
import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bench.brokers import Brokers, brokers
from bench.contest import Arena, Options, Run
from bench.contestants import NOTE, Contestant, contestants
from bench.measure import Meter, Sample, per_100k
from bench.program import output, python
from bench.workload import TOPICS, delivered

__all__ = ["burst", "pipeline", "warmed_up"]

_WARM = 20
_START_S = 60.0
_BURST_S = 120.0


async def warmed_up(brokers: Brokers, queue: str) -> None:
    """Returns once messages pass, on queues that are empty again."""
    async with asyncio.timeout(_START_S):
        while True:
            await output(python("bench.publisher", brokers.mqtt.port, queue, _WARM), within_s=_START_S)
            for _ in range(100):
                if await brokers.depth(queue) >= delivered(_WARM):
                    await asyncio.sleep(0.3)
                    return
                await asyncio.sleep(0.01)


def burst(
    name: str, contestant: Contestant, brokers: Brokers, folder: Path, count: int, *, tags: int = TOPICS
) -> Run:
    """What a burst of so many messages, about so many tags, takes."""
    numbers = itertools.count()

    async def run() -> Sample:
        place = folder / f"{name.replace(' ', '-')}-{next(numbers)}"
        place.mkdir()
        queue = await brokers.fresh_queue()
        try:
            async with contestant(brokers, queue, place) as pid:
                await warmed_up(brokers, queue)
                before = await brokers.depth(queue)
                meter = Meter([pid])
                argv = python("bench.publisher", brokers.mqtt.port, queue, count, "--tags", tags)
                publishing = asyncio.create_task(output(argv, within_s=_BURST_S))
                await brokers.reaches(queue, before + delivered(count), _BURST_S)
                loop_now = asyncio.get_running_loop().time()  # monotonic, as the publisher's
                _, cpu_s, rss_mb = meter.read()
                began = float(json.loads(await publishing)["began"])
        finally:
            await brokers.drop(queue)
        return Sample(value=count / (loop_now - began), cpu_s_per_100k=per_100k(cpu_s, count), rss_mb=rss_mb)

    return run


@asynccontextmanager
async def pipeline(options: Options) -> AsyncIterator[list[Arena]]:
    """Events a second from the first publish to the last confirmed message."""
    count = 10_000 if options.quick else 40_000
    with tempfile.TemporaryDirectory(prefix="crossplant-bench-") as place:
        folder = Path(place)
        async with brokers(folder) as found:
            runs = {name: burst(name, each, found, folder, count) for name, each in contestants.items()}
            yield [Arena(name="pipeline", unit="events/s", runs=runs, note=NOTE, gate=6.0, goal=10.0)]
