"""Faults 21 and 37: the clock jumps, the process stands still, its file descriptors run out."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
import yaml
from aiohttp import ClientSession

from tests.adapters.amqp.peers import connected, unique
from tests.faults.erp import Erp, erp_at
from tests.faults.rig import AT, FORMAT, ROUTE, Plant, at_rest, body_of, facts
from tests.servers import RabbitMQ
from tests.servers.ports import LOOPBACK
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(240)

ORDERS = [f"o{number}" for number in range(8)]


def routes() -> str:
    return f"  out:{ROUTE}    to: {{adapter: erp, path: orders}}\n    retry: {{first: 200ms, max: 1s}}"


def erp_adapter(port: int) -> str:
    return f"""
  erp:
    kind: rest
    url: http://{LOOPBACK}:{port}
    timeout: 2s
    concurrency: 4
"""


async def finish(plant: Plant, erp: Erp, sent: list[tuple[str, int]]) -> None:
    """Waits until all has arrived, and settles the account."""
    await eventually(lambda: erp.ledger.has(sent), 60)

    async def quiet() -> bool:
        return (await plant.route("out"))["state"] == "flowing" and not await plant.items("/v1/lanes")

    await eventually(quiet, 60)
    assert await plant.items("/v1/dead-letters") == []
    await plant.stop()
    erp.ledger.settled(sent)
    at_rest(plant.folder, "out")


# ── 21 ───────────────────────────────────────────────────────────────────────────────────────────


class WallClock:
    """The hub's wall clock, that can be set while it runs; the monotonic clock goes on (libfaketime)."""

    def __init__(self, plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
        self._port = plant.hub.port
        self._file = plant.folder / "clock"
        self._write(0)
        asked = subprocess.run(
            ["faketime", "-f", "+0", "printenv", "LD_PRELOAD"], capture_output=True, check=True, timeout=30
        )
        for name, value in {
            "LD_PRELOAD": asked.stdout.decode().strip(),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }.items():
            monkeypatch.setenv(name, value)

    async def set(self, hours: int) -> None:
        """So many hours off from now on; returns when the hub sees it so, which its answers tell."""
        self._write(hours)

        async def seen() -> bool:
            async with (
                ClientSession() as client,
                client.get(f"http://{LOOPBACK}:{self._port}/livez") as answer,
            ):
                said = parsedate_to_datetime(answer.headers["Date"])
            return abs(said - datetime.now(UTC) - timedelta(hours=hours)) < timedelta(minutes=10)

        await eventually(seen, 60)

    def _write(self, hours: int) -> None:
        written = self._file.with_suffix(".new")
        written.write_text(f"{hours:+}h\n")
        written.rename(self._file)


@pytest.mark.requires_server("faketime")
@pytest.mark.parametrize("jumps", [(1, -1), (-1, 1)])
async def test_21_the_clock_jumps_by_an_hour_and_timers_and_event_times_stay(
    plant: Plant,
    free_port: Callable[[], int],
    monkeypatch: pytest.MonkeyPatch,
    jumps: tuple[int, int],
) -> None:
    target, sent = free_port(), facts(ORDERS, range(20))
    plant.configure(erp_adapter(target), routes())
    async with erp_at(target) as (erp, site):
        with monkeypatch.context() as patch:
            clock = WallClock(plant, patch)
            await plant.start()
        await plant.post(sent[:40])
        await eventually(lambda: erp.ledger.has(sent[:40]))
        await clock.set(jumps[0])
        await plant.post(sent[40:80])
        await eventually(lambda: erp.ledger.has(sent[40:80]))
        await site.shut()
        await plant.post(sent[80:120])

        async def paused() -> bool:
            return bool((await plant.route("out"))["state"] == "paused")

        await eventually(paused)
        await clock.set(jumps[1])  # during the pause: it neither ends at once nor lasts an hour longer
        await plant.post(sent[120:])
        await plant.post(sent[:40])  # what was said before the jump is still known
        await site.open()
        await eventually(lambda: erp.ledger.has(sent), 60)
        erp.refuses = {"o1"}
        late = facts(["o1"], range(20, 24))
        await plant.post(late)

        async def aside() -> bool:
            return len(await plant.items("/v1/lanes")) == 1

        await eventually(aside)
        await clock.set(0)  # a lane that waits for its next attempt
        erp.refuses = set()
        recorded = await plant.items("/v1/events?type=production.order.created&limit=500")
        assert len(recorded) == len(sent) + len(late)
        assert {event["data"]["planned_start"] for event in recorded} == {AT}
        assert len({event["recordedtime"][:13] for event in recorded}) >= 2
        await finish(plant, erp, [*sent, *late])
        assert erp.ledger.repeated == 0


# ── 37 ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.requires_server("rabbitmq")
@pytest.mark.xdist_group("rabbitmq")
async def test_37_a_hub_that_stands_still_is_left_by_its_broker_and_takes_up_its_work(
    plant: Plant, rabbitmq: RabbitMQ, free_port: Callable[[], int]
) -> None:
    """SIGSTOP for as long as it takes the broker to give the connection up, then SIGCONT."""
    target, queue = free_port(), unique("faults-stop")
    block = json.dumps(yaml.safe_load(FORMAT))[1:-1]
    taker = (
        f'  taker: {{kind: amqp, plant: brno, url: "amqp://{LOOPBACK}:{rabbitmq.port}", queue: {queue}, '
        f"heartbeat: 2s, max_backoff: 1s, {block}}}\n"
    )
    plant.configure(f"{erp_adapter(target)}{taker}", routes())
    sent = facts(ORDERS, range(100))
    async with connected(rabbitmq) as peer, erp_at(target) as (erp, _):
        await peer.make_queue(queue)
        await plant.start()
        await eventually(lambda: "amqp_connected" in plant.hub.log())
        ours = await asyncio.to_thread(_connections, rabbitmq)
        await peer.publish(queue, [json.dumps(body_of(fact)).encode() for fact in sent[:400]])
        await eventually(lambda: len(erp.ledger.order) > 50)
        os.kill(plant.hub.pid, signal.SIGSTOP)
        try:
            await peer.publish(queue, [json.dumps(body_of(fact)).encode() for fact in sent[400:]])

            async def given_up() -> bool:
                return await asyncio.to_thread(_connections, rabbitmq) < ours

            await eventually(given_up, 60)
        finally:
            os.kill(plant.hub.pid, signal.SIGCONT)
        await finish(plant, erp, sent)
        assert await peer.count(queue) == 0


def _connections(broker: RabbitMQ) -> int:
    return len(broker.control("list_connections", "--quiet", "--no-table-headers", "name").splitlines())


async def test_37_without_file_descriptors_load_is_shed_and_nothing_that_was_taken_is_lost(
    plant: Plant, free_port: Callable[[], int]
) -> None:
    target, sent = free_port(), facts(ORDERS, range(30))
    plant.configure(erp_adapter(target), routes())
    async with erp_at(target) as (erp, site):
        await plant.start()
        await plant.post(sent[:80])
        await eventually(lambda: erp.ledger.has(sent[:80]))
        await site.shut()  # so that the way out needs new connections too
        async with exhausted(plant):
            refused_at = await _until_refused(plant, sent, 80)
            await site.open()
            assert not plant.hub.dead
        await plant.post(sent[refused_at:])  # what was refused is sent again, as clients do
        assert (await plant.hub.get("/readyz"))["status"] == "ready"
        await finish(plant, erp, sent)


async def _until_refused(plant: Plant, sent: list[tuple[str, int]], first: int) -> int:
    """Posts one after the other; returns which one was not taken."""
    for index in range(first, len(sent)):
        try:
            async with asyncio.timeout(2):
                await plant.post([sent[index]])
        except (OSError, TimeoutError):
            return index
    raise AssertionError("it had descriptors left")


@asynccontextmanager
async def exhausted(plant: Plant) -> AsyncIterator[None]:
    """The hub may open no more than it has open now, and silent clients take what gets free."""
    before = resource.prlimit(plant.hub.pid, resource.RLIMIT_NOFILE)
    highest = max(_descriptors(plant.hub.pid))
    resource.prlimit(plant.hub.pid, resource.RLIMIT_NOFILE, (highest + 8, before[1]))
    clients = []
    try:
        for _ in range(64):
            clients.append(await asyncio.open_connection(LOOPBACK, plant.hub.port))
        yield
    finally:
        resource.prlimit(plant.hub.pid, resource.RLIMIT_NOFILE, before)
        for _, writer in clients:
            writer.transport.abort()


def _descriptors(pid: int) -> list[int]:
    return [int(each.name) for each in Path(f"/proc/{pid}/fd").iterdir()]
