"""Two hundred routes with disjoint filters against one, for the same events and the same deliveries.

Cost is to grow with what is delivered, not with the routes that want none of it.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bench.brokers import Brokers, brokers
from bench.contest import Arena, Options, Run
from bench.contestants import Contestant, deployment
from bench.hub import hub
from bench.measure import Sample
from bench.pipeline import burst

__all__ = ["ROUTES", "deployment_of", "routes"]

ROUTES = 200
_NOTE = (
    "CPU seconds of the whole hub, MQTT and journal included, per 100,000 events. Each of the 200 routes "
    "takes what one tag measured, the one route takes what all do; both deliver to the same queue."
)


def deployment_of(brokers: Brokers, queue: str, number: int) -> str:
    """The pipeline's deployment with so many routes, which together deliver what its one does."""
    before, _, route = deployment(brokers, queue).partition("routes:\n")
    if number == 1:
        return f"{before}routes:\n{route}"
    told = [
        route.replace("  readings:", f"  readings-{at}:", 1).replace(
            "when: data.quality == 'good'",
            f"when: data.tag == 'press-{at}/temperature' && data.quality == 'good'",
            1,
        )
        for at in range(number)
    ]
    return f"{before}routes:\n{''.join(told)}"


def _hub_with(number: int) -> Contestant:
    @asynccontextmanager
    async def contestant(brokers: Brokers, queue: str, folder: Path) -> AsyncIterator[int]:
        async with hub(folder, deployment_of(brokers, queue, number)) as found:
            yield found.process.pid

    return contestant


def _cpu_of(run: Run) -> Run:
    async def measured() -> Sample:
        sample = await run()
        cpu_s = sample.cpu_s_per_100k or 0.0
        return Sample(
            value=cpu_s, cpu_s_per_100k=cpu_s, rss_mb=sample.rss_mb, more={"events_per_s": sample.value}
        )

    return measured


@asynccontextmanager
async def routes(options: Options) -> AsyncIterator[list[Arena]]:
    """CPU seconds per 100,000 events."""
    count = 10_000 if options.quick else 40_000
    with tempfile.TemporaryDirectory(prefix="crossplant-bench-") as place:
        folder = Path(place)
        async with brokers(folder) as found:
            runs = {
                name: _cpu_of(burst(name, _hub_with(number), found, folder, count, tags=ROUTES))
                for name, number in (("ours", ROUTES), ("one route", 1))
            }
            yield [
                Arena(
                    name=f"{ROUTES} routes with disjoint filters",
                    unit="CPU s/100k",
                    runs=runs,
                    note=_NOTE,
                    gate=2.0,
                    goal=1.3,
                    better="lower",
                )
            ]
