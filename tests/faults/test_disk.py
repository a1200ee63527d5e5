"""Faults 16 to 20: the disk is full, hangs, fails, is somebody else's, or changed what lay on it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import ClientError

from gateway.backup import back_up, restore
from tests.faults.erp import Erp, Site, erp_at
from tests.faults.rig import ROUTE, SECRET, Fact, Plant, at_rest, body_of, facts
from tests.hub import HubProcess
from tests.servers.faultydisk import FaultyDisk, Mood
from tests.servers.mounts import Disk
from tests.servers.ports import LOOPBACK
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(240)

ORDERS = [f"o{number}" for number in range(4)]


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[[int, bool], Disk]]:
    """A function that mounts a disk at the hub's data folder: (megabytes, on a loop device)."""
    disks: list[Disk] = []

    def mount(size_mb: int, loop: bool) -> Disk:
        image = tmp_path / "disk.img" if loop else None
        disk = Disk(mount=tmp_path / "data", size_mb=size_mb, image=image)
        disk.start()
        disks.append(disk)
        return disk

    yield mount
    for disk in disks:
        disk.stop()


@pytest.fixture
def faulty(tmp_path: Path) -> Iterator[FaultyDisk]:
    disk = FaultyDisk.create(tmp_path / "data", tmp_path / "disk")
    disk.start()
    yield disk
    disk.be("well")
    disk.unmount()


@asynccontextmanager
async def running(plant: Plant, port: int) -> AsyncIterator[tuple[Erp, Site]]:
    """The hub, with an ERP at the end of its route."""
    plant.configure(
        f'\n  erp: {{kind: rest, url: "http://{LOOPBACK}:{port}", timeout: 2s, concurrency: 4}}\n',
        f"  out:{ROUTE}    to: {{adapter: erp, path: orders}}\n    retry: {{first: 200ms, max: 1s}}",
    )
    async with erp_at(port) as (erp, site):
        await plant.start()
        yield erp, site


async def ask(plant: Plant, fact: Fact, within_s: float = 2.0) -> int:
    """The answer's status; 0 when there is none in time."""
    try:
        async with asyncio.timeout(within_s):
            return (await plant.hub.ask("POST", "/v1/webhooks/hook", key=SECRET, body=body_of(fact)))[0]
    except (OSError, TimeoutError, ClientError):
        return 0


async def readiness(plant: Plant) -> tuple[int, str]:
    """(status, what is said of the journal)."""
    status, answer = await plant.hub.ask("GET", "/readyz")
    return status, answer["checks"]["journal"]


async def well(plant: Plant) -> bool:
    return (await readiness(plant))[0] == 200


async def finish(plant: Plant, erp: Erp, sent: list[Fact]) -> None:
    """All of it is sent again, as sources do that do not know what was taken; then the account."""
    await plant.post(sent)
    await eventually(lambda: erp.ledger.has(sent), 60)
    await plant.stop()
    erp.ledger.settled(sent)
    at_rest(plant.folder, "out")


# ── 16 ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.requires_server("mount")
async def test_16_a_full_disk_stops_acknowledging_and_goes_on_when_there_is_room(
    plant: Plant, free_port: Callable[[], int], mounted: Callable[[int, bool], Disk]
) -> None:
    disk, sent = mounted(48, False), facts(ORDERS, range(30))
    async with running(plant, free_port()) as (erp, site):
        await plant.post(sent[:40])
        await eventually(lambda: erp.ledger.has(sent[:40]))
        await site.shut()
        hog = disk.mount / "hog"
        await asyncio.to_thread(fill, hog)
        refused, taken = await _until_refused(plant)
        assert refused == 503
        status, said = await readiness(plant)
        assert (status, "full" in said, "nothing was acknowledged" in said) == (503, True, True)
        assert not plant.hub.dead
        hog.unlink()
        await eventually(lambda: well(plant), 30)  # by itself, without anybody asking for anything
        await site.open()
        await finish(plant, erp, [*sent, *taken])


def fill(path: Path) -> None:
    """Takes all room that is left."""
    with path.open("wb", buffering=0) as file:
        for block in (1 << 20, 1 << 12):
            try:
                while True:
                    file.write(bytes(block))
            except OSError:
                continue


async def _until_refused(plant: Plant) -> tuple[int, list[Fact]]:
    """Posts until the write-ahead log, which may have room of its own, is full too.

    Returns what was said then, and what was taken before.
    """
    taken: list[Fact] = []
    while len(taken) < 300:
        body = {**body_of(("bulky", len(taken))), "text": "x" * 200_000}
        status, _ = await plant.hub.ask("POST", "/v1/webhooks/hook", key=SECRET, body=body)
        if status != 202:
            return status, taken
        taken.append(("bulky", len(taken)))
    raise AssertionError("the disk was not full")


@pytest.mark.requires_server("mount")
async def test_16_a_full_disk_takes_no_large_message_until_there_is_room(
    plant: Plant, free_port: Callable[[], int], mounted: Callable[[int, bool], Disk]
) -> None:
    """One that would lie in a file of its own."""
    disk, fact = mounted(48, False), ("large", 0)
    body = {**body_of(fact), "text": "x" * 1_010_000}
    async with running(plant, free_port()) as (erp, _):
        hog, claims = disk.mount / "hog", disk.mount / "claims"
        await asyncio.to_thread(fill, hog)
        status, answer = await plant.hub.ask("POST", "/v1/webhooks/hook", key=SECRET, body=body)
        assert (status, "a large message could not be written" in answer["detail"]) == (503, True)
        assert list(claims.iterdir()) == []
        hog.unlink()
        await eventually(lambda: well(plant), 30)
        assert (await plant.hub.ask("POST", "/v1/webhooks/hook", key=SECRET, body=body))[0] == 202
        [file] = claims.iterdir()
        assert file.stat().st_size > 1_010_000
        await finish(plant, erp, [fact])


# ── 17 ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.requires_server("mount")
async def test_17_a_disk_that_hangs_is_told_within_ten_seconds_and_nothing_is_acknowledged(
    plant: Plant, free_port: Callable[[], int], mounted: Callable[[int, bool], Disk]
) -> None:
    disk, sent = mounted(64, True), facts(ORDERS, range(30))
    async with running(plant, free_port()) as (erp, _):
        await plant.post(sent[:40])
        await asyncio.to_thread(disk.freeze)
        try:
            asking = [asyncio.create_task(ask(plant, fact, 20)) for fact in sent[40:44]]

            async def told() -> bool:
                status, said = await readiness(plant)
                return status == 503 and "is the disk hanging?" in said

            await eventually(told, 10)
            assert not any(task.done() for task in asking)
            assert (await plant.hub.ask("GET", "/livez"))[0] == 200
        finally:
            await asyncio.to_thread(disk.thaw)
        assert await asyncio.gather(*asking) == [202] * 4
        await eventually(lambda: well(plant), 10)
        await finish(plant, erp, sent)


# ── 18 ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.requires_server("fuse")
@pytest.mark.parametrize("mood", ["broken", "ro"])
async def test_18_a_disk_that_fails_is_told_takes_nothing_and_is_used_again_once_it_is_mended(
    plant: Plant, free_port: Callable[[], int], faulty: FaultyDisk, mood: Mood
) -> None:
    sent = facts(ORDERS, range(30))
    async with running(plant, free_port()) as (erp, site):
        await plant.post(sent[:40])
        await eventually(lambda: erp.ledger.has(sent[:40]))
        await site.shut()
        faulty.be(mood)
        assert {await ask(plant, fact) for fact in sent[40:60]} == {503}
        status, said = await readiness(plant)
        assert status == 503
        assert "free or mend the disk" in said
        await site.open()
        assert not plant.hub.dead
        faulty.be("well")
        await eventually(lambda: well(plant), 30)
        await finish(plant, erp, sent)


@pytest.mark.requires_server("fuse")
async def test_18_a_hub_on_a_read_only_folder_says_so_and_ends(
    plant: Plant, free_port: Callable[[], int], faulty: FaultyDisk
) -> None:
    sent = facts(ORDERS, range(5))
    async with running(plant, free_port()) as (erp, _):
        await finish(plant, erp, sent)
        faulty.be("ro")
        await plant.hub.spawn()
        await eventually(lambda: plant.hub.dead, 60)
        assert plant.hub.code == 2
        assert "Traceback" not in plant.hub.log()
        assert f"{plant.folder / 'data'}" in plant.hub.log().splitlines()[-1]
        faulty.be("well")
        await plant.start()
        await plant.stop()


# ── 19 ───────────────────────────────────────────────────────────────────────────────────────────


async def test_19_a_second_hub_on_one_data_folder_is_refused_and_the_first_does_not_notice(
    plant: Plant, free_port: Callable[[], int]
) -> None:
    sent = facts(ORDERS, range(10))
    async with running(plant, free_port()) as (erp, _):
        await plant.post(sent[:20])
        settings = (plant.folder / "deployment.yaml").read_text()
        port = free_port()
        other = plant.folder / "second.yaml"
        other.write_text(settings.replace(f"port: {plant.hub.port}", f"port: {port}"))
        second = HubProcess(plant.folder, other, port)
        await second.spawn()
        try:
            await eventually(lambda: second.dead, 60)
        finally:
            await second.end()
        assert second.code == 2
        said = second.log().splitlines()[-1]
        assert f"another hub (process {plant.hub.pid}) runs on the data folder" in said
        await finish(plant, erp, sent)


# ── 20 ───────────────────────────────────────────────────────────────────────────────────────────


async def test_20_bit_rot_is_quarantined_and_all_else_is_delivered(
    plant: Plant, free_port: Callable[[], int], tmp_path: Path
) -> None:
    sent = facts(ORDERS, range(30))
    rotten, port = ("o2", 17), free_port()
    async with running(plant, port) as (erp, site):
        await site.shut()
        await plant.post(sent)
        await plant.stop()
        _rot(plant.folder / "data" / "journal.db", rotten)
        await plant.start()
        await site.open()
        whole = [fact for fact in sent if fact != rotten]
        await eventually(lambda: erp.ledger.has(whole), 60)
        [letter] = await plant.items("/v1/dead-letters")
        position = sent.index(rotten) + 1
        assert (letter["code"], letter["position"]) == ("journal_corrupt", position)
        assert "had not delivered them: out." in letter["error"]
        made = await asyncio.to_thread(back_up, plant.folder / "data", tmp_path / "hub.tar")
        assert made.damaged == [(position, position)]
        await plant.stop()
        erp.ledger.settled(whole)
        at_rest(plant.folder, "out", dead=1)
        back = await asyncio.to_thread(restore, tmp_path / "hub.tar", tmp_path / "restored")
        assert (back.head, back.damaged) == (made.head, made.damaged)


def _rot(journal: Path, fact: Fact) -> None:
    """Flips a bit of what was recorded of a document, on the disk itself."""
    content = journal.read_bytes()
    text = f'"id":"{fact[0]}-{fact[1]}"'.encode()
    at = content.index(text) + len(text) - 2
    handle = os.open(journal, os.O_WRONLY)
    try:
        os.pwrite(handle, bytes([content[at] ^ 0x01]), at)
    finally:
        os.close(handle)
