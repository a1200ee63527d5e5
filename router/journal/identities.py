"""Which events were seen: (source, id) → payload hash and position, for a stated window.

Kept in tables that each cover one window's length, so that forgetting is dropping a table. An
identity is looked up in the current table and in the one before, hence it is known for at least
one window and at most two. Keys are the ids themselves: ids that grow with time touch only the
right edge of the tree (a hash as key costs 3–5 times as much).
"""

from __future__ import annotations

from collections.abc import Sequence

import apsw
import msgspec

from canonical.event import Event, payload_hash

__all__ = ["Identities", "Seen"]

Seen = tuple[int, int]
"""(payload hash, position) of the event that had the identity first."""


class Identities:
    """The windows of one journal; used by the writer's thread only."""

    def __init__(self, connection: apsw.Connection, window_s: float) -> None:
        self._connection = connection
        self._window_s = window_s
        self._sources: dict[str, int] = _numbers(connection)
        self._live: list[str] = []
        self.registered: list[str] = []

    def key(self, event: Event) -> tuple[int, str]:
        """(number of the source, id). Registers a source that is new."""
        number = self._sources.get(event.source)
        if number is None:
            row = self._connection.execute(
                "INSERT INTO sources (source) VALUES (?) "
                "ON CONFLICT (source) DO UPDATE SET source = excluded.source RETURNING id",
                (event.source,),
            ).fetchone()
            assert row is not None
            number = self._sources[event.source] = int(row[0])
            self.registered.append(event.source)
        return number, event.id

    def forget_sources(self) -> None:
        """After a rollback: numbers given in it are not in the database."""
        self._sources = _numbers(self._connection)
        self._live = []

    def undo(self) -> None:
        """Forgets the sources ``registered`` since that list was cleared: their statements are undone."""
        for source in self.registered:
            self._sources.pop(source, None)

    @staticmethod
    def hash(event: Event) -> int:
        """The payload hash as SQLite keeps it: a signed 64-bit integer."""
        return int.from_bytes(payload_hash(event), "big", signed=True)

    def rotate(self, now: float) -> None:
        """Makes the table of the present window, drops those older than the one before."""
        epoch = int(now // self._window_s)
        wanted = [f"identities_{epoch}", f"identities_{epoch - 1}"]
        if self._live == wanted:
            return
        for name in wanted:
            self._connection.execute(
                f"CREATE TABLE IF NOT EXISTS {name} (source INTEGER NOT NULL, id TEXT NOT NULL, "
                "hash INTEGER NOT NULL, position INTEGER NOT NULL, PRIMARY KEY (source, id)) WITHOUT ROWID"
            )
        names = self._connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name GLOB 'identities_[0-9]*'"
        ).fetchall()
        for (table,) in names:
            if int(str(table).removeprefix("identities_")) < epoch - 1:
                self._connection.execute(f"DROP TABLE {table}")
        self._live = wanted

    def known(self, keys: Sequence[tuple[int, str]]) -> dict[int, Seen]:
        """By index in ``keys``: what is known of those that were seen. Two statements for all of them."""
        listed = msgspec.json.encode(keys).decode()
        found: dict[int, Seen] = {}
        for name in self._live:
            rows = self._connection.execute(
                f"SELECT j.key, i.hash, i.position FROM json_each(?) AS j JOIN {name} AS i "
                "ON i.source = j.value ->> 0 AND i.id = j.value ->> 1",
                (listed,),
            )
            for index, digest, position in rows:
                found.setdefault(index, (digest, position))
        return found

    def remember(self, rows: Sequence[tuple[int, str, int, int]]) -> None:
        """Adds (source, id, hash, position), in one statement so that the GIL is released once."""
        self._connection.execute(
            f"INSERT INTO {self._live[0]} SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 "
            "FROM json_each(?)",
            (msgspec.json.encode(rows).decode(),),
        )

    def position(self, source: str, identifier: str) -> int | None:
        """The position of an identity, when it is still known."""
        number = self._sources.get(source)
        if number is None:
            return None
        seen = self.known([(number, identifier)])
        return seen[0][1] if seen else None


def _numbers(connection: apsw.Connection) -> dict[str, int]:
    rows = connection.execute("SELECT source, id FROM sources").fetchall()
    return {str(source): int(str(number)) for source, number in rows}
