"""The normalised services as a running projection: follows the journal, answers questions, survives loss.

The file is durable state: it holds what events said that the journal no longer has. So copies of it are
taken (``snapshots``), and the journal's retention waits for them (``keep_after``). A file that is lost,
damaged or ahead of the journal is made anew: newest good copy, then the journal from there.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import apsw
import structlog

from canonical.ports import Recorded
from canonical.spec import Log
from gateway.projections.following import WAIT_S, Behind, Follower
from gateway.projections.services.file import ServiceFile
from gateway.projections.services.registry import SERVICES
from gateway.projections.services.service import Service
from gateway.projections.services.snapshots import Snapshots, remove
from gateway.projections.services.taking import Taking
from router.journal import Journal, StorageError

__all__ = ["Behind", "Services"]

T = TypeVar("T")
_LINGER_S: Final = 1.0
"""Of a second's telemetry each tag is written once; a question is not kept waiting by it."""
_BATCH: Final = 8000
_FIRST_SNAPSHOT_S: Final = 30.0
_SNAPSHOT_EVERY_S: Final = 900.0
_DAMAGED = (apsw.CorruptError, apsw.NotADBError)


class Services:
    """The projection. ``open`` starts it, ``close`` ends it."""

    def __init__(
        self,
        folder: Path,
        log: Log | None = None,
        *,
        services: Sequence[Service] = SERVICES,
        snapshot_every_s: float = _SNAPSHOT_EVERY_S,
    ) -> None:
        self.services = {service.name: service for service in services}
        self._path = folder / "services.db"
        self._log: Log = log or structlog.get_logger()
        self._snapshots = Snapshots(folder)
        self._file: ServiceFile | None = None
        self._horizon = self._newest_copy = 0
        self._generation = 0
        self._local = threading.local()
        self._readers: list[apsw.Connection] = []
        self._follower = Follower(
            "services",
            self,
            self._log,
            types=Taking(services).types,
            linger_s=_LINGER_S,
            batch=_BATCH,
        )
        self._snapshot_every_s = snapshot_every_s
        self.told: Callable[[Collection[tuple[str, str]]], None] = lambda _: None
        """Hears, in the loop, of what is in anew: (service, identity)."""
        self._copying = asyncio.Lock()
        self._copies: asyncio.Task[None] | None = None

    # ── life ─────────────────────────────────────────────────────────────────────────────────────

    async def open(self, journal: Journal) -> None:
        """Opens or makes the file, and begins to follow."""
        self._journal = journal
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="services-writer")
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="services-reader")
        await self._in_writer(self._open)
        await self._tell_gap()
        self._follower.start(journal)
        self._copies = asyncio.create_task(self._copy_in_time(), name="services-snapshots")

    def _open(self) -> None:
        try:
            if self._path.exists():
                self._file = ServiceFile(self._path, tuple(self.services.values()))
                if self._file.position <= self._journal.head:
                    self._horizon = self._snapshots.horizon()
                    return
                self._file.close()
                reason = f"it is at position {self._file.position}, the journal ends at {self._journal.head}"
            else:
                reason = "there is none"
        except (apsw.Error, ValueError) as error:
            reason = str(error)
        self._anew(reason)

    def _anew(self, reason: str) -> None:
        """Newest good copy, else an empty file."""
        refused: Callable[[Path, str], None] = lambda path, why: self._log.warning(  # noqa: E731
            "services_snapshot_refused", file=path.name, reason=why
        )
        found = self._snapshots.restore(self._path, self._journal.head, refused)
        try:
            self._file = ServiceFile(self._path, tuple(self.services.values()))
        except apsw.Error as error:
            self._log.error("services_snapshot_unusable", position=found, reason=str(error))
            remove(self._path)
            found = None
            self._file = ServiceFile(self._path, tuple(self.services.values()))
        self._generation += 1
        self._horizon = self._snapshots.horizon()
        if found is not None or self._journal.head:
            self._log.warning("services_made_anew", reason=reason, snapshot=found, head=self._journal.head)

    async def _tell_gap(self) -> None:
        """Says so when the journal no longer has what comes next: state older than that is not known."""
        try:
            oldest, _ = await self._journal.events(0, limit=1)
        except StorageError:
            return
        first = oldest[0].position if oldest else self._journal.head + 1
        if self.position + 1 < first and not self._rereads:
            self._log.error("services_history_missing", after=self.position, before=first)

    @property
    def _rereads(self) -> bool:
        """Whether it is at the beginning only because another version made the file."""
        return self._file is not None and self._file.taken_over

    async def close(self) -> None:
        """Ends it; what it has not taken in, it takes in at the next start."""
        await self._follower.stop()
        if self._copies is not None:
            self._copies.cancel()
            await asyncio.gather(self._copies, return_exceptions=True)
            self._copies = None
        if self._file is not None:
            await self._in_writer(self._file.close)
            self._file = None
            self._writer.shutdown()
            self._pool.shutdown()
            for connection in self._readers:
                connection.close()

    @property
    def position(self) -> int:
        """Up to here everything is in; 0 until it is open."""
        return 0 if self._file is None else self._file.position

    @property
    def keep_after(self) -> int:
        """The journal is to keep what comes after: from there on it can be made anew."""
        return min(self._horizon, self.position)

    @property
    def newest_copy(self) -> int:
        """The position of the newest copy; 0 while there is none."""
        return self._newest_copy

    @property
    def behind(self) -> int:
        """How many events of the journal are not in yet."""
        return self._follower.behind

    # ── following ────────────────────────────────────────────────────────────────────────────────

    async def add(self, recorded: Sequence[Recorded], reached: int) -> None:
        """For the follower."""
        touched = await self._in_writer(partial(self._add, recorded, reached))
        self.told(touched)

    def _add(self, recorded: Sequence[Recorded], reached: int) -> Collection[tuple[str, str]]:
        assert self._file is not None
        try:
            return self._file.add(recorded, reached)
        except _DAMAGED as error:
            self._renew(self._generation, str(error))
            raise

    async def snapshot(self) -> int:
        """Takes a copy now; its position. Raises apsw.Error or OSError."""
        async with self._copying:
            loop = asyncio.get_running_loop()
            position = await loop.run_in_executor(self._pool, self._snapshots.take, self._path)
            self._horizon, self._newest_copy = self._snapshots.horizon(), position
        return position

    async def _copy_in_time(self) -> None:
        """A copy soon after the start, then one every so often while there is something new."""
        await asyncio.sleep(min(_FIRST_SNAPSHOT_S, self._snapshot_every_s))
        copied = -1
        while True:
            if self.position > copied:
                try:
                    copied = await self.snapshot()
                except (apsw.Error, OSError) as error:
                    self._log.error("services_snapshot_failed", error=repr(error))
            await asyncio.sleep(self._snapshot_every_s)

    async def _in_writer(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._writer, work)

    # ── asking ───────────────────────────────────────────────────────────────────────────────────

    async def caught_up(self, within_s: float = WAIT_S) -> None:
        """Returns once everything that is committed now is in. Raises Behind."""
        await self._follower.caught_up(within_s)

    async def read(self, ask: Callable[[apsw.Connection], T]) -> T:
        """Asks a consistent state of the file, in a thread. Raises Behind when it has to be made anew."""
        generation = self._generation
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, self._ask, ask)
        except _DAMAGED as error:
            await self._in_writer(partial(self._renew, generation, str(error)))
            self._follower.again()
            raise Behind(
                "the services' file was damaged and is made anew: ask again in a moment", retry_after_s=5
            ) from error

    def _renew(self, generation: int, reason: str) -> None:
        """Makes it anew, unless somebody else just did."""
        if self._file is not None and self._generation == generation:
            self._file.close()
            self._anew(reason)

    def _ask(self, ask: Callable[[apsw.Connection], T]) -> T:
        known: tuple[int, apsw.Connection] | None = getattr(self._local, "connection", None)
        if known is None or known[0] != self._generation:  # another file is in its place
            connection = apsw.Connection(str(self._path), flags=apsw.SQLITE_OPEN_READONLY)
            connection.set_busy_timeout(5000)
            known = self._local.connection = (self._generation, connection)
            self._readers.append(connection)
        connection = known[1]
        connection.execute("BEGIN")
        try:
            return ask(connection)
        finally:
            connection.execute("ROLLBACK")
