"""The writer: one thread that owns the connection and commits everybody's work together.

While one transaction is synced, the next one's jobs gather; so the disk sets the size of the
group. A job that fails is undone alone: by a savepoint before its first statement, or with the whole
transaction where there is no other job. When the commit itself fails, every job that
was waiting fails with it, in order, so that nothing overtakes what its owner will hand in again.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any, Protocol

import apsw

from canonical.errors import Stage
from canonical.ports import Transaction
from router.failpoint import failpoint
from router.journal import StorageError

__all__ = ["Job", "Statements", "Writer"]


class Statements:
    """``Transaction`` over a connection."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows. Raises apsw.Error."""
        return self._connection.execute(sql, tuple(parameters)).fetchall()


class _Undoable(Statements):
    """Those of one job among others. One that runs no statement costs none."""

    _begun = False

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        if not self._begun:
            self._connection.execute("SAVEPOINT job")
            self._begun = True
        return super().execute(sql, parameters)

    def undo(self) -> None:
        if self._begun:
            self._connection.execute("ROLLBACK TO job")
        self.keep()

    def keep(self) -> None:
        if self._begun:
            self._connection.execute("RELEASE job")


class Job(Protocol):
    """Something to do in a transaction. ``run`` is called in the writer's thread."""

    future: asyncio.Future[Any]

    def run(self, transaction: Transaction) -> Any: ...


_DISK = (apsw.FullError, apsw.IOError, apsw.ReadOnlyError, apsw.CantOpenError, apsw.BusyError)


class Writer:
    """The thread, its queue, and the group commit."""

    def __init__(
        self,
        connection: apsw.Connection,
        *,
        begin: Callable[[], None],
        finish: Callable[[Transaction], Any],
        rolled_back: Callable[[], None],
        committed: Callable[[Any], None],
        between: Callable[[], None],
    ) -> None:
        """``begin`` and ``finish`` run inside each transaction, ``rolled_back`` after a failed one, when the
        disk may not be readable, all in the thread; ``committed`` gets what ``finish`` returned, in the loop,
        before the jobs' results; ``between`` runs in the thread when all have been told."""
        self._connection = connection
        self._begin, self._finish, self._rolled_back = begin, finish, rolled_back
        self._committed, self._between = committed, between
        self._jobs: deque[Job] = deque()
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="journal-writer", daemon=True)
        self._loop = asyncio.get_running_loop()
        self.busy_since: float | None = None
        """Monotonic second at which the transaction under way began; None when idle."""
        self.failure = ""
        """What kept the last transaction off the disk; empty once one that changed something is on it."""

    def start(self) -> None:
        self._thread.start()

    async def do(self, job: Job) -> Any:
        """The job's result, after the commit. Raises what the job raised, or StorageError."""
        if self._stopping:
            raise StorageError("the journal is closed", code="closed", stage=Stage.RECEIVING)
        self._jobs.append(job)
        self._wake.put(None)
        return await job.future

    def kick(self) -> None:
        """Makes a transaction happen even without a job."""
        self._wake.put(None)

    async def stop(self) -> None:
        """Does what is queued, then ends the thread."""
        self._stopping = True
        self._wake.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        while True:
            self._sleep()
            last = self._stopping  # read before the queue: what was handed in before stop() is done
            jobs = [self._jobs.popleft() for _ in range(len(self._jobs))]
            self.busy_since = time.monotonic()
            results, summary = self._commit(jobs)
            self._loop.call_soon_threadsafe(self._resolve, results, summary)
            self._between()
            self.busy_since = None
            if last:
                return

    def _sleep(self) -> None:
        """Until there is something to do."""
        self._wake.get()
        while not self._wake.empty():
            self._wake.get()

    def _commit(self, jobs: Sequence[Job]) -> tuple[list[tuple[Job, Any]], Any]:
        results: list[tuple[Job, Any]] = []
        begun = False
        try:
            self._roll_back()  # what could not be rolled back while the disk failed
            self._connection.execute("BEGIN IMMEDIATE")
            begun, before = True, self._connection.total_changes()
            self._begin()
            run = self._alone if len(jobs) == 1 else self._one
            for job in jobs:
                results.append((job, run(job)))
            summary = self._finish(Statements(self._connection))
            failpoint("journal.before_commit")
            self._connection.execute("COMMIT")
            failpoint("journal.after_commit")
            if self._connection.total_changes() != before:
                self.failure = ""
        except Exception as error:  # noqa: BLE001 - every caller is told
            with contextlib.suppress(apsw.Error):
                self._roll_back()
            if begun:
                self._rolled_back()
            failed = self._wrap(error)
            self.failure = str(failed)
            waiting = [self._jobs.popleft() for _ in range(len(self._jobs))]
            return [(job, failed) for job in (*jobs, *waiting)], None
        return results, summary

    def _roll_back(self) -> None:
        if not self._connection.get_autocommit():
            self._connection.execute("ROLLBACK")

    def _one(self, job: Job) -> Any:
        """What it returned, or raised."""
        statements = _Undoable(self._connection)
        try:
            result = job.run(statements)
        except _DISK:
            raise
        except Exception as error:  # noqa: BLE001 - the job's owner is told
            statements.undo()
            return error
        statements.keep()
        return result

    def _alone(self, job: Job) -> Any:
        """As ``_one``, of the only job: a savepoint would copy every page that it changes."""
        try:
            return job.run(Statements(self._connection))
        except _DISK:
            raise
        except Exception as error:  # noqa: BLE001 - the job's owner is told
            self._roll_back()
            self._rolled_back()
            self._connection.execute("BEGIN IMMEDIATE")
            self._begin()
            return error

    @staticmethod
    def _wrap(error: Exception) -> Exception:
        if not isinstance(error, apsw.Error):
            return error
        text = f"the journal could not be written: {error}; nothing was acknowledged: free or mend the disk"
        wrapped = StorageError(text, stage=Stage.RECEIVING)
        wrapped.__cause__ = error
        return wrapped

    def _resolve(self, results: Sequence[tuple[Job, Any]], summary: Any) -> None:
        if summary is not None:
            self._committed(summary)
        for job, result in results:
            if job.future.done():  # its owner was cancelled
                continue
            if isinstance(result, Exception):
                job.future.set_exception(result)
            else:
                job.future.set_result(result)
