"""Who did what, written in the transaction of the act itself."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from canonical.ports import Store, Transaction

__all__ = ["TABLES", "Entry", "page", "record"]

TABLES = (
    """CREATE TABLE IF NOT EXISTS audit (
        id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, actor TEXT NOT NULL, act TEXT NOT NULL,
        subject TEXT NOT NULL, details TEXT NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS audit_by_subject ON audit (subject, id)",
)


class Entry(Struct, frozen=True, kw_only=True):
    """One act. ``at``: seconds since 1970 UTC; ``subject`` is what it was done to (``dead_letter/7``)."""

    id: int
    at: float
    actor: str
    act: str
    subject: str
    details: dict[str, Any]


def record(transaction: Transaction, actor: str, act: str, subject: str, details: Mapping[str, Any]) -> None:
    """Adds a row; fits ``deadletter.service.Audit``. ``details`` are plain JSON values, never a secret."""
    transaction.execute(
        "INSERT INTO audit (at, actor, act, subject, details) VALUES (?, ?, ?, ?, ?)",
        (time.time(), actor, act, subject, msgspec.json.encode(details).decode()),
    )


async def page(
    store: Store,
    *,
    actor: str | None = None,
    act: str | None = None,
    subject: str | None = None,
    before: int | None = None,
    limit: int = 100,
) -> list[Entry]:
    """Newest first, those with an id below ``before``."""
    wanted = {"actor = ?": actor, "act = ?": act, "subject = ?": subject, "id < ?": before}
    given = {condition: value for condition, value in wanted.items() if value is not None}
    where = f" WHERE {' AND '.join(given)}" if given else ""
    statement = f"SELECT id, at, actor, act, subject, details FROM audit{where} ORDER BY id DESC LIMIT ?"  # noqa: S608 - conditions of ours
    rows = await store.read(lambda t: t.execute(statement, (*given.values(), limit)))
    return [
        Entry(id=i, at=at, actor=who, act=what, subject=whom, details=msgspec.json.decode(details))
        for i, at, who, what, whom, details in rows
    ]
