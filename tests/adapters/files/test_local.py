"""A folder of this machine as ``Folder`` promises it, and what file systems answer."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from adapters.files.config import FilesConfig
from adapters.files.local import LocalFolder
from canonical.errors import CrossplantError, TransientError
from canonical.exchange.folder import Denied, Exists, NotFound

SHARED_MEMORY = Path("/dev/shm")


@pytest.fixture
async def local(folder: Path) -> AsyncIterator[LocalFolder]:
    local = LocalFolder(folder, "test", stall_s=5.0, makes=("archive", "a/b"))
    yield local
    await local.close()


async def test_entries_say_what_is_there_and_make_folders(local: LocalFolder, folder: Path) -> None:
    (folder / "a.txt").write_bytes(b"abc")
    (folder / "link").symlink_to("a.txt")
    found = {entry.name: entry for entry in await local.entries()}
    assert {name: entry.kind for name, entry in found.items()} == {"a.txt": "file", "link": "link"}
    assert found["a.txt"].size_bytes == 3
    assert found["a.txt"].mtime_ns == (folder / "a.txt").stat().st_mtime_ns
    assert (folder / "a" / "b").is_dir()


async def test_a_missing_folder_is_named_and_not_the_file_that_was_to_be_in_it(
    local: LocalFolder, folder: Path
) -> None:
    with pytest.raises(NotFound) as refused:
        await local.write("out/orders/.a.part", b"abc")
    assert refused.value.message == f"{folder / 'out'} is not there: make it, or correct `path`"
    (folder / "out").write_bytes(b"a file where a folder is wanted")
    with pytest.raises(NotFound, match=r"out is not there"):
        await local.write("out/.a.part", b"abc")


async def test_a_read_is_bounded(local: LocalFolder, folder: Path) -> None:
    (folder / "a.txt").write_bytes(b"abcdef")
    assert await local.read("a.txt", 3) == b"abcd"


@pytest.mark.parametrize("links", [True, False])
async def test_a_move_never_overwrites(
    local: LocalFolder, folder: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    """Also on file systems without hard links."""

    def refused(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    if not links:
        monkeypatch.setattr(os, "link", refused)
    (folder / "a.txt").write_bytes(b"A")
    (folder / "b.txt").write_bytes(b"B")
    with pytest.raises(Exists):
        await local.move("a.txt", "b.txt")
    assert (folder / "b.txt").read_bytes() == b"B"
    await local.move("a.txt", "c.txt")
    assert (folder / "c.txt").read_bytes() == b"A"
    assert not (folder / "a.txt").exists()
    await local.move("b.txt", "c.txt", replace=True)
    assert (folder / "c.txt").read_bytes() == b"B"


async def test_links_and_pipes_are_not_read(local: LocalFolder, folder: Path) -> None:
    (folder / "link").symlink_to("/etc/hostname")
    os.mkfifo(folder / "pipe")
    for name in ("link", "pipe"):
        with pytest.raises(CrossplantError) as refused:
            await local.read(name, 100)
        assert refused.value.code == "no_file"


async def test_a_link_is_not_written_through(local: LocalFolder, folder: Path) -> None:
    victim = folder.with_name("victim")
    victim.write_bytes(b"safe")
    (folder / "a.part").symlink_to(victim)
    with pytest.raises(CrossplantError):
        await local.write("a.part", b"overwritten")
    assert victim.read_bytes() == b"safe"


async def test_what_is_not_there(local: LocalFolder, folder: Path) -> None:
    assert await local.stat("a.txt") is None
    await local.remove("a.txt")
    for call in (local.read("a.txt", 1), local.move("a.txt", "b.txt"), local.write("no/such", b"")):
        with pytest.raises(NotFound):
            await call
    shutil.rmtree(folder)
    with pytest.raises(NotFound, match="make it, or correct `path`"):
        await local.entries()


@pytest.mark.parametrize(
    ("number", "kind", "code"),
    [
        (errno.EACCES, Denied, "permission_denied"),
        (errno.EROFS, Denied, "permission_denied"),
        (errno.ENOSPC, TransientError, "disk_full"),
        (errno.ESTALE, TransientError, "io_error"),
        (errno.EIO, TransientError, "io_error"),
    ],
)
async def test_answers_of_the_file_system(
    local: LocalFolder, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[CrossplantError], code: str
) -> None:
    def fail(*_: object, **__: object) -> Any:
        raise OSError(number, "as the kernel says")

    monkeypatch.setattr("adapters.files.local.os.scandir", fail)
    with pytest.raises(kind) as raised:
        await local.entries()
    assert raised.value.code == code


def another_file_system(folder: Path) -> bool:
    return SHARED_MEMORY.is_dir() and folder.stat().st_dev != SHARED_MEMORY.stat().st_dev


async def test_an_archive_on_another_file_system_is_explained(local: LocalFolder, folder: Path) -> None:
    (folder / "a.txt").write_bytes(b"A")
    if not another_file_system(folder):
        pytest.skip("not run: this machine has no second file system")
    with pytest.raises(CrossplantError, match="another file system"):
        await local.move("a.txt", str(SHARED_MEMORY / f"crossplant-test-{os.getpid()}"))
    assert (folder / "a.txt").exists()


async def test_a_share_that_hangs_is_given_up_and_not_piled_upon(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release, calls = threading.Event(), 0

    def hang(*_: object) -> Any:
        nonlocal calls
        calls += 1
        release.wait(10)
        raise OSError(errno.EIO, "at last")

    local = LocalFolder(folder, "hangs", stall_s=0.1)
    monkeypatch.setattr("adapters.files.local.os.scandir", hang)
    for _ in range(3):
        with pytest.raises(TransientError) as raised:
            await local.entries()
        assert (raised.value.code, raised.value.outage) == ("timeout", True)
    assert calls == 1
    release.set()
    monkeypatch.undo()
    for _ in range(100):
        try:
            assert await local.entries() == []
            break
        except TransientError:
            await asyncio.sleep(0.01)
    await local.close()


def test_the_path_is_absolute() -> None:
    with pytest.raises(ValueError, match="relative"):
        FilesConfig.model_validate({"path": "in"})
