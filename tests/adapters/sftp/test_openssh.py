"""Against OpenSSH: its server, and its `sftp` command as the other party."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from adapters.sftp.config import SftpConfig
from adapters.sftp.sink import SftpSink
from adapters.sftp.source import SftpSource
from canonical.event import Event
from canonical.ports import Accepted, Delivery
from tests.canonical.exchange.shelf import TellingHub
from tests.servers import OpenSsh, StartOpenSsh
from tests.waiting import eventually

SLOWLY = {"every": "200ms", "ready": {"kind": "stable", "checks": 2, "interval": "1s"}}
AT_ONCE = {"every": "200ms", "ready": {"kind": "renamed"}}


@pytest.fixture
def sshd(start_sshd: StartOpenSsh) -> OpenSsh:
    return start_sshd()


@pytest.fixture
def folder(sshd: OpenSsh) -> Path:
    folder = sshd.folder / "out"
    folder.mkdir()
    return folder


def settings(sshd: OpenSsh, folder: Path, **more: Any) -> SftpConfig:
    return SftpConfig.model_validate(
        {
            "url": sshd.url(folder),
            "host_key": sshd.host_key,
            "key": sshd.key_path.read_text(),
            "timeout": "5s",
            "pick_up": AT_ONCE,
            **more,
        }
    )


def names(folder: Path) -> list[str]:
    """What lies in a folder that may not be there yet."""
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


async def put(sshd: OpenSsh, content: bytes, to: Path, kbit_s: int | None = None) -> float:
    """Seconds that OpenSSH's client took to put it."""
    local = sshd.folder / "local"
    local.write_bytes(content)
    started = asyncio.get_running_loop().time()
    running = sshd.sftp(f"put {local} {to}", kbit_s=kbit_s)
    assert await asyncio.to_thread(running.wait, 60) == 0
    return asyncio.get_running_loop().time() - started


async def test_a_slow_put_is_taken_whole_and_each_put_once(
    sshd: OpenSsh, folder: Path, hub: TellingHub
) -> None:
    """A file that grows, then another of its name, then the same content again."""
    one, two = os.urandom(24_000), os.urandom(500)
    async with hub.runs(SftpSource(settings(sshd, folder, pick_up=SLOWLY), hub.new_context())):
        took_s = await put(sshd, one, folder / "desadv.edi", kbit_s=64)
        assert took_s > 2
        await eventually(lambda: len(names(folder / "archive")) == 1)
        await put(sshd, two, folder / "desadv.edi")
        await eventually(lambda: len(names(folder / "archive")) == 2)
        await put(sshd, two, folder / "desadv.edi")
        await eventually(lambda: len(names(folder / "archive")) == 3)
    assert hub.bodies == [one, two, two]
    assert len(set(hub.ids)) == 3
    assert names(folder) == ["archive", "error"]


async def test_a_slow_put_with_a_done_file(sshd: OpenSsh, folder: Path, hub: TellingHub) -> None:
    """The pauses of its sender do not matter."""
    content = os.urandom(24_000)
    rules = {"every": "100ms", "ready": {"kind": "done_file"}, "delete": True}
    async with hub.runs(SftpSource(settings(sshd, folder, pick_up=rules), hub.new_context())):
        await put(sshd, content, folder / "a.edi", kbit_s=96)
        assert hub.committed == []
        await put(sshd, b"", folder / "a.edi.done")
        await eventually(lambda: hub.bodies == [content])
        await eventually(lambda: names(folder) == ["error"])


async def test_a_large_file_comes_whole(sshd: OpenSsh, folder: Path, hub: TellingHub) -> None:
    content = os.urandom(5_000_001)
    (folder / "big.bin").write_bytes(content)
    async with hub.runs(SftpSource(settings(sshd, folder), hub.new_context())):
        await eventually(lambda: hub.bodies == [content])


async def test_strange_names_hide_nobody_else(sshd: OpenSsh, folder: Path, hub: TellingHub) -> None:
    (folder / os.fsdecode(b"m\xfcller.csv")).write_text("latin-1")
    (folder / "a\nb.csv").write_text("two lines")
    (folder / "link.csv").symlink_to("/etc/hostname")
    os.mkfifo(folder / "pipe.csv")
    (folder / "müller.csv").write_text("fine")
    async with hub.runs(SftpSource(settings(sshd, folder), hub.new_context())):
        await eventually(lambda: hub.bodies == [b"fine"])
        await eventually(lambda: (folder / "archive" / "müller.csv").exists())
    refused = {said["file"] for said in hub.log.of("file_never_taken")}
    assert refused == {"m\\udcfcller.csv", "a\\nb.csv", "link.csv"}


async def test_the_archive_is_never_overwritten(sshd: OpenSsh, folder: Path, hub: TellingHub) -> None:
    (folder / "archive").mkdir()
    (folder / "archive" / "a.edi").write_text("old")
    (folder / "a.edi").write_text("new")
    async with hub.runs(SftpSource(settings(sshd, folder), hub.new_context())):
        await eventually(lambda: len(names(folder / "archive")) == 2)
    assert (folder / "archive" / "a.edi").read_text() == "old"
    other = next(name for name in names(folder / "archive") if name != "a.edi")
    assert (folder / "archive" / other).read_text() == "new"


async def test_deliveries_with_every_answer_to_a_taken_name(
    sshd: OpenSsh, folder: Path, hub: TellingHub
) -> None:
    (folder / "a.edi").write_text("theirs!")
    sink = SftpSink(settings(sshd, folder), hub.new_context())
    await sink.open()
    outcomes = await sink.send([_delivery("suffix"), _delivery("reject"), _delivery("replace")])
    again = await sink.lookup(_delivery("replace"))
    await sink.close()
    assert [type(outcome).__name__ for outcome in outcomes] == ["Accepted", "Failed", "Accepted"]
    assert (folder / "a.edi").read_bytes() == b"content"
    assert again == Accepted("a.edi")
    assert [name.rpartition(".")[2] for name in names(folder)] == ["edi", "edi"]


async def test_a_folder_below_the_login_folder(sshd: OpenSsh, hub: TellingHub) -> None:
    """`/~/` is where one is after the login; here, a folder that is surely not there."""
    source = SftpSource(settings(sshd, Path("/~/crossplant-no-such-folder")), hub.new_context())
    async with hub.runs(source):
        await eventually(lambda: hub.log.of("folder_not_reached"))
        [said] = hub.log.of("folder_not_reached")
        assert said["code"] == "not_found"
        assert "crossplant-no-such-folder is not there" in hub.context.health.detail


def _delivery(exists: str) -> Delivery:
    return Delivery(
        event=Event(id="1", source="/test", type="test"),
        payload=b"content",
        content_type="",
        key=exists,
        idempotency_key=exists,
        target={"name": "a.edi", "exists": exists},
    )
