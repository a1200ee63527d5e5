"""Tasks at rest: statements that run inside the journal's transactions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct, field

from canonical.ports import Transaction
from gateway.exceptions.causes import Cause, Kind

__all__ = [
    "TABLES",
    "Note",
    "State",
    "Task",
    "counts",
    "find",
    "known",
    "note",
    "notes",
    "page",
    "put",
    "strike",
    "untold",
]

State = Literal["open", "assigned", "resolved", "reopened"]

TABLES = (
    """CREATE TABLE IF NOT EXISTS exceptions (
        id INTEGER PRIMARY KEY AUTOINCREMENT, cause TEXT NOT NULL UNIQUE, kind TEXT NOT NULL,
        status TEXT NOT NULL, title TEXT NOT NULL, queue TEXT NOT NULL, assignee TEXT NOT NULL,
        priority INTEGER NOT NULL, route TEXT NOT NULL, plant TEXT NOT NULL, refs TEXT NOT NULL,
        occurrences INTEGER NOT NULL, opened_at REAL NOT NULL, last_at REAL NOT NULL, due_at REAL NOT NULL,
        resolved_at REAL, resolved_by TEXT NOT NULL, resolution TEXT NOT NULL, version INTEGER NOT NULL,
        told INTEGER NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS exceptions_untold ON exceptions (id) WHERE told < version",
    """CREATE TABLE IF NOT EXISTS exception_notes (
        id INTEGER PRIMARY KEY AUTOINCREMENT, exception INTEGER NOT NULL, at REAL NOT NULL,
        actor TEXT NOT NULL, text TEXT NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS exception_notes_by_exception ON exception_notes (exception, id)",
)


class Task(Struct, frozen=True, kw_only=True):
    """One task. Times are seconds since 1970 UTC; ``opened_at`` stays when it is reopened.

    ``queue`` is the team that it belongs to, ``assignee`` who took it on, ``priority`` counts from 1, the
    most urgent. ``version`` grows with each change; ``told`` is the last one that was published.
    """

    id: int = 0
    cause: str
    kind: Kind
    status: State = "open"
    title: str
    queue: str
    assignee: str = ""
    priority: int
    route: str = ""
    plant: str = ""
    refs: dict[str, str] = field(default_factory=dict)
    occurrences: int = 1
    opened_at: float
    last_at: float
    due_at: float
    resolved_at: float | None = None
    resolved_by: str = ""
    resolution: str = ""
    version: int = 1
    told: int = 0

    @property
    def open(self) -> bool:
        """Whether somebody is to act."""
        return self.status != "resolved"


class Note(Struct, frozen=True, kw_only=True):
    """What somebody wrote, or what the hub did."""

    at: float
    actor: str
    text: str


_COLUMNS: Final = Task.__struct_fields__
_LIST: Final = ", ".join(_COLUMNS)
_SELECT: Final = f"SELECT {_LIST} FROM exceptions"  # noqa: S608 - names of ours
_FILTERS: Final = frozenset({"kind", "queue", "assignee", "plant", "route", "priority"})


def _task(row: Sequence[Any]) -> Task:
    values = dict(zip(_COLUMNS, row, strict=True))
    values["refs"] = msgspec.json.decode(values["refs"])
    return Task(**values)


def find(transaction: Transaction, identifier: int) -> Task | None:
    """The task, or None."""
    rows = transaction.execute(f"{_SELECT} WHERE id = ?", (identifier,))
    return _task(rows[0]) if rows else None


def known(transaction: Transaction, cause: str) -> Task | None:
    """The task of a cause, open or not."""
    rows = transaction.execute(f"{_SELECT} WHERE cause = ?", (cause,))
    return _task(rows[0]) if rows else None


def put(transaction: Transaction, task: Task) -> Task:
    """Adds or replaces it; returns it with its id."""
    names = [name for name in _COLUMNS if task.id or name != "id"]
    values = {name: getattr(task, name) for name in names}
    values["refs"] = msgspec.json.encode(task.refs).decode()
    (identifier,) = transaction.execute(
        f"INSERT OR REPLACE INTO exceptions ({', '.join(names)}) VALUES ({', '.join('?' * len(names))}) "  # noqa: S608
        "RETURNING id",
        list(values.values()),
    )[0]
    return msgspec.structs.replace(task, id=identifier)


def strike(transaction: Transaction, cause: Cause, at: float, occurrences: int = 1) -> Task | None:
    """What a cause does: opens a task, counts in one that is open, reopens one that is not. None for a cause
    that is gone and was not open."""
    task = known(transaction, cause.key)
    if cause.gone:
        return None if task is None or not task.open else resolve(transaction, task, at, "hub", "it is over")
    if task is None:
        return put(
            transaction,
            Task(
                cause=cause.key,
                kind=cause.kind,
                title=cause.title,
                queue=cause.queue,
                priority=cause.priority,
                route=cause.route,
                plant=cause.plant,
                refs=cause.refs,
                occurrences=occurrences,
                opened_at=at,
                last_at=at,
                due_at=at + cause.due_s,
            ),
        )
    counted = msgspec.structs.replace(task, occurrences=task.occurrences + occurrences, last_at=at)
    if task.open:
        return put(transaction, counted)
    note(transaction, task.id, at, "hub", f"reopened: {cause.title}")
    return put(
        transaction,
        msgspec.structs.replace(
            counted,
            status="reopened",
            title=cause.title,
            due_at=at + cause.due_s,
            resolved_at=None,
            version=task.version + 1,
        ),
    )


def resolve(transaction: Transaction, task: Task, at: float, by: str, resolution: str) -> Task:
    """Ends it, with a note."""
    note(transaction, task.id, at, by, f"resolved: {resolution}")
    return put(
        transaction,
        msgspec.structs.replace(
            task,
            status="resolved",
            resolved_at=at,
            resolved_by=by,
            resolution=resolution,
            version=task.version + 1,
        ),
    )


def page(
    transaction: Transaction,
    filters: Mapping[str, object],
    *,
    open_only: bool = True,
    after: tuple[int, float, int] | None = None,
    limit: int = 100,
) -> list[Task]:
    """By priority, then due time. ``after``: (priority, due_at, id) of the last one had.

    Raises ValueError for an unknown filter.
    """
    unknown = set(filters) - _FILTERS
    if unknown:
        raise ValueError(f"exceptions cannot be filtered by {', '.join(sorted(unknown))}")
    where = "".join(f" AND {name} = ?" for name in filters)
    values = list(filters.values())
    if open_only:
        where += " AND status != 'resolved'"
    if after is not None:
        where += " AND (priority, due_at, id) > (?, ?, ?)"
        values += after
    rows = transaction.execute(
        f"{_SELECT} WHERE TRUE{where} ORDER BY priority, due_at, id LIMIT ?", [*values, limit]
    )
    return [_task(row) for row in rows]


def untold(transaction: Transaction, limit: int = 100) -> list[Task]:
    """Those whose last change was not published yet."""
    return [
        _task(row)
        for row in transaction.execute(f"{_SELECT} WHERE told < version ORDER BY id LIMIT ?", (limit,))
    ]


def mark_told(transaction: Transaction, tasks: Iterable[Task]) -> None:
    """Says that these versions were published."""
    for task in tasks:
        transaction.execute("UPDATE exceptions SET told = max(told, ?) WHERE id = ?", (task.version, task.id))


def note(transaction: Transaction, identifier: int, at: float, actor: str, text: str) -> None:
    """Adds a line to its history."""
    transaction.execute(
        "INSERT INTO exception_notes (exception, at, actor, text) VALUES (?, ?, ?, ?)",
        (identifier, at, actor, text),
    )


def notes(transaction: Transaction, identifier: int) -> list[Note]:
    """Its history, oldest first."""
    rows = transaction.execute(
        "SELECT at, actor, text FROM exception_notes WHERE exception = ? ORDER BY id", (identifier,)
    )
    return [Note(at=at, actor=actor, text=text) for at, actor, text in rows]


def counts(transaction: Transaction) -> list[tuple[str, str, int]]:
    """(queue, kind, number) of those that are open."""
    rows = transaction.execute(
        "SELECT queue, kind, count(*) FROM exceptions WHERE status != 'resolved' GROUP BY queue, kind"
    )
    return [(queue, kind, number) for queue, kind, number in rows]


def durations(transaction: Transaction, since: float) -> list[float]:
    """Seconds from opening to resolution of what was resolved since then, ascending."""
    rows = transaction.execute(
        "SELECT resolved_at - opened_at FROM exceptions WHERE status = 'resolved' AND resolved_at >= ? "
        "ORDER BY 1",
        (since,),
    )
    return [seconds for (seconds,) in rows]
