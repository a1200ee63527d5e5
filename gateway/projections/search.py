"""Where events are by what they are called: follows the journal, off its commit path.

Its file may be lost: what is in it comes from the journal. Answers have everything that was
committed when the question was asked, or say that they cannot (``Behind``).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

import apsw
import structlog

from canonical.ports import Recorded
from canonical.spec import Log
from gateway.projections import questions
from gateway.projections.following import WAIT_S, Behind, Follower
from gateway.projections.index import Index
from gateway.projections.questions import Filters, Hit
from router.journal import Journal

__all__ = ["Behind", "Filters", "Hit", "Search"]

T = TypeVar("T")
EVERYTHING = Filters()
_FORGET_EVERY_S = 60.0
_BATCH = 4000


class Search:
    """The projection. ``open`` starts it, ``close`` ends it."""

    def __init__(self, folder: Path, log: Log | None = None) -> None:
        self._path = folder / "search.db"
        self._log: Log = log or structlog.get_logger()
        self._follower = Follower(
            "search", self, self._log, batch=_BATCH, idle=self.forget, idle_every_s=_FORGET_EVERY_S
        )
        self._local = threading.local()
        self._readers: list[apsw.Connection] = []
        self._file: Index | None = None

    # ── life ─────────────────────────────────────────────────────────────────────────────────────

    async def open(self, journal: Journal) -> None:
        """Opens or makes the file and begins to follow. A damaged or outdated one is made anew."""
        self._journal = journal
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="search-writer")
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="search-reader")
        self._file = await self._in_writer(self._open)
        if self._index.position > journal.head:  # the journal was restored from a backup
            await self._in_writer(self._renew)
        self._follower.start(journal)

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
        await self._follower.stop()
        if self._file is not None:
            await self._in_writer(self._file.close)
            self._file = None
            self._writer.shutdown()
            self._pool.shutdown()
            for connection in self._readers:
                connection.close()

    @property
    def position(self) -> int:
        """Up to here everything is in the index; 0 until it is open."""
        return 0 if self._file is None else self._file.position

    # ── following ────────────────────────────────────────────────────────────────────────────────

    async def add(self, recorded: Sequence[Recorded], reached: int) -> None:
        """For the follower."""
        await self._in_writer(partial(self._index.add, recorded, reached))

    async def forget(self) -> None:
        """Removes what the journal has removed."""
        oldest, _ = await self._journal.events(0, limit=1)
        before = oldest[0].position if oldest else self._index.position + 1
        more = True
        while more:
            more = await self._in_writer(partial(self._index.forget, before))

    async def _in_writer(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._writer, work)

    # ── asking ───────────────────────────────────────────────────────────────────────────────────

    async def caught_up(self, within_s: float = WAIT_S) -> None:
        """Returns once everything that is committed now is in the index. Raises Behind."""
        await self._follower.caught_up(within_s)

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
