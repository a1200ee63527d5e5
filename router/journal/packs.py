"""Runs of identities whose ids grow, one row each: (source, highest id) → all ids, hashes, positions.

Within a table the runs of a source do not overlap, since each begins beyond all ids that came before.
So at most one run can hold an id, and the primary key finds it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, NamedTuple

import apsw
import msgspec

__all__ = ["HASH_BYTES", "Packs"]

HASH_BYTES = 8
_endings = msgspec.msgpack.Decoder(list[str])
_encoder = msgspec.msgpack.Encoder()


class _Run(NamedTuple):
    source: int
    low: str
    high: str
    first: int
    endings: list[str]
    hashes: bytes


class Packs:
    """The runs of one window."""

    def __init__(self, connection: apsw.Connection, epoch: int) -> None:
        """Makes the table if it is missing."""
        self._connection, self._table = connection, f"identity_runs_{epoch}"
        self._newest: dict[int, str] = {}
        self._last: _Run | None = None
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
        run = self._run_of(source, identifier)
        if run is None or identifier < run.low:
            return None
        ending = identifier[_shared(run.low, run.high) :]
        at = bisect_left(run.endings, ending)
        if at == len(run.endings) or run.endings[at] != ending:
            return None
        digest = run.hashes[at * HASH_BYTES : (at + 1) * HASH_BYTES]
        return int.from_bytes(digest, "big", signed=True), run.first + at

    def _run_of(self, source: int, identifier: str) -> _Run | None:
        """The only run that can hold the id. What is sent again comes in order, so the last one is kept."""
        last = self._last
        if last is not None and last.source == source and last.low <= identifier <= last.high:
            return last
        row: Any = self._connection.execute(
            f"SELECT source, low, high, first, ids, hashes FROM {self._table} "
            "WHERE source = ? AND high >= ? ORDER BY high LIMIT 1",
            (source, identifier),
        ).fetchone()
        if row is None:
            return None
        number, low, high, first, ids, hashes = row
        self._last = _Run(number, low, high, first, _endings.decode(ids), hashes)
        return self._last


def _shared(low: str, high: str) -> int:
    """How many characters two texts begin alike with; so do all texts between them."""
    differ = (at for at, (one, other) in enumerate(zip(low, high, strict=False)) if one != other)
    return next(differ, min(len(low), len(high)))
