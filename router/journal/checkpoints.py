"""Checkpoints beside the commits: what is in the write-ahead log goes into the file in a thread of its own.

SQLite would do it within the commit that fills the log, which then takes tens of milliseconds. A log that
is written to all the time never starts again at its beginning, however much of it is in the file already;
so when it has grown on, the writer does the little that is left, between two transactions.

That is safe from SQLite 3.51.3 on, which ``router.journal.schema`` sees to.
"""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

import apsw

__all__ = ["Checkpoints"]

PAGES = 1000
"""Pages in the log (of 16 KiB) from which on it is brought into the file."""
_CLOSE_S = 5.0


class Checkpoints:
    """The thread, and the writer's connection, whose commits it watches."""

    def __init__(self, path: Path, writer: apsw.Connection) -> None:
        self._path, self._writer = path, writer
        self._pages = 0
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="journal-checkpoints", daemon=True)

    def start(self) -> None:
        """Takes over from SQLite's own."""
        self._writer.set_wal_hook(self._committed)
        self._thread.start()

    def close(self) -> None:
        """Ends the thread; one that a hanging disk holds is left behind. The writer's connection is closed
        afterwards, and does what is left."""
        self._closing = True
        self._wake.set()
        self._thread.join(_CLOSE_S)

    def _committed(self, _connection: apsw.Connection, _database: str, pages: int) -> int:
        """Called within each commit, which is durable by then."""
        self._pages = pages
        if pages >= PAGES:
            self._wake.set()
        return apsw.SQLITE_OK

    def between_transactions(self) -> None:
        """For the writer's thread: lets the log start anew, when it has grown on."""
        if self._pages >= 2 * PAGES:
            self._pages = 0
            _checkpoint(self._writer)

    def _run(self) -> None:
        connection = apsw.Connection(str(self._path))
        connection.set_busy_timeout(0)
        try:
            while not self._closing:
                self._wake.wait()
                self._wake.clear()
                if not self._closing:
                    _checkpoint(connection)
        finally:
            connection.close()


def _checkpoint(connection: apsw.Connection) -> None:
    """As much as may be without waiting for anybody. A disk that fails, fails commits too, which say so."""
    with contextlib.suppress(apsw.Error):
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
