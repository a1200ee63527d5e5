"""``POST /v1/events``, one event or a hundred a request, durable and with fsync switched off."""

from __future__ import annotations

import itertools
import json
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from bench.contest import Arena, Options, Run
from bench.disk import DELAYS_MS, environment
from bench.durability import NOTE
from bench.hub import hub
from bench.measure import Meter, Sample, per_100k
from bench.program import output, python

__all__ = ["posts"]

CONNECTIONS = 32
_LIMIT_S = 150.0
DEPLOYMENT = """
journal: {retain: 1d, retain_size: 4GB}
plants:
  brno: {name: Brno, timezone: Europe/Prague}
"""


def _run(folder: Path, name: str, variables: Mapping[str, str], requests: int, batch: int) -> Run:
    numbers = itertools.count()

    async def run() -> Sample:
        place = folder / f"{name.replace(' ', '-')}-{batch}-{next(numbers)}"
        async with hub(place, DEPLOYMENT, environment=variables) as found:
            key, port = await found.key(), urlsplit(found.url).port
            await output(python("bench.httpload", port, key, CONNECTIONS, 64, batch), within_s=_LIMIT_S)
            meter = Meter([found.process.pid])
            argv = python("bench.httpload", port, key, CONNECTIONS, requests, batch)
            said = json.loads(await output(argv, within_s=_LIMIT_S))
            _, cpu_s, rss_mb = meter.read()
        return Sample(
            value=said["events_per_s"], cpu_s_per_100k=per_100k(cpu_s, requests * batch), rss_mb=rss_mb
        )

    return run


@asynccontextmanager
async def posts(options: Options) -> AsyncIterator[list[Arena]]:
    """Events a second over 32 connections, each with one request at a time."""
    requests = {1: 2_000 if options.quick else 10_000, 100: 100 if options.quick else 1_000}
    goals = {1: (0.5, 0.8), 100: (0.30, 0.5)}
    with tempfile.TemporaryDirectory(prefix="crossplant-bench-") as place:
        folder = Path(place)
        off = await environment(folder, "off")
        arenas = []
        for batch, delay in itertools.product((1, 100), DELAYS_MS):
            slow = await environment(folder, str(delay))
            gate, goal = goals[batch] if delay == 0 else (None, None)
            what = "single posts" if batch == 1 else f"posts of {batch}"
            runs = {
                "ours": _run(folder, f"durable {delay}", slow, requests[batch], batch),
                "fsync switched off": _run(folder, f"off {delay}", off, requests[batch], batch),
            }
            arenas.append(
                Arena(
                    name=f"{what}, fsync + {delay} ms",
                    unit="events/s",
                    runs=runs,
                    note=NOTE,
                    gate=gate,
                    goal=goal,
                )
            )
        yield arenas
