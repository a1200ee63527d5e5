"""Files of a folder in: real files, real events of the kernel, and their loss."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from watchdog.observers.api import BaseObserver, EventEmitter
from watchdog.observers.inotify_c import InotifyConstants, InotifyEvent, InotifyFD, WatchDescriptor

from adapters.files.config import FilesConfig
from adapters.files.source import FilesSource
from canonical.ports import Outcome
from tests.canonical.exchange.shelf import TellingHub
from tests.waiting import eventually

RENAMED = {"kind": "renamed"}
NEVER = "100s"


def source(folder: Path, hub: TellingHub, **options: Any) -> FilesSource:
    pick_up = {"every": NEVER, "ready": RENAMED, **options.pop("pick_up", {})}
    settings = FilesConfig.model_validate(
        {"path": str(folder), "max_backoff": "200ms", "pick_up": pick_up, **options}
    )
    return FilesSource(settings, hub.new_context())


def put(folder: Path, name: str, content: bytes = b"content") -> None:
    """As a sender that agreed to rename does it."""
    part = folder / f"{name}.part"
    part.write_bytes(content)
    part.rename(folder / name)


def gone(folder: Path, how: str = "removed") -> None:
    if how == "removed":
        shutil.rmtree(folder)
    else:
        folder.rename(folder.with_name("elsewhere"))


def back(folder: Path) -> None:
    assert not folder.exists()
    folder.mkdir()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


@pytest.fixture
def observers(monkeypatch: pytest.MonkeyPatch) -> list[BaseObserver]:
    """The observers that were started, the newest last."""
    started: list[BaseObserver] = []
    start = BaseObserver.start

    def noted(observer: BaseObserver) -> None:
        started.append(observer)
        start(observer)

    monkeypatch.setattr(BaseObserver, "start", noted)
    return started


def watched(observers: list[BaseObserver]) -> bool:
    return bool(observers) and all(each.is_alive() for each in observers[-1].emitters)


def moved_in(folder: Path) -> None:
    put(folder, "a.txt")


def linked_in(folder: Path) -> None:
    other = folder.with_name("other.txt")
    other.write_bytes(b"content")
    os.link(other, folder / "a.txt")


def written(folder: Path) -> None:
    (folder / "a.txt").write_bytes(b"content")


def moved_over(folder: Path) -> None:
    other = folder.with_name("other.txt")
    other.write_bytes(b"content")
    other.rename(folder / "a.txt")


@pytest.mark.parametrize("arrives", [moved_in, linked_in, written, moved_over])
async def test_the_kernel_tells_of_a_new_file(
    folder: Path, hub: TellingHub, observers: list[BaseObserver], arrives: Callable[[Path], None]
) -> None:
    """The next regular look would be too late for this test."""
    async with hub.runs(source(folder, hub)):
        await eventually(lambda: watched(observers))
        arrives(folder)
        await eventually(lambda: hub.bodies == [b"content"])
        await eventually(lambda: names(folder / "archive") == ["a.txt"])


async def test_files_that_are_there_already_need_no_event(folder: Path, hub: TellingHub) -> None:
    put(folder, "a.txt")
    async with hub.runs(source(folder, hub)):
        await eventually(lambda: hub.bodies == [b"content"])


async def test_a_slow_writer_is_never_taken_by_half(folder: Path, hub: TellingHub) -> None:
    stable = {"every": "50ms", "ready": {"kind": "stable", "checks": 2, "interval": "300ms"}}
    parts = [os.urandom(1_000) for _ in range(15)]
    async with hub.runs(source(folder, hub, pick_up=stable)):
        await eventually(lambda: hub.context.health.connected)
        with (folder / "a.bin").open("wb", buffering=0) as file:
            for part in parts:
                file.write(part)
                await asyncio.sleep(0.1)
            assert hub.committed == []
        await eventually(lambda: hub.bodies == [b"".join(parts)])


async def test_without_a_watch_the_regular_look_finds_it(
    folder: Path, hub: TellingHub, observers: list[BaseObserver]
) -> None:
    async with hub.runs(source(folder, hub, watch=False, pick_up={"every": "100ms"})):
        await eventually(lambda: hub.context.health.connected)
        put(folder, "a.txt")
        await eventually(lambda: hub.bodies == [b"content"])
    assert observers == []


async def test_lost_events_delay_but_lose_nothing(
    folder: Path, hub: TellingHub, observers: list[BaseObserver], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel's queue overflows: watchdog drops what it cannot know, the regular look finds it."""
    async with hub.runs(source(folder, hub, pick_up={"every": "300ms"})):
        await eventually(lambda: watched(observers))
        reader = InotifyFD.get_instance()
        overflow = InotifyEvent(WatchDescriptor(-1), InotifyConstants.IN_Q_OVERFLOW, 0, b"")
        monkeypatch.setattr(EventEmitter, "queue_event", lambda emitter, event: None)
        for number in range(50):
            put(folder, f"{number:02}.txt", str(number).encode())
        reader.handle_event(overflow)
        await eventually(lambda: len(hub.bodies) == 50)
    assert len(set(hub.ids)) == 50


async def test_a_fault_in_the_handler_does_not_end_the_observer(
    folder: Path, hub: TellingHub, observers: list[BaseObserver]
) -> None:
    running = source(folder, hub)
    async with hub.runs(running):
        await eventually(lambda: watched(observers))
        loop = asyncio.get_running_loop()
        running._watch.bind(_Failing(loop))  # type: ignore[union-attr, arg-type]
        put(folder, "a.txt")
        await eventually(lambda: _Failing.called)
        running._watch._told = False  # type: ignore[union-attr]
        running._watch.bind(loop)  # type: ignore[union-attr]
        put(folder, "b.txt")
        await eventually(lambda: len(hub.bodies) == 2)
        assert watched(observers)


class _Failing:
    called = False

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop

    def call_soon_threadsafe(self, *_: object) -> None:
        _Failing.called = True
        raise ZeroDivisionError


async def test_a_dead_observer_is_replaced(
    folder: Path, hub: TellingHub, observers: list[BaseObserver]
) -> None:
    async with hub.runs(source(folder, hub, pick_up={"every": "100ms"})):
        await eventually(lambda: watched(observers))
        observers[0].stop()
        await eventually(lambda: len(observers) == 2 and watched(observers))


@pytest.mark.parametrize("how", ["removed", "moved away"])
async def test_a_folder_that_goes_and_comes_back_is_watched_again(
    folder: Path, hub: TellingHub, observers: list[BaseObserver], how: str
) -> None:
    async with hub.runs(source(folder, hub, pick_up={"every": "200ms"})):
        await eventually(lambda: watched(observers))
        gone(folder, how)
        await eventually(lambda: hub.log.of("folder_not_reached"))
        assert hub.log.of("folder_not_reached")[0]["code"] == "not_found"
        back(folder)
        await eventually(lambda: len(observers) >= 2 and watched(observers))
        put(folder, "a.txt")
        await eventually(lambda: hub.bodies == [b"content"])
        await eventually(lambda: names(folder / "archive") == ["a.txt"])


async def test_a_folder_that_was_replaced_between_two_looks_is_watched_again(
    folder: Path, hub: TellingHub, observers: list[BaseObserver]
) -> None:
    async with hub.runs(source(folder, hub, pick_up={"every": "300ms"})):
        await eventually(lambda: watched(observers))
        gone(folder)
        back(folder)
        await eventually(lambda: len(observers) >= 2 and watched(observers))


async def test_an_absent_folder_is_awaited_and_not_made(folder: Path, hub: TellingHub) -> None:
    gone(folder)
    async with hub.runs(source(folder, hub)):
        await eventually(lambda: hub.log.of("folder_not_reached"))
        back(folder)
        put(folder, "a.txt")
        await eventually(lambda: hub.bodies == [b"content"])


async def test_a_machine_without_watches_left_is_only_slower(
    folder: Path, hub: TellingHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "inotify watch limit reached")

    monkeypatch.setattr(BaseObserver, "schedule", full)
    async with hub.runs(source(folder, hub, pick_up={"every": "100ms"})):
        await eventually(lambda: hub.context.health.connected)
        put(folder, "a.txt")
        await eventually(lambda: hub.bodies == [b"content"])
    assert len(hub.log.of("folder_not_watched")) == 1


async def test_links_pipes_and_strange_names_are_never_read(folder: Path, hub: TellingHub) -> None:
    (folder / "link.txt").symlink_to("/etc/hostname")
    os.mkfifo(folder / "pipe.txt")
    (folder / "a\x07b.txt").write_text("bell")
    (folder / os.fsdecode(b"m\xfcller.txt")).write_text("latin-1")
    put(folder, "fine.txt")
    async with hub.runs(source(folder, hub)):
        await eventually(lambda: names(folder / "archive") == ["fine.txt"])
    assert hub.bodies == [b"content"]
    refused = {said["file"] for said in hub.log.of("file_never_taken")}
    assert refused == {"link.txt", "a\\x07b.txt", "m\\udcfcller.txt"}


async def test_refused_files_have_their_reason_beside_them(folder: Path, hub: TellingHub) -> None:
    put(folder, "bad.txt", b"rubbish")
    put(folder, "big.txt", b"x" * 2_000)
    hub.judge = lambda body: Outcome(status="invalid", errors=(("/line/3", "no unit"),))
    async with hub.runs(source(folder, hub, pick_up={"max_size": "1KB"})):
        await eventually(lambda: len(names(folder / "error")) == 4)
    assert names(folder / "error") == ["bad.txt", "bad.txt.reason.txt", "big.txt", "big.txt.reason.txt"]
    assert "/line/3: no unit" in (folder / "error" / "bad.txt.reason.txt").read_text()


async def test_many_files_come_once_each_over_several_lives(folder: Path, hub: TellingHub) -> None:
    """The hub ends again and again, at whatever point it has come to."""
    for number in range(200):
        put(folder, f"{number:03}.txt", str(number).encode())
    life = 0
    while names(folder) != ["archive", "error"]:
        life += 1
        running = source(folder, hub)
        await running.open()
        async with hub.takes_from(running):
            await eventually(lambda: len(hub.batches) >= 1 or names(folder) == ["archive", "error"])
            hub.batches.clear()
            await asyncio.sleep(0.005 * life)
            assert running._pickup._task is not None
            running._pickup._task.cancel()  # as abruptly as this process can
            await asyncio.wait([running._pickup._task])
        await running.close()
    by_id = dict(zip(hub.ids, hub.bodies, strict=True))
    assert sorted(by_id.values(), key=int) == [str(number).encode() for number in range(200)]
    assert len(names(folder / "archive")) == 200
