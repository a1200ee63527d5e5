"""A transaction whose commit lets the other threads run while it waits for the disk.

``with connection`` of apsw 3.54 commits with the GIL held: each fsync of a read model then stops the event
loop, and a disk that hangs stops it altogether. Statements give the GIL up.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import apsw

__all__ = ["transaction"]


@contextlib.contextmanager
def transaction(connection: apsw.Connection) -> Iterator[None]:
    """Commits at the end, or rolls all of it back when something is raised."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if not connection.get_autocommit():
            connection.execute("ROLLBACK")
        raise
