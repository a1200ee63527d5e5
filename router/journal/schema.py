"""The tables of the embedded engine, and the version that they have."""

from __future__ import annotations

from collections.abc import Sequence

import apsw

from canonical.errors import ConfigError
from router.journal.claimcheck import TABLES as CLAIM_CHECKS
from router.journal.ledger import LEDGERS
from router.journal.migrations import STEPS, Step, columns_of, migrate
from router.journal.positions import TRIGGER
from router.journal.quarantine import TABLE as QUARANTINE

__all__ = ["VERSION", "prepare", "refuse_old_sqlite"]

VERSION = 1 + len(STEPS)
OLDEST_SQLITE = (3, 51, 3)
"""Before, a checkpoint beside a writer on another connection could damage the log when it starts anew."""

_PRAGMAS = (
    "page_size = 16384",  # before the first table; p99 of large bundles depends on it
    "journal_mode = wal",
    "synchronous = full",  # NORMAL loses acknowledged rows on power loss
    "wal_autocheckpoint = 1000",
    "journal_size_limit = 67108864",  # what a long reader made the log grow to is given back after it
    "cache_size = -8192",  # what is appended is not read again: a larger one only makes each page cold
    "foreign_keys = on",
)

_TABLES = (
    "CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    """CREATE TABLE IF NOT EXISTS bundles (
        first INTEGER PRIMARY KEY, last INTEGER NOT NULL, header BLOB NOT NULL, events BLOB NOT NULL,
        raws BLOB NOT NULL, hash BLOB NOT NULL, committed_at REAL NOT NULL)""",
    "CREATE TABLE IF NOT EXISTS sources (id INTEGER PRIMARY KEY, source TEXT NOT NULL UNIQUE)",
    "CREATE TABLE IF NOT EXISTS cursors (route TEXT PRIMARY KEY, position INTEGER NOT NULL) WITHOUT ROWID",
    """CREATE TABLE IF NOT EXISTS states (
        adapter TEXT NOT NULL, part TEXT NOT NULL, state BLOB NOT NULL,
        PRIMARY KEY (adapter, part)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS deliveries (
        id INTEGER PRIMARY KEY, route TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
        at REAL NOT NULL, detail BLOB NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS deliveries_by_route ON deliveries (route, first, last)",
    *CLAIM_CHECKS,
    *LEDGERS,
    QUARANTINE,
    TRIGGER,
)


def refuse_old_sqlite(version: str) -> None:
    """Raises ConfigError for a library (``3.40.1``) that may damage what it has written."""
    if tuple(int(part) for part in version.split(".")) < OLDEST_SQLITE:
        wanted = ".".join(map(str, OLDEST_SQLITE))
        raise ConfigError(
            f"SQLite {version} may damage the journal under load; {wanted} or later is needed: "
            "install apsw from its wheel, which brings its own"
        )


def prepare(
    connection: apsw.Connection, tables: Sequence[str], steps: Sequence[Step] = STEPS
) -> tuple[int, int]:
    """Sets the pragmas, brings an older journal up to date and creates what is missing.

    ``tables`` are other packages' statements. Returns the versions (found, reached); they are the same for
    a new file. Raises ConfigError, with nothing changed, when a newer version wrote the file, or SQLite is
    too old.
    """
    refuse_old_sqlite(apsw.sqlite_lib_version())
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("BEGIN IMMEDIATE")
    try:
        found = _version(connection)
        reached = migrate(connection, found or 1 + len(steps), steps)
        for statement in (*_TABLES, *tables):
            connection.execute(statement)
        if found is None:
            connection.execute("INSERT INTO meta VALUES ('next_position', '1')")
        if found != reached:
            connection.execute("INSERT OR REPLACE INTO meta VALUES ('schema', ?)", (str(reached),))
        connection.execute("COMMIT")
    except BaseException:
        if not connection.get_autocommit():
            connection.execute("ROLLBACK")
        raise
    return found or reached, reached


def _version(connection: apsw.Connection) -> int | None:
    """The version that the file has; None for a new one."""
    if not columns_of(connection, "meta"):
        return None
    row = connection.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
    return int(str(row[0])) if row else None
