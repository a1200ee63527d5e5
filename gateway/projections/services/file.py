"""The services' file: statements only, no threads.

``families`` has, per thing, the events that decide it; a table per service has what is made of them, with
the columns that filters look at. ``ids`` tells which things an event is in, for corrections; ``voids`` which
events were corrected, whichever came first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import apsw

from canonical.ports import Recorded
from gateway.projections.services.entry import Entry, View, pack, packed_view, unpack
from gateway.projections.services.fold import compacted, views
from gateway.projections.services.registry import VERSION
from gateway.projections.services.service import Service
from gateway.projections.services.taking import Taking
from gateway.projections.transaction import transaction

__all__ = ["FORMAT", "ServiceFile", "columns_of", "meta_of"]

FORMAT: Final = 1
"""Of ``families``, ``ids`` and ``voids``. Another format cannot be taken over."""
_AT_ONCE = 100
_FIXED = ("due", "open", "delayed")

_TABLES = (
    "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    """CREATE TABLE IF NOT EXISTS families (
        service TEXT NOT NULL, family TEXT NOT NULL, keys TEXT NOT NULL, entries BLOB NOT NULL,
        PRIMARY KEY (service, family)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS ids (
        id TEXT NOT NULL, source TEXT NOT NULL, service TEXT NOT NULL, family TEXT NOT NULL,
        PRIMARY KEY (id, source, service, family)) WITHOUT ROWID""",
    "CREATE TABLE IF NOT EXISTS voids (source TEXT NOT NULL, id TEXT NOT NULL, PRIMARY KEY (source, id))",
)
_PRAGMAS = (
    "journal_mode = wal",
    "synchronous = normal",  # what a power loss takes away is read from the journal again
    "cache_size = -8192",
)
_KEYS = "\x1e"

Family = tuple[str, str]


def columns_of(service: Service) -> tuple[str, ...]:
    """The columns of a service's table beside key, plant, position and body."""
    return (*service.columns, *_FIXED)


def meta_of(connection: apsw.Connection) -> dict[str, int]:
    """What the file says of itself; empty for a new one. Raises apsw.Error."""
    rows: list[Any] = connection.execute("SELECT name, value FROM meta").fetchall()
    return {str(name): int(value) for name, value in rows}


class ServiceFile:
    """The writing side. Belongs to one thread."""

    def __init__(self, path: Path, services: Sequence[Service]) -> None:
        """Opens the file, or makes it. Raises apsw.Error for one that is damaged.

        A file that another version made of the same format keeps its events, and is at position 0: what
        the journal still has, is read again, and all is made anew of both.
        """
        self._services = {service.name: service for service in services}
        self._taking = Taking(services)
        self._connection = apsw.Connection(str(path))
        try:
            path.chmod(0o600)
            self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self) -> None:
        self._connection.set_busy_timeout(5000)
        for statement in (*(f"PRAGMA {pragma}" for pragma in _PRAGMAS), *_TABLES):
            self._connection.execute(statement)
        if self._connection.execute("PRAGMA quick_check(1)").fetchall() != [("ok",)]:
            raise apsw.CorruptError("the file's pages contradict each other")
        meta = meta_of(self._connection)
        if meta and meta.get("format") != FORMAT:
            raise apsw.FormatError(f"format {meta.get('format')} is not {FORMAT}")
        self.position = meta.get("position", 0)
        self.taken_over = bool(meta) and meta.get("version") != VERSION
        with transaction(self._connection):
            if meta.get("version") != VERSION:
                self._remake()
            for name, value in (("format", FORMAT), ("version", VERSION), ("position", self.position)):
                self._set(name, value)
        self._voids: set[tuple[str, str]] = {
            (str(source), str(id_))
            for source, id_ in self._connection.execute("SELECT source, id FROM voids").fetchall()
        }

    def _set(self, name: str, value: int) -> None:
        self._connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def _remake(self) -> None:
        """The services' tables, made of what is kept."""
        self.position = 0
        for service in self._services.values():
            table = service.table
            self._connection.execute(f'DROP TABLE IF EXISTS "{table}"')
            names = [*service.columns, *_FIXED]
            columns = ", ".join(f'"{name}" {"REAL" if name in _FIXED else ""}' for name in names)
            self._connection.execute(
                f'CREATE TABLE "{table}" (key TEXT PRIMARY KEY, plant TEXT NOT NULL, '
                f"position INTEGER NOT NULL, {columns}, body BLOB NOT NULL) WITHOUT ROWID"
            )
            for name in ("plant", *names):
                self._connection.execute(f'CREATE INDEX "{table}_by_{name}" ON "{table}" ("{name}", key)')
            self._refill(service)

    def _refill(self, service: Service) -> None:
        rows: list[Any] = self._connection.execute(
            "SELECT family, entries FROM families WHERE service = ?", (service.name,)
        ).fetchall()
        for family, body in rows:
            self._write_views(service, views(service, family, unpack(body)))

    def close(self) -> None:
        """Gives the file back."""
        self._connection.close()

    # ── taking events in ─────────────────────────────────────────────────────────────────────────

    def add(self, recorded: Sequence[Recorded], reached: int) -> Collection[Family]:
        """Takes in what comes after ``position``; ``reached`` is how far that goes. All or nothing.

        Returns what was touched: (service, identity).
        """
        fresh = [item for item in recorded if item.position > self.position]
        corrections = [item for item in fresh if item.event.correctsid]
        voids = self._voids
        with transaction(self._connection):
            if corrections:
                voids = self._corrected(corrections)
            valid = (
                [item for item in fresh if (item.event.source, item.event.id) not in voids]
                if voids
                else fresh
            )
            touched = self._taking.batch(valid)
            if corrections:
                self._touch(corrections, touched)
            self._apply(touched, voids)
            self._note_newest(touched)
            self._set("position", reached)
        self._voids = voids
        self.position = reached
        return touched.keys()

    def _corrected(self, corrections: Sequence[Recorded]) -> set[tuple[str, str]]:
        """Every event that was ever corrected, by (source, id), whether it has come yet or not."""
        found = {
            (item.event.source, str(item.event.correctsid))
            for item in corrections
            if item.event.type in self._taking.types
        }
        self._many("INSERT OR IGNORE INTO voids VALUES", sorted(found - self._voids))
        return self._voids | found

    def _note_newest(self, touched: Mapping[Family, list[Entry]]) -> None:
        newest: dict[str, int] = {}
        for (name, _), entries in touched.items():
            for entry in entries:
                newest[name] = max(newest.get(name, 0), entry.position)
        for name, position in newest.items():
            self._set(f"newest {name}", position)

    def _touch(self, corrections: Sequence[Recorded], touched: dict[Family, list[Entry]]) -> None:
        """What a corrected event is in, is made anew."""
        for item in corrections:
            for service, family in self._taking.families(item.event):
                touched.setdefault((service.name, family), [])
            rows: list[Any] = self._connection.execute(
                "SELECT service, family FROM ids WHERE id = ? AND source = ?",
                (item.event.correctsid, item.event.source),
            ).fetchall()
            touched |= {
                name: [] for name in map(tuple, rows) if name not in touched and name[0] in self._services
            }

    def _apply(self, touched: Mapping[Family, list[Entry]], voids: set[tuple[str, str]]) -> None:
        for part in _parts(list(touched), _AT_ONCE):
            kept = self._kept(part)
            rows: list[tuple[Any, ...]] = []
            made: dict[str, list[View]] = {}
            for name in part:
                row, found = self._one(name, touched[name], kept.get(name), voids)
                rows.append(row)
                made.setdefault(name[0], []).extend(found)
            gone = [row[:2] for row in rows if row[3] is None]
            for service_name, family in gone:
                self._connection.execute(
                    "DELETE FROM families WHERE service = ? AND family = ?", (service_name, family)
                )
            self._many("INSERT OR REPLACE INTO families VALUES", [row for row in rows if row[3] is not None])
            for service_name, found in made.items():
                self._write_views(self._services[service_name], found)

    def _kept(self, names: Sequence[Family]) -> dict[Family, tuple[str, bytes]]:
        marks = ", ".join(["(?, ?)"] * len(names))
        rows: list[Any] = self._connection.execute(
            "SELECT service, family, keys, entries FROM families "  # noqa: S608 - question marks
            f"WHERE (service, family) IN (VALUES {marks})",
            [value for name in names for value in name],
        ).fetchall()
        return {(service, family): (keys, body) for service, family, keys, body in rows}

    def _one(
        self,
        name: Family,
        fresh: Sequence[Entry],
        kept: tuple[str, bytes] | None,
        voids: set[tuple[str, str]],
    ) -> tuple[tuple[Any, ...], list[View]]:
        """The family's row and what is made of it; a row without entries is to go."""
        service = self._services[name[0]]
        old = unpack(kept[1]) if kept else []
        merged = _merged(service, old, fresh, voids)
        made = views(service, name[1], merged) if merged else []
        left = compacted(service, merged, made)
        if service.keep:
            self._note_ids(name, old, left)
        for key in set(kept[0].split(_KEYS) if kept else ()) - {view.key for view in made}:
            self._connection.execute(f'DELETE FROM "{service.table}" WHERE key = ?', (key,))  # noqa: S608
        keys = _KEYS.join(view.key for view in made)
        return (*name, keys, pack(left) if left else None), made

    def _note_ids(self, name: Family, old: Sequence[Entry], left: Sequence[Entry]) -> None:
        before, after = ({(entry.id, entry.source) for entry in entries} for entries in (old, left))
        for id_, source in before - after:
            self._connection.execute(
                "DELETE FROM ids WHERE id = ? AND source = ? AND service = ? AND family = ?",
                (id_, source, *name),
            )
        self._many(
            "INSERT OR IGNORE INTO ids VALUES",
            [(*identity, *name) for identity in sorted(after - before) if identity[0]],
        )

    def _write_views(self, service: Service, made: Iterable[View]) -> None:
        names = columns_of(service)
        rows = [
            (
                view.key,
                view.plant,
                view.position,
                *(view.columns.get(name) for name in names),
                packed_view(view),
            )
            for view in made
        ]
        self._many(f'INSERT OR REPLACE INTO "{service.table}" VALUES', rows)

    def _many(self, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Inserts rows many at a time: each statement hands the interpreter's lock to and fro once."""
        for part in _parts(rows, _AT_ONCE):
            marks = f"({', '.join('?' * len(part[0]))})"
            values = [value for row in part for value in row]
            self._connection.execute(f"{statement} {', '.join([marks] * len(part))}", values)


def _merged(
    service: Service, old: Sequence[Entry], fresh: Sequence[Entry], voids: set[tuple[str, str]]
) -> list[Entry]:
    """Both without what was corrected; an event that is there already changes nothing."""
    sum_to = max((entry.position for entry in old if service.squash and not entry.id), default=0)
    known = {entry.position: entry for entry in old}
    for entry in fresh:
        if entry.position > sum_to:
            known.setdefault(entry.position, entry)
    return [entry for entry in known.values() if (entry.source, entry.id) not in voids]


def _parts(rows: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
