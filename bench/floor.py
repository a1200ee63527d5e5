"""OPC UA data changes from a node-opcua server: → HTTP, values a second that arrive; and taken in alone."""

from __future__ import annotations

import asyncio
import itertools
import json
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from aiohttp import ClientSession

from bench.contest import Arena, Options, Run
from bench.hub import hub
from bench.measure import Meter, Sample, per_100k
from bench.program import output, python, running
from tests.servers import OpcuaPeer, free_port, give_back

__all__ = ["floor"]

ITEMS = 500
_INTERVAL_MS = 100
_START_S = 60.0
Carrier = Callable[[Path], AbstractAsyncContextManager[int]]


def _deployment(url: str, target: int) -> str:
    tags = "\n".join(
        f'      - {{node: "nsu=urn:peer:line;s=item-{n + 1:04}", tag: item-{n + 1:04}, uom: C62}}'
        for n in range(ITEMS)
    )
    return f"""
journal: {{retain: 1d, retain_size: 4GB}}
plants:
  aachen: {{name: Aachen, timezone: Europe/Berlin}}
adapters:
  press:
    kind: opcua
    plant: aachen
    url: {url}
    security: none
    anonymous: true
    equipment: acme/aachen/press-shop/line-1
    publishing_interval: {_INTERVAL_MS}ms
    sampling_interval: 0ms
    tags:
{tags}
  historian:
    kind: rest
    url: http://127.0.0.1:{target}
routes:
  values:
    on: [telemetry.measurement.recorded]
    map: {{plant: event.plantid, tag: data.tag, value: data.value, at: data.source_time}}
    to: {{adapter: historian, path: values}}
"""


def _run(name: str, carrier: Carrier, folder: Path, target: int, seconds: float) -> Run:
    numbers = itertools.count()

    async def run() -> Sample:
        place = folder / f"{name}-{next(numbers)}"
        place.mkdir()
        async with carrier(place) as pid, ClientSession() as client:
            await _flows(client, target)
            before, meter = await _count(client, target), Meter([pid])
            await asyncio.sleep(seconds)
            after = await _count(client, target)
            wall_s, cpu_s, rss_mb = meter.read()
        return Sample(
            value=(after - before) / wall_s, cpu_s_per_100k=per_100k(cpu_s, after - before), rss_mb=rss_mb
        )

    return run


async def _count(client: ClientSession, target: int) -> int:
    async with client.get(f"http://127.0.0.1:{target}/") as answer:
        return int((await answer.json(content_type=None))["count"])


async def _flows(client: ClientSession, target: int) -> None:
    """Returns once every item has sent something, and more."""
    first = await _count(client, target)
    async with asyncio.timeout(_START_S):
        while await _count(client, target) < first + 3 * ITEMS:  # noqa: ASYNC110 - it tells only if asked
            await asyncio.sleep(0.1)


def _listener(who: str, url: str, seconds: float) -> Run:
    async def run() -> Sample:
        argv = python("bench.listeners", who, url, ITEMS, seconds)
        said = json.loads(await output(argv, within_s=seconds + _START_S))
        cpu = per_100k(said["cpu_s"], said["values"])
        return Sample(
            value=100_000 / cpu, cpu_s_per_100k=cpu, more={"values_per_s": said["values"] / said["wall_s"]}
        )

    return run


def _taken_in(url: str, seconds: float) -> Arena:
    runs = {
        "ours": _listener("ours", url, seconds),
        "asyncua": _listener("asyncua", url, seconds),
        "ours, with its events": _listener("events", url, seconds),
    }
    note = (
        "Both read every value, status and time and do nothing else with them; ours makes raw messages and "
        "acknowledges them, asyncua calls a handler that counts. asyncua makes objects of the times, ours "
        "leaves them numbers until events are made of them: the third contestant makes them, too."
    )
    return Arena(name="OPC UA client", unit="values/CPU s", runs=runs, note=note, gate=6.0, goal=12.0)


@asynccontextmanager
async def floor(options: Options) -> AsyncIterator[list[Arena]]:
    """500 values that change every 100 ms: 5,000 a second are offered."""
    seconds = 3.0 if options.quick else 10.0
    ports = [free_port(), free_port()]
    target = ports[0]
    with tempfile.TemporaryDirectory(prefix="crossplant-bench-") as place:
        folder = Path(place)
        peer = OpcuaPeer.create(folder / "peer", port=ports[1], pki=folder / "pki")

        @asynccontextmanager
        async def ours(at: Path) -> AsyncIterator[int]:
            async with hub(at, _deployment(peer.url, target)) as found:
                yield found.process.pid

        @asynccontextmanager
        async def script(at: Path) -> AsyncIterator[int]:
            argv = python("bench.peers.opcua_http", peer.url, ITEMS, target)
            async with running(argv, at / "script.log") as process:
                yield process.pid

        try:
            await asyncio.to_thread(peer.start, interval=_INTERVAL_MS, items=ITEMS)
            async with running(python("bench.target", target), folder / "target.log"):
                runs = {
                    "ours": _run("ours", ours, folder, target, seconds),
                    "asyncua + aiohttp": _run("script", script, folder, target, seconds),
                }
                note = (
                    "Ours keeps every value in its journal before it goes out; the script keeps none. "
                    "Both ask for every change (sampling interval 0, asyncua's default)."
                )
                yield [
                    Arena(name="OPC UA to HTTP", unit="values/s", runs=runs, note=note),
                    _taken_in(peer.url, seconds),
                ]
        finally:
            await asyncio.to_thread(peer.stop)
            for port in ports:
                give_back(port)
