"""The tables of the embedded engine, and the version that they have."""

from __future__ import annotations

from collections.abc import Sequence

import apsw

from canonical.errors import ConfigError
from router.journal.ledger import LEDGERS

__all__ = ["VERSION", "prepare"]

VERSION = 1

_PRAGMAS = (
    "page_size = 16384",  # before the first table; p99 of large bundles depends on it
    "journal_mode = wal",
    "synchronous = full",  # NORMAL loses acknowledged rows on power loss
    "wal_autocheckpoint = 1000",
    "cache_size = -65536",
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
    *LEDGERS,
)


def prepare(connection: apsw.Connection, tables: Sequence[str]) -> None:
    """Sets the pragmas and creates what is missing. ``tables`` are other packages' statements.

    Raises ConfigError when the file was written by a newer version.
    """
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")
    with connection:
        for statement in (*_TABLES, *tables):
            connection.execute(statement)
        row = connection.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
        if row is None:
            connection.execute("INSERT INTO meta VALUES ('schema', ?)", (str(VERSION),))
            connection.execute("INSERT INTO meta VALUES ('next_position', '1')")
        elif int(row[0]) > VERSION:
            raise ConfigError(
                f"the data folder has schema version {row[0]}, this program knows up to {VERSION}: "
                "run the newer version, or restore a backup made with this one"
            )
