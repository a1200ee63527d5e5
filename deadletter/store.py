"""Dead letters at rest: statements that run inside the journal's transactions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from canonical.ports import Transaction
from deadletter.entry import DeadLetter, Status

__all__ = ["TABLES", "add", "counts", "find", "newest_messages", "page", "resolve", "selection", "set_status"]

TABLES = (
    """CREATE TABLE IF NOT EXISTS dead_letters (
        id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, status TEXT NOT NULL, stage TEXT NOT NULL,
        code TEXT NOT NULL, error TEXT NOT NULL, errors TEXT NOT NULL, adapter TEXT NOT NULL,
        plant TEXT NOT NULL, type TEXT NOT NULL, route TEXT NOT NULL, lane_key TEXT NOT NULL,
        position INTEGER, message_id TEXT NOT NULL, body BLOB NOT NULL, content_type TEXT NOT NULL,
        attributes TEXT NOT NULL, event BLOB, attempts INTEGER NOT NULL, first_at REAL NOT NULL,
        last_at REAL NOT NULL, resolved_at REAL, resolved_by TEXT NOT NULL, reason TEXT NOT NULL,
        fingerprint TEXT NOT NULL)""",
    """CREATE UNIQUE INDEX IF NOT EXISTS dead_letter_deliveries ON dead_letters (route, position)
        WHERE kind = 'delivery'""",
    """CREATE UNIQUE INDEX IF NOT EXISTS dead_letter_messages ON dead_letters (adapter, message_id)
        WHERE kind = 'message'""",
    "CREATE INDEX IF NOT EXISTS dead_letters_open ON dead_letters (status, id)",
)

_COLUMNS = [
    *("id", "kind", "status", "stage", "code", "error", "errors", "adapter", "plant", "type", "route"),
    *("lane_key", "position", "message_id", "body", "content_type", "attributes", "event", "attempts"),
    *("first_at", "last_at", "resolved_at", "resolved_by", "reason"),
]
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM dead_letters"  # noqa: S608 - names of ours


def add(transaction: Transaction, letter: DeadLetter) -> int:
    """Keeps it and returns its id. The same message or delivery again updates its row and reopens it."""
    values = {name: getattr(letter, "key" if name == "lane_key" else name) for name in _COLUMNS[1:]}
    values["errors"] = msgspec.json.encode(letter.errors).decode()
    values["attributes"] = msgspec.json.encode(letter.attributes).decode()
    values["fingerprint"] = letter.fingerprint
    target = "(route, position)" if letter.kind == "delivery" else "(adapter, message_id)"
    rows = transaction.execute(
        f"INSERT INTO dead_letters ({', '.join(values)}) VALUES ({', '.join('?' * len(values))}) "  # noqa: S608
        f"ON CONFLICT {target} WHERE kind = '{letter.kind}' DO UPDATE SET status = excluded.status, "
        "code = excluded.code, error = excluded.error, errors = excluded.errors, stage = excluded.stage, "
        "last_at = excluded.last_at, fingerprint = excluded.fingerprint, attempts = CASE kind "
        "WHEN 'message' THEN attempts + 1 ELSE excluded.attempts END RETURNING id",
        list(values.values()),
    )
    return int(rows[0][0])


def _entry(row: Sequence[Any]) -> DeadLetter:
    values = dict(zip(_COLUMNS, row, strict=True))
    values["key"] = values.pop("lane_key")
    values["errors"] = tuple((pointer, detail) for pointer, detail in msgspec.json.decode(values["errors"]))
    values["attributes"] = msgspec.json.decode(values["attributes"])
    return DeadLetter(**values)


def find(transaction: Transaction, identifier: int) -> DeadLetter | None:
    """The dead letter, or None."""
    rows = transaction.execute(f"{_SELECT} WHERE id = ?", (identifier,))
    return _entry(rows[0]) if rows else None


_FILTERS = {
    "status",
    "kind",
    "route",
    "adapter",
    "plant",
    "type",
    "code",
    "fingerprint",
    "position",
    "message_id",
}


def page(
    transaction: Transaction,
    filters: Mapping[str, object],
    *,
    plants: Sequence[str] | None = None,
    before: int | None = None,
    limit: int = 100,
) -> list[DeadLetter]:
    """Newest first, those with an id below ``before``. ``plants``: only these; None means all.

    ``filters`` are column → value. Raises ValueError for a column that cannot be filtered by.
    """
    where, values = selection(filters, plants=plants)
    if before is not None:
        where += " AND id < ?"
        values.append(before)
    rows = transaction.execute(f"{_SELECT} WHERE TRUE{where} ORDER BY id DESC LIMIT ?", [*values, limit])
    return [_entry(row) for row in rows]


def selection(
    filters: Mapping[str, object], *, plants: Sequence[str] | None = None
) -> tuple[str, list[object]]:
    """(conditions, each after an AND, and their values). Raises ValueError for an unknown filter."""
    unknown = set(filters) - _FILTERS
    if unknown:
        raise ValueError(f"dead letters cannot be filtered by {', '.join(sorted(unknown))}")
    where = "".join(f" AND {name} = ?" for name in filters)
    values = list(filters.values())
    if plants is not None:
        where += f" AND plant IN ({', '.join('?' * len(plants))})"
        values += plants
    return where, values


def set_status(transaction: Transaction, identifier: int, status: Status) -> None:
    """Changes the status and nothing else."""
    transaction.execute("UPDATE dead_letters SET status = ? WHERE id = ?", (status, identifier))


def resolve(
    transaction: Transaction, identifier: int, status: Status, *, at: float, by: str = "", reason: str = ""
) -> None:
    """Ends it: recovered or discarded, by whom and why."""
    transaction.execute(
        "UPDATE dead_letters SET status = ?, resolved_at = ?, "
        "resolved_by = coalesce(nullif(?, ''), resolved_by), reason = coalesce(nullif(?, ''), reason) "
        "WHERE id = ?",
        (status, at, by, reason, identifier),
    )


def counts(transaction: Transaction) -> list[tuple[str, str, int]]:
    """(plant or ``-``, route or ``-``, number) of those that are open."""
    rows = transaction.execute(
        "SELECT plant, route, count(*) FROM dead_letters WHERE status IN ('open', 'retrying') "
        "GROUP BY plant, route"
    )
    return [(plant or "-", route or "-", number) for plant, route, number in rows]


def newest_messages(transaction: Transaction, adapter: str, limit: int) -> list[DeadLetter]:
    """An adapter's newest refused messages, oldest first."""
    rows = transaction.execute(
        f"{_SELECT} WHERE kind = 'message' AND adapter = ? ORDER BY id DESC LIMIT ?", (adapter, limit)
    )
    return [_entry(row) for row in reversed(rows)]
