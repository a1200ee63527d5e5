"""Runs the measurements, interleaved, and writes ``bench/results``."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

import uvloop

from bench import report
from bench.contest import Bench, Options, Result, held
from bench.durability import durability
from bench.floor import floor
from bench.ingest import ingest
from bench.journal import journal
from bench.latency import latency
from bench.memory import memory
from bench.pipeline import pipeline
from bench.posts import posts
from bench.retention import retention
from bench.routes import routes

BENCHES: dict[str, Bench] = {
    "pipeline": pipeline,
    "latency": latency,
    "durability": durability,
    "journal": journal,
    "ingest": ingest,
    "posts": posts,
    "routes": routes,
    "floor": floor,
    "memory": memory,
    "retention": retention,
}
_RESULTS = Path(__file__).resolve().parent / "results"


async def _all(names: list[str], options: Options) -> list[Result]:
    results = []
    for name in names:
        async with BENCHES[name](options) as arenas:
            for arena in arenas:
                results.append(await held(arena, options))
    return results


def main() -> None:
    """See ``--help``."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", action="append", choices=sorted(BENCHES), help="this one; may be repeated")
    parser.add_argument("--rounds", type=int, default=5, help="how often each contestant runs")
    parser.add_argument("--quick", action="store_true", help="less work; the figures mean little")
    parser.add_argument("--out", type=Path, default=_RESULTS, help="the folder of the results")
    arguments = parser.parse_args()
    options = Options(
        rounds=arguments.rounds,
        quick=arguments.quick,
        tell=lambda text: print(text, file=sys.stderr, flush=True),
    )
    measured = report.version_now()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        results = runner.run(_all(arguments.only or list(BENCHES), options))
    report.write(results, arguments.out, measured, quick=options.quick)
    print(report.table(results))


if __name__ == "__main__":
    main()
