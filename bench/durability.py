"""What durability costs: the pipeline with its fsync, and with one that does nothing, on three disks."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from bench.brokers import Brokers, brokers
from bench.contest import Arena, Options
from bench.contestants import Contestant, deployment
from bench.disk import DELAYS_MS, environment
from bench.hub import hub
from bench.pipeline import burst

__all__ = ["durability"]

_GOALS = {0: (0.85, 0.95), 4: (0.7, 0.85), 15: (0.5, 0.7)}
NOTE = "Switched off: the journal is written as always, and its fsync does nothing (a preloaded library)."


def _with(variables: Mapping[str, str]) -> Contestant:
    @asynccontextmanager
    async def contestant(brokers: Brokers, queue: str, folder: Path) -> AsyncIterator[int]:
        async with hub(folder, deployment(brokers, queue), environment=variables) as found:
            yield found.process.pid

    return contestant


@asynccontextmanager
async def durability(options: Options) -> AsyncIterator[list[Arena]]:
    """Events a second of the pipeline. The delay comes on top of what the disk takes."""
    count = 10_000 if options.quick else 40_000
    with tempfile.TemporaryDirectory(prefix="crossplant-bench-") as place:
        folder = Path(place)
        off = _with(await environment(folder, "off"))
        async with brokers(folder) as found:
            arenas = []
            for delay in DELAYS_MS:
                durable = _with(await environment(folder, str(delay)))
                runs = {
                    "ours": burst(f"durable-{delay}", durable, found, folder, count),
                    "fsync switched off": burst(f"off-{delay}", off, found, folder, count),
                }
                gate, goal = _GOALS[delay]
                name = f"durable pipeline, fsync + {delay} ms"
                arenas.append(Arena(name=name, unit="events/s", runs=runs, note=NOTE, gate=gate, goal=goal))
            yield arenas
