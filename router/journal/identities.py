"""Which events were seen: (source, id) → payload hash and position, for a stated window.

Kept in tables that each cover one window's length, so that forgetting is dropping a table. An
identity is looked up in the current tables and in those before, hence it is known for at least
one window and at most two.

Most sources number what they send, or the hub does it for them, so that ids grow. An id beyond all
that its source ever had is new: nothing is looked up for it. Runs of such ids are kept as one row
(``packs``); all else has a row of its own in ``identities_<n>`` and is looked up. Whether a source's
ids grow is seen from them, never assumed: one that comes late, or again, takes the long way.

What a transaction's jobs add is held in memory and written once, at its end (``flush``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import apsw
import msgspec

from canonical.event import hash_number
from router.journal.packs import Packs

__all__ = ["Identities", "Seen"]

Seen = tuple[int, int]
"""(payload hash, position) of the event that had the identity first."""
_ROWS_AT_ONCE, _RUNS_AT_ONCE = 5_000, 200
"""Forgotten per transaction."""
_SHORT_RUN, _LONG_RUN = 8, 1_000
"""Ids below which a run is not worth a row of its own kind, and from which on none is made longer: it is read
as a whole."""

_Row = tuple[int, str, int, int]
"""(source, id, hash, position)."""


class _Run(NamedTuple):
    """New ids of one source, growing, at the positions from ``first`` on."""

    source: int
    ids: Sequence[str]
    hashes: Sequence[bytes]
    first: int

    def goes_on(self, before: _Run) -> bool:
        return (
            self.source == before.source
            and self.first == before.first + len(before.ids)
            and self.ids[0] > before.ids[-1]
            and len(before.ids) + len(self.ids) <= _LONG_RUN
        )

    def rows(self) -> Iterator[_Row]:
        for position, (each, digest) in enumerate(zip(self.ids, self.hashes, strict=True), start=self.first):
            yield self.source, each, hash_number(digest), position


class Identities:
    """The windows of one journal; used by the writer's thread only."""

    def __init__(self, connection: apsw.Connection, window_s: float) -> None:
        self._connection = connection
        self._window_s = window_s
        self._sources: dict[str, int] = _numbers(connection)
        self._live: list[str] = []
        self._epoch = 0
        self._packs: list[Packs] = []
        self._newest: dict[int, str] = {}
        self._runs: list[_Run] = []
        self._rows: list[_Row] = []
        self._here: dict[tuple[int, str], Seen] = {}
        self._indexed = (0, 0)
        self.mark()

    def number(self, source: str) -> int:
        """The number of a source. Registers one that is new."""
        number = self._sources.get(source)
        if number is None:
            row = self._connection.execute(
                "INSERT INTO sources (source) VALUES (?) "
                "ON CONFLICT (source) DO UPDATE SET source = excluded.source RETURNING id",
                (source,),
            ).fetchone()
            assert row is not None
            number = self._sources[source] = int(row[0])
            self._registered.append(source)
        return number

    def forget(self) -> None:
        """After a rollback: what was learnt in it is not in the database."""
        self._sources = _numbers(self._connection)
        self._live = []
        self._newest.clear()
        self._emptied()

    def mark(self) -> None:
        """``undo`` goes back to here."""
        self._registered: list[str] = []
        self._before: dict[int, str | None] = {}
        self._marked = len(self._runs), len(self._rows)

    def undo(self) -> None:
        """Forgets what was added since the ``mark``, and the sources: their statements may be undone."""
        for source in self._registered:
            self._sources.pop(source, None)
        for number, newest in self._before.items():
            if newest is None:
                del self._newest[number]
            else:
                self._newest[number] = newest
        runs, rows = self._marked
        del self._runs[runs:], self._rows[rows:]
        self._here.clear()
        self._indexed = (0, 0)
        self.mark()

    def rotate(self, now: float) -> None:
        """Makes the tables of the present window; ``forget_old`` removes those older than the ones before."""
        epoch = int(now // self._window_s)
        if self._live and epoch == self._epoch:
            return
        wanted = [f"identities_{epoch}", f"identities_{epoch - 1}"]
        for name in wanted:
            self._connection.execute(
                f"CREATE TABLE IF NOT EXISTS {name} (source INTEGER NOT NULL, id TEXT NOT NULL, "
                "hash INTEGER NOT NULL, position INTEGER NOT NULL, PRIMARY KEY (source, id)) WITHOUT ROWID"
            )
        self._packs = [Packs(self._connection, epoch), Packs(self._connection, epoch - 1)]
        self._live, self._epoch = wanted, epoch

    def forget_old(self, now: float) -> bool:
        """Removes some rows of windows that are over; returns whether none is left.

        A table of a window may have gigabytes, and dropping it walks all of its pages in one transaction.
        """
        epoch = int(now // self._window_s)
        names = self._connection.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name GLOB 'identit*_[0-9]*'"
        ).fetchall()
        for (table,) in names:
            if int(str(table).rpartition("_")[2]) < epoch - 1:
                self._forget_some(str(table))
                return False
        return True

    def _forget_some(self, table: str) -> None:
        second, rows = ("high", _RUNS_AT_ONCE) if table.startswith("identity_runs") else ("id", _ROWS_AT_ONCE)
        end = self._connection.execute(
            f"SELECT source, {second} FROM {table} ORDER BY source, {second} LIMIT 1 OFFSET {rows}"
        ).fetchone()
        if end is None:
            self._connection.execute(f"DROP TABLE {table}")
        else:
            self._connection.execute(f"DELETE FROM {table} WHERE (source, {second}) < (?, ?)", end)

    # ── asking ───────────────────────────────────────────────────────────────────────────────────

    def growing(self, number: int, ids: Sequence[str]) -> bool:
        """Whether each id is beyond the one before it, and all beyond what the source had: all are new."""
        last = self._newest_of(number)
        for each in ids:
            if each <= last:
                return False
            last = each
        return True

    def _newest_of(self, number: int) -> str:
        """The greatest id that the source had; empty when it had none."""
        newest = self._newest.get(number)
        if newest is None:
            found = [packs.newest(number) for packs in self._packs]
            for name in self._live:
                row = self._connection.execute(
                    f"SELECT max(id) FROM {name} WHERE source = ?", (number,)
                ).fetchone()
                found.append("" if row is None or row[0] is None else str(row[0]))
            newest = self._newest[number] = max(found)
        return newest

    def known(self, keys: Sequence[tuple[int, str]]) -> dict[int, Seen]:
        """By index in ``keys``: what is known of those that were seen."""
        found: dict[int, Seen] = {}
        asked = [index for index, (number, each) in enumerate(keys) if each <= self._newest_of(number)]
        if not asked:
            return found
        self._index()
        found.update((index, seen) for index in asked if (seen := self._here.get(keys[index])))
        asked = [index for index in asked if index not in found]
        if not asked:
            return found
        listed = msgspec.json.encode([(index, *keys[index]) for index in asked]).decode()
        for name, packs in zip(self._live, self._packs, strict=True):
            rows = self._connection.execute(
                f"SELECT j.value ->> 0, i.hash, i.position FROM json_each(?) AS j JOIN {name} AS i "
                "ON i.source = j.value ->> 1 AND i.id = j.value ->> 2",
                (listed,),
            )
            for index, digest, position in rows:
                found.setdefault(index, (digest, position))
            for index in asked:
                if index not in found and (seen := packs.known(*keys[index])):
                    found[index] = seen
        return found

    def position(self, source: str, identifier: str) -> int | None:
        """The position of an identity, when it is still known."""
        number = self._sources.get(source)
        if number is None:
            return None
        seen = self.known([(number, identifier)])
        return seen[0][1] if seen else None

    def _index(self) -> None:
        """What this transaction's jobs added, by identity."""
        runs, rows = self._indexed
        added = [row for run in self._runs[runs:] for row in run.rows()] + self._rows[rows:]
        self._here.update(((number, each), (digest, position)) for number, each, digest, position in added)
        self._indexed = len(self._runs), len(self._rows)

    # ── keeping ──────────────────────────────────────────────────────────────────────────────────

    def remember_run(self, number: int, ids: Sequence[str], hashes: Sequence[bytes], first: int) -> None:
        """Adds new events of one source, whose ids are ``growing``, at the positions from ``first`` on."""
        self._runs.append(_Run(number, ids, hashes, first))
        self._grown(number, ids[-1])

    def remember(self, rows: Sequence[_Row]) -> None:
        """Adds (source, id, hash, position) of new events, whatever their ids."""
        self._rows += rows
        for number, each, *_ in rows:
            if each > self._newest_of(number):
                self._grown(number, each)

    def _grown(self, number: int, newest: str) -> None:
        self._before.setdefault(number, self._newest.get(number))
        self._newest[number] = newest

    def flush(self) -> None:
        """Writes what was added; at the transaction's end, when no job can be undone any more."""
        rows = self._rows
        for run in _joined(self._runs):
            if len(run.ids) < _SHORT_RUN:
                rows.extend(run.rows())
            else:
                self._packs[0].add(run.source, run.ids, b"".join(run.hashes), run.first)
        if len(rows) == 1:
            self._connection.execute(f"INSERT INTO {self._live[0]} VALUES (?, ?, ?, ?)", rows[0])
        elif rows:  # in one statement, so that the GIL is released once
            self._connection.execute(
                f"INSERT INTO {self._live[0]} SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 "
                "FROM json_each(?)",
                (msgspec.json.encode(rows).decode(),),
            )
        self._emptied()

    def _emptied(self) -> None:
        self._runs, self._rows, self._here, self._indexed = [], [], {}, (0, 0)
        self.mark()


def _joined(runs: Sequence[_Run]) -> list[_Run]:
    """Neighbours that go on where the one before ended become one."""
    found: list[_Run] = []
    for run in runs:
        if found and run.goes_on(found[-1]):
            last = found[-1]
            found[-1] = _Run(last.source, [*last.ids, *run.ids], [*last.hashes, *run.hashes], last.first)
        else:
            found.append(run)
    return found


def _numbers(connection: apsw.Connection) -> dict[str, int]:
    rows = connection.execute("SELECT source, id FROM sources").fetchall()
    return {str(source): int(str(number)) for source, number in rows}
