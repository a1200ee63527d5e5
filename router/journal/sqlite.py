"""The embedded journal and store: one SQLite file, WAL, synchronous=FULL, one writer."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import threading
import time
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import apsw
import msgspec

from canonical.errors import ConfigError
from canonical.event import Event
from canonical.ports import Outcome, RawMessage, Recorded, Transaction
from router.journal import Header, IngestBatch, JournalCorrupt, Settlement, StorageError, quarantine, reading
from router.journal.bundle import pack
from router.journal.checkpoints import Checkpoints
from router.journal.claimcheck import ClaimCorrupt, Claims, Kept
from router.journal.identities import Identities
from router.journal.ledger import Hearing
from router.journal.positions import following
from router.journal.quarantine import Damage
from router.journal.recent import Recent
from router.journal.retention import Retention, Swept
from router.journal.schema import prepare
from router.journal.taking import take
from router.journal.writer import Statements, Writer
from router.spans import reach

__all__ = ["SQLiteJournal"]

T = TypeVar("T")
_SETTLE_AFTER_S = 0.05
_BREATH_S = 0.02
"""Between two sweeps, for commits without one."""


class _Work:
    """A caller's statements (Store.write)."""

    def __init__(self, work: Callable[[Transaction], Any]) -> None:
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.run = work


class _Append:
    """One ingest batch; ``new`` is what it added, in order, once it has run."""

    def __init__(self, batch: IngestBatch, journal: SQLiteJournal) -> None:
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._batch, self._journal = batch, journal

    def run(self, transaction: Transaction) -> Sequence[Outcome]:
        try:
            return self._journal._append(self._batch, transaction)
        except Exception:
            self._journal._identities.undo()  # what it added is undone with it
            raise


class SQLiteJournal:
    """See ``router.journal.Journal``. Open with ``open``; the folder belongs to one process."""

    def __init__(
        self,
        folder: Path,
        *,
        tables: Sequence[str] = (),
        window_s: float = 7 * 86400.0,
        retention: Retention | None = None,
        claim_over_bytes: int = 1_000_000,
        damaged: Callable[[Transaction, Damage], object] = lambda _transaction, _damage: None,
    ) -> None:
        """``tables``: CREATE statements of those who use the store. ``window_s``: how long identities
        are remembered at least. ``claim_over_bytes``: raw bodies that are larger lie beside the journal.
        ``damaged`` records a bundle that the disk changed, in the transaction that
        takes it out of the readers' way."""
        self.path = folder / "journal.db"
        self._folder, self._tables, self._window_s = folder, tables, window_s
        self._retention, self._damaged = retention or Retention(), damaged
        self._listeners: list[Callable[[Sequence[Recorded]], None]] = []
        self._settlements: dict[str, list[Settlement]] = {}
        self._taken: dict[str, list[Settlement]] = {}
        self._settling = threading.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._new: list[Event] = []
        self._raws: list[RawMessage] = []
        self._claims = Claims(folder, claim_over_bytes)
        self._head = 0
        self._recent = Recent()
        self._undone = False
        self._grown_bytes = 0
        self._sweeping = asyncio.Lock()
        self._sweep: asyncio.Task[None] | None = None
        self._room = asyncio.Event()
        self.versions = (0, 0)
        """Of the schema: (what it was when it was opened, what it is)."""

    # ── opening and closing ──────────────────────────────────────────────────────────────────────

    async def open(self) -> None:
        """Locks the folder, makes the tables or brings them up to date, starts the writer.

        Raises ConfigError when another hub holds the folder, a newer version wrote it, or the disk fails.
        """
        try:
            self._lock = _lock(self._folder)
        except OSError as error:
            raise _unusable(self._folder, error) from error
        try:
            self._claims.open()
            self._connection = apsw.Connection(str(self.path))
            self.path.chmod(0o600)
            self._connection.set_busy_timeout(5000)
            self.versions = prepare(self._connection, self._tables)
            self._identities = Identities(self._connection, self._window_s)
            self._next = following(Statements(self._connection))
        except BaseException as error:
            os.close(self._lock)
            if isinstance(error, apsw.Error | OSError):
                raise _unusable(self.path, error) from error
            raise
        self._head = self._next - 1
        self._loop = asyncio.get_running_loop()
        self._room.set()
        self._snapshots = reading.Snapshots(self.path)
        self._checkpoints = Checkpoints(self.path, self._connection)
        self._writer = Writer(
            self._connection,
            begin=self._begin,
            finish=self._finish,
            rolled_back=self._rolled_back,
            committed=self._committed,
            between=self._checkpoints.between_transactions,
        )
        self._checkpoints.start()
        self._writer.start()
        if await self._sweep_once():
            self._sweep_soon()

    async def close(self) -> None:
        """Commits what is queued and settled, and gives the folder back."""
        if self._timer:
            self._timer.cancel()
        await self._writer.stop()
        if self._sweep is not None:
            await self._sweep
        await asyncio.to_thread(self._checkpoints.close)
        self._snapshots.close()
        self._connection.close()
        os.close(self._lock)

    # ── writing ──────────────────────────────────────────────────────────────────────────────────

    @property
    def head(self) -> int:
        return self._head

    @property
    def busy_s(self) -> float:
        """Seconds that the commit under way has taken; a disk that hangs shows here."""
        since = self._writer.busy_since
        return time.monotonic() - since if since is not None else 0.0

    @property
    def failure(self) -> str:
        """What keeps the journal off the disk; empty when nothing does."""
        return self._writer.failure

    @property
    def full(self) -> bool:
        """Whether the size limit holds ingest back."""
        return not self._room.is_set()

    async def append(self, batch: IngestBatch, *, urgent: bool = False) -> Sequence[Outcome]:
        if not urgent:
            await self._room.wait()
        outcomes: Sequence[Outcome] = await self._writer.do(_Append(batch, self))
        return outcomes

    async def write(self, work: Callable[[Transaction], T]) -> T:
        result: T = await self._writer.do(_Work(work))
        return result

    def settle(self, settlement: Settlement) -> None:
        with self._settling:
            self._settlements.setdefault(settlement.route, []).append(settlement)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_SETTLE_AFTER_S, self._settle_now)

    def _settle_now(self) -> None:
        self._timer = None
        if self._settlements:
            self._writer.kick()

    async def retain(self) -> None:
        """Removes what is older than the retention and settled everywhere; opens or shuts ingest. Happens by
        itself whenever the journal has grown by a part of its size limit.

        After a failure it writes something, and so finds out whether the disk is well again.
        """
        if self.failure:
            await self.write(
                lambda t: t.execute("INSERT OR REPLACE INTO meta VALUES ('tried_at', ?)", (str(time.time()),))
            )
        self._recent.age()
        async with self._sweeping:
            while await self._sweep_once():  # noqa: ASYNC110 - a pause, nothing is waited for
                await asyncio.sleep(_BREATH_S)
            left: Sequence[str] = await self.read(self._claims.unclaimed)
            while left:
                left = await self.write(lambda _, names=left: self._claims.remove(names, self.path))  # type: ignore[misc]
                await asyncio.sleep(_BREATH_S)

    async def _sweep_once(self) -> bool:
        """One small transaction, which appends may share; returns whether there is more to remove."""
        (room, more), oldest = await self.write(self._swept)
        self._recent.forget(self._head + 1 if oldest is None else oldest)
        if room:
            self._room.set()
        else:
            self._room.clear()
        return more

    def _swept(self, transaction: Transaction) -> tuple[Swept, int | None]:
        """What a sweep did, and the oldest position that is left."""
        forgotten = self._identities.forget_old(time.time())
        swept = self._retention.sweep(transaction)
        [(oldest,)] = transaction.execute(
            "SELECT min(first) FROM bundles WHERE first NOT IN (SELECT first FROM quarantine)"
        )
        return Swept(room=swept.room, more=swept.more or not forgotten), oldest

    def _grow(self, size_bytes: int) -> None:
        """In the writer's thread: what is added asks for a sweep by its size, whatever the time."""
        self._grown_bytes += size_bytes
        if self._grown_bytes >= self._retention.step_bytes:
            self._grown_bytes = 0
            self._loop.call_soon_threadsafe(self._sweep_soon)

    def _sweep_soon(self) -> None:
        if self._sweep is None or self._sweep.done():
            self._sweep = asyncio.create_task(self._sweep_now(), name="journal-sweep")

    async def _sweep_now(self) -> None:
        with contextlib.suppress(StorageError):  # the next append says so, too
            await self.retain()

    # ── in the writer's thread ───────────────────────────────────────────────────────────────────

    def _begin(self) -> None:
        self._new, self._raws, self._taken = [], [], {}
        if self._undone:
            self._next = following(Statements(self._connection))
            self._identities.forget()
            self._undone = False
        self._identities.rotate(time.time())

    def _append(self, batch: IngestBatch, transaction: Transaction) -> Sequence[Outcome]:
        """Tells new from known, gives positions, runs the caller's statements."""
        self._identities.mark()
        hearing = Hearing(transaction, batch, time.time()) if batch.ledger else None
        messages = hearing.messages if hearing else batch.messages
        taken = take(self._identities, messages, self._next + len(self._new))
        outcomes: Sequence[Outcome] = taken.outcomes
        if hearing:
            new = {(event.source, event.id): at for at, event in enumerate(taken.events, start=taken.first)}
            outcomes = hearing.conclude(outcomes, lambda event: new.get((event.source, event.id)))
        for part, state in batch.state.items():
            transaction.execute(
                "INSERT INTO states VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET state = excluded.state",
                (batch.adapter, part, state),
            )
        result = batch.within(transaction, outcomes) if batch.within else outcomes
        self._new += taken.events
        self._raws += taken.raws
        return result

    def _finish(self, transaction: Transaction) -> tuple[list[Recorded], int]:
        """What was added, and the bytes of its events as they lie in the file."""
        now = time.time()
        with self._settling:
            settlements, self._settlements = self._settlements, {}
        self._taken = settlements
        if settlements and self.full:
            self._grow(self._retention.step_bytes)  # what a route has passed may make room
        for route, done in settlements.items():
            transaction.execute(
                "INSERT INTO cursors VALUES (?, ?) ON CONFLICT DO UPDATE SET position = excluded.position",
                (route, done[-1].position),
            )
            for settlement in done:
                if settlement.delivered:
                    transaction.execute(
                        "INSERT INTO deliveries (route, first, last, at, detail) VALUES (?, ?, ?, ?, ?)",
                        _delivery_row(settlement),
                    )
        if not self._new:
            return [], 0
        self._identities.flush()
        row = pack(
            self._next,
            self._new,
            self._raws,
            large_from=self._claims.over_bytes,
            check_in=lambda raws: self._check_in(transaction, raws),
        )
        self._grow(len(row[3]) + len(row[4]))
        transaction.execute(
            f"INSERT INTO bundles ({reading.COLUMNS}, committed_at) VALUES (?,?,?,?,?,?,?)", (*row, now)
        )
        recorded = list(map(Recorded, count(self._next), self._new))
        self._next += len(self._new)
        return recorded, len(row[3])

    def _check_in(self, transaction: Transaction, raws: Sequence[RawMessage]) -> Sequence[RawMessage | Kept]:
        """Large bodies go to files of their own, and are there before the commit that refers to them."""
        kept, checks = self._claims.check_in(raws)
        for check in checks:
            transaction.execute(
                "INSERT INTO claim_checks VALUES (?, ?, ?)", (self._next, check.sha256, check.size_bytes)
            )
            self._grow(check.size_bytes)
        return kept

    def _rolled_back(self) -> None:
        self._undone = True
        taken, self._taken = self._taken, {}
        with self._settling:  # what was not settled is settled with the next commit
            for route, done in taken.items():
                self._settlements[route] = done + self._settlements.get(route, [])

    def _committed(self, added: tuple[Sequence[Recorded], int]) -> None:
        recorded, size_bytes = added
        if recorded:
            self._head = recorded[-1].position
            self._recent.add(recorded, size_bytes)
            for listener in self._listeners:
                listener(recorded)

    # ── reading ──────────────────────────────────────────────────────────────────────────────────

    def subscribe(self, listener: Callable[[Sequence[Recorded]], None]) -> None:
        self._listeners.append(listener)

    async def events(
        self, after: int, *, limit: int = 1000, wanted: Callable[[Header], bool] | None = None
    ) -> tuple[list[Recorded], int]:
        if (found := self._recent.after(after, limit, wanted)) is not None:
            return found
        while True:
            try:
                return await self.read(lambda transaction: reading.events(transaction, after, limit, wanted))
            except JournalCorrupt as error:
                await self._quarantine(error)

    async def _quarantine(self, error: JournalCorrupt) -> None:
        def work(transaction: Transaction) -> None:
            damage = quarantine.put(transaction, error)
            if damage is not None:
                self._damaged(transaction, damage)

        await self.write(work)

    async def headers(self, after: int) -> list[Header]:
        """The headers of the bundles after a position."""
        return await self.read(lambda transaction: reading.headers(transaction, after))

    async def raw(self, position: int) -> RawMessage | None:
        def work(transaction: Transaction) -> RawMessage | None:
            return reading.raw(transaction, position, self._claims)

        try:
            return await self.read(work)
        except ClaimCorrupt:  # or retention has removed bundle and file while they were read
            return await self.read(work)

    async def history(self, adapter: str, limit: int) -> Sequence[RawMessage]:
        return await self.read(lambda transaction: reading.history(transaction, adapter, limit, self._claims))

    async def position_of(self, source: str, identifier: str) -> int | None:
        """The position of the event (source, id) while it is within the identity window."""
        return await self.write(lambda _: self._identities.position(source, identifier))

    async def states(self, adapter: str) -> dict[str, bytes]:
        """What the adapter's source and decoder last committed as their state, by part."""
        rows = await self.read(
            lambda t: t.execute("SELECT part, state FROM states WHERE adapter = ?", (adapter,))
        )
        return dict(rows)

    async def cursors(self) -> dict[str, int]:
        """Every route's settled position."""
        return dict(await self.read(lambda t: t.execute("SELECT route, position FROM cursors")))

    async def read(self, work: Callable[[Transaction], T]) -> T:
        return await self._snapshots.read(work)


def _unusable(path: Path, error: Exception) -> ConfigError:
    return ConfigError(
        f"{path} cannot be used: {error}: mend the disk or the folder's rights, or restore a backup elsewhere"
    )


def _lock(folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = os.pread(handle, 32, 0).decode(errors="replace").strip() or "unknown"
        os.close(handle)
        raise ConfigError(
            f"another hub (process {owner}) runs on the data folder {folder}: stop it first, or give --data"
        ) from error
    os.ftruncate(handle, 0)
    os.pwrite(handle, str(os.getpid()).encode(), 0)
    return handle


def _delivery_row(settlement: Settlement) -> tuple[Any, ...]:
    first, last = reach(settlement.delivered)
    detail = msgspec.msgpack.encode(
        (settlement.delivered, settlement.attempts, settlement.measured, settlement.position)
    )
    return settlement.route, first, last, settlement.at, detail
