"""Figures over time, in the store: a row per minute and per hour for each plant, domain and route.

A settlement is kept with its figures in the transaction that makes it durable (``deliveries.detail``),
which costs the hot path no statement. ``fold`` adds settlements to their buckets and moves its mark in
one transaction, and an answer is buckets plus what lies beyond the mark, out of one snapshot. So a
settlement counts once, whenever the process dies, and counts are exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from canonical import catalogue
from canonical.ports import Transaction
from gateway.sla.figures import NONE, Figures, Measured
from router.journal import Header

__all__ = [
    "HOUR_S",
    "MINUTE_S",
    "SHOWN_S",
    "TABLES",
    "Key",
    "began_at",
    "figures",
    "fold",
    "intake",
    "minutes",
    "tidy",
]

Key = tuple[str, str, str]
"""(plant, domain, route)."""
MINUTE_S: Final = 60
HOUR_S: Final = 3600
SHOWN_S: Final = 31 * 86_400
"""The longest window that may be asked for; figures are kept as long, or as long as a level needs them."""
_FINE_S: Final = 49 * HOUR_S
"""How long minutes are kept: windows up to two days begin at a minute, longer ones at an hour."""
_DELIVERIES: Final = "deliveries"
_BUNDLES: Final = "bundles"
_AT_ONCE: Final = 100

TABLES: Final = (
    """CREATE TABLE IF NOT EXISTS sla_figures (
        width INTEGER NOT NULL, at INTEGER NOT NULL, plant TEXT NOT NULL, domain TEXT NOT NULL,
        route TEXT NOT NULL, figures BLOB NOT NULL,
        PRIMARY KEY (width, at, plant, domain, route)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS sla_intake (
        at INTEGER NOT NULL, plant TEXT NOT NULL, domain TEXT NOT NULL, events INTEGER NOT NULL,
        PRIMARY KEY (at, plant, domain)) WITHOUT ROWID""",
    "CREATE TABLE IF NOT EXISTS sla_marks (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS dead_letters_by_end ON dead_letters (last_at) WHERE kind = 'delivery'",
)


class _Detail(Struct, array_like=True):
    """What a row of ``deliveries`` holds (router.journal.sqlite); rows of older versions hold no figures."""

    delivered: Raw
    attempts: Raw
    measured: Measured | None = None


_details = msgspec.msgpack.Decoder(_Detail)
_figures = msgspec.msgpack.Decoder(Figures)
_headers = msgspec.json.Decoder(Header)


def began_at(now: float, window_s: float) -> float:
    """The beginning of the window that ends now: the last full minute, or full hour of windows over two
    days, so that it lasts ``window_s`` and a little more."""
    width = MINUTE_S if window_s <= _FINE_S - HOUR_S else HOUR_S
    return float((now - window_s) // width * width)


# ── writing ─────────────────────────────────────────────────────────────────────────────────────


def fold(transaction: Transaction, limit: int = -1) -> bool:
    """Adds up to ``limit`` settlements and bundles to their buckets; returns whether there may be more."""
    marks = _marks(transaction)
    settled = _settled(transaction, marks[_DELIVERIES], limit)
    bundles = _bundles(transaction, marks[_BUNDLES], limit)
    sums: dict[tuple[int, int, str, str, str], Figures] = {}
    for _, route, at, measured in settled:
        for plant, domain, counted in measured:
            for width in (MINUTE_S, HOUR_S):
                row = (width, int(at // width * width), plant, domain, route)
                sums.setdefault(row, Figures()).include(counted)
    if sums:
        _merge(transaction, sums)
    if bundles:
        _count(transaction, bundles)
    for name, rows in ((_DELIVERIES, settled), (_BUNDLES, bundles)):
        if rows:
            transaction.execute("INSERT OR REPLACE INTO sla_marks VALUES (?, ?)", (name, rows[-1][0]))
    return limit > 0 and (len(settled) == limit or len(bundles) == limit)


def _marks(transaction: Transaction) -> dict[str, int]:
    return {_DELIVERIES: 0, _BUNDLES: 0} | dict(transaction.execute("SELECT name, value FROM sla_marks"))


def _settled(transaction: Transaction, after: int, limit: int) -> list[tuple[int, str, float, Measured]]:
    """(id, route, at, figures) of the settlements beyond a mark."""
    rows = transaction.execute(
        "SELECT id, route, at, detail FROM deliveries WHERE id > ? ORDER BY id LIMIT ?", (after, limit)
    )
    return [(number, route, at, _measured(detail)) for number, route, at, detail in rows]


def _measured(detail: bytes) -> Measured:
    """What the row holds; nothing where the disk changed it, which must not keep a hub from starting."""
    try:
        return _details.decode(detail).measured or []
    except msgspec.DecodeError:
        return []


_Counts = dict[str, dict[str, int]]


def _bundles(transaction: Transaction, after: int, limit: int) -> list[tuple[int, float, _Counts]]:
    """(first position, when, events by plant and type) of the bundles beyond a mark."""
    rows = transaction.execute(
        "SELECT first, committed_at, header FROM bundles WHERE first > ? ORDER BY first LIMIT ?",
        (after, limit),
    )
    return [(first, at, _counts(header)) for first, at, header in rows]


def _counts(header: bytes) -> _Counts:
    try:
        return _headers.decode(header).counts
    except msgspec.DecodeError:
        return {}


def _merge(transaction: Transaction, sums: dict[tuple[int, int, str, str, str], Figures]) -> None:
    for part in _parts(list(sums)):
        marks = ", ".join(["(?, ?, ?, ?, ?)"] * len(part))
        known = transaction.execute(
            "SELECT width, at, plant, domain, route, figures FROM sla_figures "  # noqa: S608 - marks only
            f"WHERE (width, at, plant, domain, route) IN (VALUES {marks})",
            [value for row in part for value in row],
        )
        for *row, counted in known:
            sums[row[0], row[1], row[2], row[3], row[4]].include(_figures.decode(counted))
        transaction.execute(
            "INSERT OR REPLACE INTO sla_figures VALUES "  # noqa: S608 - marks only
            + ", ".join(["(?, ?, ?, ?, ?, ?)"] * len(part)),
            [value for row in part for value in (*row, msgspec.msgpack.encode(sums[row]))],
        )


def _count(transaction: Transaction, bundles: Iterable[tuple[int, float, _Counts]]) -> None:
    sums = _taken_in(bundles)
    for part in _parts(list(sums)):
        transaction.execute(
            "INSERT INTO sla_intake VALUES "  # noqa: S608 - marks only
            + ", ".join(["(?, ?, ?, ?)"] * len(part))
            + " ON CONFLICT DO UPDATE SET events = events + excluded.events",
            [value for row in part for value in (*row, sums[row])],
        )


def _taken_in(bundles: Iterable[tuple[int, float, _Counts]]) -> dict[tuple[int, str, str], int]:
    sums: dict[tuple[int, str, str], int] = {}
    for _, at, counts in bundles:
        for plant, types in counts.items():
            for name, number in types.items():
                row = (int(at // MINUTE_S * MINUTE_S), plant, _domain(name))
                sums[row] = sums.get(row, 0) + number
    return sums


def _domain(event_type: str) -> str:
    try:
        return catalogue.get(event_type).domain
    except LookupError:
        return NONE


def _parts(rows: list[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(rows), _AT_ONCE):
        yield rows[start : start + _AT_ONCE]


def tidy(transaction: Transaction, now: float, longest_s: float) -> None:
    """Removes what no window reaches any more."""
    for width, kept_s in ((MINUTE_S, _FINE_S), (HOUR_S, longest_s + HOUR_S)):
        transaction.execute("DELETE FROM sla_figures WHERE width = ? AND at < ?", (width, now - kept_s))
    transaction.execute("DELETE FROM sla_intake WHERE at < ?", (now - _FINE_S,))


# ── reading ─────────────────────────────────────────────────────────────────────────────────────


def figures(transaction: Transaction, since: float) -> dict[Key, Figures]:
    """The sums from ``since`` on, which ``began_at`` gives.

    Whole hours are read as hours, what lies before the first one as minutes.
    """
    found: dict[Key, Figures] = {}
    first_hour = -(-since // HOUR_S) * HOUR_S
    _read(transaction, "width = ? AND at >= ? AND at < ?", (MINUTE_S, since, first_hour), found)
    _read(transaction, "width = ? AND at >= ?", (HOUR_S, first_hour), found)
    for _, route, at, measured in _settled(transaction, _marks(transaction)[_DELIVERIES], -1):
        if at >= since:
            _include(found, ((plant, domain, route, counted) for plant, domain, counted in measured))
    return found


def _read(transaction: Transaction, where: str, values: Sequence[float], found: dict[Key, Figures]) -> None:
    rows = transaction.execute(
        f"SELECT plant, domain, route, figures FROM sla_figures WHERE {where}",  # noqa: S608 - texts of ours
        values,
    )
    _include(found, ((plant, domain, route, _figures.decode(row)) for plant, domain, route, row in rows))


def _include(found: dict[Key, Figures], rows: Iterable[tuple[str, str, str, Figures]]) -> None:
    for plant, domain, route, counted in rows:
        found.setdefault((plant, domain, route), Figures()).include(counted)


def minutes(transaction: Transaction, since: float) -> dict[tuple[int, str, str], int]:
    """Deliveries by (minute, plant, domain)."""
    found: dict[tuple[int, str, str], int] = {}
    rows: list[Sequence[Any]] = [
        (at, plant, domain, _figures.decode(row).delivered)
        for at, plant, domain, row in transaction.execute(
            "SELECT at, plant, domain, figures FROM sla_figures WHERE width = ? AND at >= ?",
            (MINUTE_S, since),
        )
    ]
    for _, _, at, measured in _settled(transaction, _marks(transaction)[_DELIVERIES], -1):
        minute = int(at // MINUTE_S * MINUTE_S)
        rows += [(minute, plant, domain, counted.delivered) for plant, domain, counted in measured]
    for at, plant, domain, number in rows:
        if at >= since:
            found[at, plant, domain] = found.get((at, plant, domain), 0) + number
    return found


def intake(transaction: Transaction, since: float) -> dict[tuple[int, str, str], int]:
    """Events taken in by (minute, plant, domain)."""
    found: dict[tuple[int, str, str], int] = {}
    for at, plant, domain, number in transaction.execute(
        "SELECT at, plant, domain, events FROM sla_intake WHERE at >= ?", (since,)
    ):
        found[at, plant, domain] = number
    for row, number in _taken_in(_bundles(transaction, _marks(transaction)[_BUNDLES], -1)).items():
        if row[0] >= since:
            found[row] = found.get(row, 0) + number
    return found
