"""MQTT messages in: our source beside stock paho, both with acknowledgement by hand."""

from __future__ import annotations

import itertools
import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bench.brokers import mosquitto
from bench.contest import Arena, Options, Run
from bench.measure import Sample, per_100k
from bench.program import output, python

__all__ = ["ingest"]

_LIMIT_S = 150.0


def _run(who: str, port: int, count: int) -> Run:
    numbers = itertools.count()

    async def run() -> Sample:
        root = f"{who}-{next(numbers)}"
        await output(python("bench.receivers", who, port, root, 0), within_s=_LIMIT_S)
        await output(python("bench.publisher", port, root, count), within_s=_LIMIT_S)
        said = await output(python("bench.receivers", who, port, root, count), within_s=_LIMIT_S)
        passed = json.loads(said)
        cpu = per_100k(passed["cpu_s"], count)
        return Sample(
            value=100_000 / cpu, cpu_s_per_100k=cpu, more={"events_per_s": count / passed["wall_s"]}
        )

    return run


@asynccontextmanager
async def ingest(options: Options) -> AsyncIterator[list[Arena]]:
    """Messages for each CPU second, of a backlog that a persistent session has at the broker.

    The wall clock would show the broker: it sends some tens of thousands a second.
    """
    count = 20_000 if options.quick else 60_000
    with tempfile.TemporaryDirectory(prefix="crossplant-bench-") as place:
        async with mosquitto(Path(place)) as broker:
            runs = {"ours": _run("ours", broker.port, count), "stock paho": _run("paho", broker.port, count)}
            note = "Both take and acknowledge, and do nothing else."
            yield [Arena(name="MQTT ingest", unit="events/CPU s", runs=runs, note=note, gate=8.0, goal=14.0)]
