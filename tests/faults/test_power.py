"""Fault 6: the power fails, and the disk loses what it was not told to sync."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from aiohttp import ClientError

from tests.faults.erp import erp_at
from tests.faults.rig import ROUTE, Fact, Plant, at_rest, facts
from tests.servers.lossydisk import LossyDisk, StartLossyDisk
from tests.servers.ports import LOOPBACK
from tests.waiting import eventually

pytestmark = [pytest.mark.requires_server("fuse"), pytest.mark.timeout(240)]

CUTS = 6
ORDERS = [f"o{number}" for number in range(4)]


@pytest.fixture
def start_lossy_disk() -> Iterator[StartLossyDisk]:
    """A function that mounts a disk with a cache that a power cut empties; unmounted after the test."""
    mounted: list[LossyDisk] = []

    def start(mount: Path, backing: Path, *, written_back: float = 0.2) -> LossyDisk:
        disk = LossyDisk.create(mount, backing, written_back=written_back)
        mounted.append(disk)
        disk.start()
        return disk

    yield start
    for disk in mounted:
        disk.unmount()


def test_the_disk_loses_what_was_not_synced_and_nothing_else(
    tmp_path: Path, start_lossy_disk: StartLossyDisk
) -> None:
    disk = start_lossy_disk(tmp_path / "mount", tmp_path / "backing", written_back=0.0)
    path = disk.mount / "journal"
    with path.open("wb", buffering=0) as file:
        file.write(b"a" * 5000)
        os.fsync(file.fileno())
        file.write(b"b" * 5000)
        assert path.read_bytes() == b"a" * 5000 + b"b" * 5000
        disk.lose_power()
        with contextlib.suppress(OSError):
            file.close()
    disk.unmount()
    disk.start()
    assert path.read_bytes() == b"a" * 5000


class Client:
    """Posts one document after the other, each until it is acknowledged."""

    def __init__(self, plant: Plant, sent: list[Fact]) -> None:
        self._plant, self._sent = plant, sent
        self.acknowledged: list[Fact] = []

    async def run(self) -> None:
        for fact in self._sent:
            while True:
                try:
                    await self._plant.post([fact])
                    break
                except (OSError, TimeoutError, ClientError, AssertionError, ValueError):
                    await asyncio.sleep(0.1)
            self.acknowledged.append(fact)


async def test_06_what_was_acknowledged_survives_power_cuts(
    plant: Plant, free_port: Callable[[], int], tmp_path: Path, start_lossy_disk: StartLossyDisk
) -> None:
    target, sent = free_port(), facts(ORDERS, range(220))
    chance = random.Random(6)
    plant.configure(
        f'\n  erp: {{kind: rest, url: "http://{LOOPBACK}:{target}", timeout: 2s, concurrency: 4}}\n',
        f"  out:{ROUTE}    to: {{adapter: erp, path: orders}}\n    retry: {{first: 200ms, max: 1s}}",
    )
    disk = start_lossy_disk(tmp_path / "data", tmp_path / "disk")
    client = Client(plant, sent)
    async with erp_at(target) as (erp, site):
        await plant.start()
        talking = asyncio.create_task(client.run())
        for cut in range(CUTS):
            if cut % 2:
                await site.open()
            else:
                await site.shut()  # what is acknowledged now is nowhere but in the journal
            reached = len(client.acknowledged) + chance.randint(20, 100)
            await eventually(lambda reached=reached: len(client.acknowledged) >= reached, 60)  # type: ignore[misc]
            await asyncio.to_thread(disk.lose_power)
            await plant.hub.end()
            await asyncio.to_thread(disk.unmount)
            await asyncio.to_thread(disk.start)
            await plant.start()
        await site.open()
        await talking
        await eventually(lambda: erp.ledger.has(client.acknowledged), 60)
        await plant.stop()
        erp.ledger.settled(sent)
        at_rest(plant.folder, "out")
