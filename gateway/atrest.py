"""The audit of a data folder that no hub holds: a row is added in place, and nothing else is changed.

The store is not opened for it, which might bring the folder up to this program's version.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw

from canonical.errors import ConfigError, CrossplantError
from gateway.audit import TABLES, Audit

__all__ = ["note"]

_JOURNAL = "journal.db"
_LOCK = "lock"


def note(data_dir: Path, by: str, act: str, subject: str, details: Mapping[str, Any]) -> None:
    """Adds a row; the chain goes on with the folder's own key.

    Raises ConfigError while a hub holds the folder, which has the end of the chain in memory, and for a key
    that is none; CrossplantError when the disk fails.
    """
    try:
        with _alone(data_dir):
            journal = _Journal(data_dir / _JOURNAL)
            with closing(journal.connection), journal.connection:
                for statement in TABLES:
                    journal.execute(statement)
                Audit(data_dir).record(journal, by, act, subject, details)
    except (OSError, apsw.Error) as error:
        raise CrossplantError(f"{data_dir} cannot be written: {error}", code="audit") from error


@contextlib.contextmanager
def _alone(data_dir: Path) -> Iterator[None]:
    """No hub takes the folder while this lasts. Raises ConfigError when one has it, OSError."""
    try:
        handle = os.open(data_dir / _LOCK, os.O_RDWR)
    except FileNotFoundError:  # no hub ever had it; the lock is made by the user whom the hub runs as
        yield
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise ConfigError(f"a hub runs on the data folder {data_dir}") from error
    try:
        yield
    finally:
        os.close(handle)


class _Journal:
    """A ``Transaction`` on the journal itself."""

    def __init__(self, path: Path) -> None:
        self.connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self.connection.execute(sql, tuple(parameters)).fetchall()
