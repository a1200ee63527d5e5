"""A hint from the operating system that something changed in a folder; never more than a hint.

Events get lost when there are too many, a removed folder's watch stays silent for good, and network
shares have none. So an event only sets a flag, and the watch is looked after at every scan.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

from watchdog.events import (
    DirDeletedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

from canonical.spec import Log

__all__ = ["Watch"]

_KINDS: list[type[FileSystemEvent]] = [FileCreatedEvent, FileClosedEvent, FileMovedEvent, DirDeletedEvent]
_END_S = 2.0


class _Flag(FileSystemEventHandler):
    """Tells the event loop once, however many events come until it has heard."""

    def __init__(self, tell: Callable[[], None]) -> None:
        self._tell = tell

    def dispatch(self, event: FileSystemEvent) -> None:
        """Does nothing that could fail: an exception here would end the observer."""
        with contextlib.suppress(Exception):
            self._tell()


class Watch:
    """Keeps a folder watched; ``changed`` is called in the event loop's thread."""

    def __init__(self, changed: Callable[[], None], adapter: str, log: Log) -> None:
        self._changed, self._adapter, self._log = changed, adapter, log
        self._loop: asyncio.AbstractEventLoop | None = None
        self._told = False
        self._observer: BaseObserver | None = None
        self._watched: tuple[int, int] | None = None
        self._complained = False

    def bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """Whose thread ``changed`` is called in."""
        self._loop = loop

    def keep(self, folder: Path) -> None:
        """Watches the folder, anew when it is another one under the same path. Blocks; raises nothing."""
        try:
            found = folder.stat()
            if self._watched == (found.st_dev, found.st_ino) and self._alive():
                return
            self.drop()
            self._start(folder)
            self._watched = (found.st_dev, found.st_ino)
            self._complained = False
        except OSError as error:  # too many watches or instances, or the folder has just gone
            self.drop()
            if not self._complained:
                self._complained = True
                self._log.warning(
                    "folder_not_watched",
                    adapter=self._adapter,
                    folder=str(folder),
                    reason=str(error),
                    effect="new files are found at the next regular look",
                )

    def drop(self) -> None:
        """Ends the watch; safe to call twice. Blocks briefly."""
        observer, self._observer, self._watched = self._observer, None, None
        if observer is not None:
            observer.stop()
            with contextlib.suppress(RuntimeError):  # it never started
                observer.join(_END_S)

    def _start(self, folder: Path) -> None:
        self._observer = Observer()
        self._observer.schedule(_Flag(self._tell), folder, recursive=False, event_filter=_KINDS)
        self._observer.start()

    def _alive(self) -> bool:
        observer = self._observer
        return (
            observer is not None
            and observer.is_alive()
            and all(emitter.is_alive() for emitter in observer.emitters)
        )

    def _tell(self) -> None:
        if self._loop is not None and not self._told:
            self._told = True
            self._loop.call_soon_threadsafe(self._hear)

    def _hear(self) -> None:
        self._told = False
        self._changed()
