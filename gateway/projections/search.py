"""Where events are by what they are called: follows the journal, off its commit path.

Its file may be lost: what is in it comes from the journal. Answers have everything that was
committed when the question was asked, or say that they cannot (``Behind``).
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

import apsw
import structlog

from canonical.errors import TransientError
from canonical.ports import Recorded
from canonical.spec import Log
from gateway.projections import questions
from gateway.projections.index import Index
from gateway.projections.questions import Filters, Hit
from router.journal import Journal, JournalCorrupt

__all__ = ["Behind", "Filters", "Hit", "Search"]

T = TypeVar("T")
EVERYTHING = Filters()
_BUFFERED = 5000
_BATCH = 2000
_WAIT_S = 2.0
_LINGER_S = 0.025
_RETRY_S = 1.0
_FORGET_EVERY_S = 60.0


class Behind(TransientError):
    """The index has not caught up with the journal in time; an answer might lack something."""

    code = "index_behind"


class Search:
    """The projection. ``open`` starts it, ``close`` ends it."""

    def __init__(self, folder: Path, log: Log | None = None) -> None:
        self._path = folder / "search.db"
        self._log: Log = log or structlog.get_logger()
        self._buffer: deque[Sequence[Recorded]] = deque()
        self._buffered = 0
        self._missed = True
        self._wake = asyncio.Event()
        self._advanced = asyncio.Event()
        self._asked = asyncio.Event()
        self._waiting = 0
        self._local = threading.local()
        self._readers: list[apsw.Connection] = []
        self._task: asyncio.Task[None] | None = None
        self._file: Index | None = None
        self._forgot_s = time.monotonic()

    # ── life ─────────────────────────────────────────────────────────────────────────────────────

    async def open(self, journal: Journal) -> None:
        """Opens or makes the file and begins to follow. A damaged or outdated one is made anew."""
        self._journal = journal
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="search-writer")
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="search-reader")
        self._file = await self._in_writer(self._open)
        if self._index.position > journal.head:  # the journal was restored from a backup
            await self._in_writer(self._renew)
        journal.subscribe(self._committed)
        self._task = asyncio.create_task(self._run(), name="search")

    def _open(self) -> Index:
        try:
            opened = Index(self._path)
            if not opened.stale:
                return opened
            opened.close()
        except apsw.Error as error:
            self._log.warning("search_made_anew", reason=str(error))
        return self._anew()

    def _anew(self) -> Index:
        for end in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + end).unlink(missing_ok=True)
        return Index(self._path)

    def _renew(self) -> None:
        self._index.close()
        self._file = self._anew()

    @property
    def _index(self) -> Index:
        assert self._file is not None  # open() comes first
        return self._file

    async def close(self) -> None:
        """Ends it; what it has not taken in, it takes in at the next start."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
            await self._in_writer(self._index.close)
            self._writer.shutdown()
            self._pool.shutdown()
            for connection in self._readers:
                connection.close()

    @property
    def position(self) -> int:
        """Up to here everything is in the index; 0 until it is open."""
        return 0 if self._file is None else self._file.position

    # ── following ────────────────────────────────────────────────────────────────────────────────

    def _committed(self, recorded: Sequence[Recorded]) -> None:
        """Called in the loop with each commit; beyond a bound it reads the journal instead."""
        if self._missed or self._buffered + len(recorded) > _BUFFERED:
            self._missed = True
        else:
            self._buffer.append(recorded)
            self._buffered += len(recorded)
        self._wake.set()

    async def _run(self) -> None:
        while True:
            try:
                self._wake.clear()
                await self._linger()
                taken, reached = await self._take()
                if reached > self._index.position:
                    await self._in_writer(partial(self._index.add, taken, reached))
                    self._advanced.set()
                    self._advanced = asyncio.Event()
                elif not self._missed and not self._buffer:
                    await self._idle()
            except Exception as error:  # noqa: BLE001 - a full disk, say: the next attempt may do better
                self._log.error("search_held_up", error=repr(error), retry_in_s=_RETRY_S)
                self._missed = True
                await asyncio.sleep(_RETRY_S)

    async def _linger(self) -> None:
        """Lets small commits gather, as long as nobody waits for them: a transaction each would cost much."""
        if self._missed or not self._buffer or self._buffered >= _BATCH:
            return
        try:
            async with asyncio.timeout(_LINGER_S):
                await self._asked.wait()
        except TimeoutError:
            return

    async def _take(self) -> tuple[Sequence[Recorded], int]:
        """What comes next, and how far it goes: from memory, or from the journal after falling behind."""
        if not self._missed:
            taken: list[Recorded] = []
            while self._buffer and len(taken) < _BATCH:
                taken += self._buffer.popleft()
            self._buffered -= len(taken)
            return taken, taken[-1].position if taken else self._index.position
        self._buffer.clear()
        self._buffered = 0
        head = self._journal.head
        if self._index.position >= head:
            self._missed = False  # nothing was committed since the line above
            return (), self._index.position
        try:
            return await self._journal.events(self._index.position, limit=_BATCH)
        except JournalCorrupt as error:
            self._log.error("journal_corrupt", reader="search", first=error.first, last=error.last)
            return (), error.last

    async def _idle(self) -> None:
        if time.monotonic() - self._forgot_s >= _FORGET_EVERY_S:
            await self.forget()
        try:
            async with asyncio.timeout(_FORGET_EVERY_S):
                await self._wake.wait()
        except TimeoutError:
            return

    async def forget(self) -> None:
        """Removes what the journal has removed."""
        self._forgot_s = time.monotonic()
        try:
            oldest, _ = await self._journal.events(0, limit=1)
        except JournalCorrupt:
            return
        before = oldest[0].position if oldest else self._index.position + 1
        more = True
        while more:
            more = await self._in_writer(partial(self._index.forget, before))

    async def _in_writer(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._writer, work)

    # ── asking ───────────────────────────────────────────────────────────────────────────────────

    async def caught_up(self, within_s: float = _WAIT_S) -> None:
        """Returns once everything that is committed now is in the index. Raises Behind."""
        head = self._journal.head
        if self._index.position >= head:
            return
        self._waiting += 1
        self._asked.set()
        try:
            async with asyncio.timeout(within_s):
                while self._index.position < head:
                    await self._advanced.wait()
        except TimeoutError:
            raise Behind(
                f"the index is at position {self._index.position} of {head}: ask again in a moment",
                retry_after_s=within_s,
            ) from None
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._asked.clear()

    async def page(self, filters: Filters, *, after: int = 0, limit: int = 100) -> list[int]:
        """Positions after one, ascending. Raises Behind."""
        return await self._read(lambda connection: questions.page(connection, filters, after, limit))

    async def find(self, text: str, *, seen: Filters = EVERYTHING, limit: int = 100) -> list[Hit]:
        """By position, event id or business key, newest first, of what may be seen. Raises Behind."""
        return await self._read(lambda connection: questions.find(connection, text, seen, limit))

    async def lookup(self, source: str, identifier: str) -> int | None:
        """The position of the event with that identity. Raises Behind."""
        return await self._read(lambda connection: questions.lookup(connection, source, identifier))

    async def identified(self, identifier: str, *, seen: Filters = EVERYTHING, limit: int = 100) -> list[Hit]:
        """The events with that id, of whatever source, newest first. Raises Behind."""
        return await self._read(lambda connection: questions.identified(connection, identifier, seen, limit))

    async def effects(self, identifier: str, *, seen: Filters = EVERYTHING, limit: int = 100) -> list[Hit]:
        """The events that an event caused. Raises Behind."""
        return await self._read(lambda connection: questions.effects(connection, identifier, seen, limit))

    async def _read(self, ask: Callable[[apsw.Connection], T]) -> T:
        await self.caught_up()
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._ask, ask)

    def _ask(self, ask: Callable[[apsw.Connection], T]) -> T:
        connection: apsw.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = questions.reader(self._path)
            self._readers.append(connection)
        connection.execute("BEGIN")
        try:
            return ask(connection)
        finally:
            connection.execute("ROLLBACK")
