"""Runs of identities whose ids grow, one row each: (source, highest id) → all ids, hashes, positions.

Within a table the runs of a source do not overlap, since each begins beyond all ids that came before.
So at most one run can hold an id, and the primary key finds it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import apsw
import msgspec

__all__ = ["HASH_BYTES", "Packs"]

HASH_BYTES = 8
_endings = msgspec.msgpack.Decoder(list[str])
_encoder = msgspec.msgpack.Encoder()


class Packs:
    """The runs of one window."""

    def __init__(self, connection: apsw.Connection, epoch: int) -> None:
        """Makes the table if it is missing."""
        self._connection, self._table = connection, f"identity_runs_{epoch}"
        self._newest: dict[int, str] = {}
        connection.execute(
            f"CREATE TABLE IF NOT EXISTS {self._table} (source INTEGER NOT NULL, high TEXT NOT NULL, "
            "low TEXT NOT NULL, first INTEGER NOT NULL, ids BLOB NOT NULL, hashes BLOB NOT NULL, "
            "PRIMARY KEY (source, high)) WITHOUT ROWID"
        )

    def add(self, source: int, ids: Sequence[str], hashes: bytes, first: int) -> None:
        """Keeps new ids in ascending order, at the positions from ``first`` on; ``hashes`` joined."""
        shared = _shared(ids[0], ids[-1])
        self._connection.execute(
            f"INSERT INTO {self._table} VALUES (?, ?, ?, ?, ?, ?)",
            (source, ids[-1], ids[0], first, _encoder.encode([each[shared:] for each in ids]), hashes),
        )
        self._newest[source] = ids[-1]

    def newest(self, source: int) -> str:
        """The greatest id of the source that is kept here; empty when there is none."""
        found = self._newest.get(source)
        if found is None:
            row = self._connection.execute(
                f"SELECT max(high) FROM {self._table} WHERE source = ?", (source,)
            ).fetchone()
            found = self._newest[source] = "" if row is None or row[0] is None else str(row[0])
        return found

    def known(self, source: int, identifier: str) -> tuple[int, int] | None:
        """(payload hash, position) of an id that is kept here."""
        if identifier > self.newest(source):
            return None
        row = self._connection.execute(
            f"SELECT low, high, first, ids, hashes FROM {self._table} "
            "WHERE source = ? AND high >= ? ORDER BY high LIMIT 1",
            (source, identifier),
        ).fetchone()
        if row is None or identifier < str(row[0]):
            return None
        low, high, first, ids, hashes = row
        assert isinstance(ids, bytes)
        assert isinstance(hashes, bytes)
        shared = _shared(str(low), str(high))
        endings, ending = _endings.decode(ids), identifier[shared:]
        at = bisect_left(endings, ending)
        if at == len(endings) or endings[at] != ending:
            return None
        digest = hashes[at * HASH_BYTES : (at + 1) * HASH_BYTES]
        return int.from_bytes(digest, "big", signed=True), int(str(first)) + at

    def forget(self) -> None:
        """Asks the table anew: what was added may have been undone."""
        self._newest.clear()


def _shared(low: str, high: str) -> int:
    """How many characters two texts begin alike with; so do all texts between them."""
    differ = (at for at, (one, other) in enumerate(zip(low, high, strict=False)) if one != other)
    return next(differ, min(len(low), len(high)))
