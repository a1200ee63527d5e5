"""How long an event takes from its publisher to a consumer of the quorum queue, at 2,000 a second."""

from __future__ import annotations

import asyncio
import itertools
import json
import tempfile
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bench.brokers import Brokers, brokers
from bench.contest import Arena, Options, Run
from bench.contestants import NOTE, Contestant, contestants
from bench.measure import Meter, Sample, per_100k
from bench.pipeline import warmed_up
from bench.program import ROOT, output, python

__all__ = ["latency"]

RATE = 2_000
_LIMIT_S = 120.0


def _run(name: str, contestant: Contestant, brokers: Brokers, folder: Path, count: int) -> Run:
    numbers = itertools.count()

    async def run() -> Sample:
        place = folder / f"{name.replace(' ', '-')}-{next(numbers)}"
        place.mkdir()
        queue = await brokers.fresh_queue()
        try:
            async with contestant(brokers, queue, place) as pid:
                await warmed_up(brokers, queue)
                await brokers.purge(queue)
                argv = python("bench.consumer", brokers.amqp.url, queue, count)
                consumer = await asyncio.create_subprocess_exec(*argv, stdin=DEVNULL, stdout=PIPE, cwd=ROOT)
                assert consumer.stdout is not None
                try:
                    async with asyncio.timeout(_LIMIT_S):
                        await consumer.stdout.readline()
                        meter = Meter([pid])
                        publisher = python("bench.publisher", brokers.mqtt.port, queue, count, "--rate", RATE)
                        await output(publisher, within_s=_LIMIT_S)
                        said = await consumer.stdout.readline()
                        _, cpu_s, rss_mb = meter.read()
                        await consumer.wait()
                finally:
                    if consumer.returncode is None:
                        consumer.kill()
                        await consumer.wait()
        finally:
            await brokers.drop(queue)
        found = json.loads(said)
        return Sample(
            value=found.pop("p99"), cpu_s_per_100k=per_100k(cpu_s, count), rss_mb=rss_mb, more=found
        )

    return run


@asynccontextmanager
async def latency(options: Options) -> AsyncIterator[list[Arena]]:
    """The 99th percentile, in milliseconds; the other percentiles beside it."""
    seconds = 3 if options.quick else 10
    first = ["ours", "Node-RED"]
    names = [*first, *(name for name in contestants if name not in first)]
    with tempfile.TemporaryDirectory(prefix="crossplant-bench-") as place:
        folder = Path(place)
        async with brokers(folder) as found:
            runs = {name: _run(name, contestants[name], found, folder, RATE * seconds) for name in names}
            yield [
                Arena(
                    name=f"p99 at {RATE:,}/s",
                    unit="ms",
                    runs=runs,
                    note=NOTE,
                    gate=2.0,
                    goal=1.0,
                    better="lower",
                )
            ]
