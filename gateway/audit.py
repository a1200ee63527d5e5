"""Who did what, written in the transaction of the act itself, and sealed: see ``gateway.auditchain``."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from canonical.ports import Store, Transaction
from gateway import auditchain
from gateway.auditchain import Row, Seals

__all__ = ["TABLES", "Audit", "Entry", "page"]

TABLES = (
    """CREATE TABLE IF NOT EXISTS audit (
        id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, actor TEXT NOT NULL, act TEXT NOT NULL,
        subject TEXT NOT NULL, details TEXT NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS audit_by_subject ON audit (subject, id)",
    *auditchain.TABLES,
)


class Entry(Struct, frozen=True, kw_only=True):
    """One act. ``at``: seconds since 1970 UTC; ``subject`` is what it was done to (``dead_letter/7``)."""

    id: int
    at: float
    actor: str
    act: str
    subject: str
    details: dict[str, Any]


class Audit:
    """The audit of one data folder, whose sealing key lies beside it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seals: Seals | None = None

    def record(
        self, transaction: Transaction, actor: str, act: str, subject: str, details: Mapping[str, Any]
    ) -> None:
        """Adds a row and its seal; fits ``deadletter.service.Audit``.

        ``details`` are plain JSON values, never a secret.
        """
        at, text = time.time(), msgspec.json.encode(details).decode()
        (number,) = transaction.execute(
            "INSERT INTO audit (at, actor, act, subject, details) VALUES (?, ?, ?, ?, ?) RETURNING id",
            (at, actor, act, subject, text),
        )[0]
        row = Row(id=number, at=at, actor=actor, act=act, subject=subject, details=text)
        auditchain.append(transaction, self.seals, row)

    @property
    def seals(self) -> Seals:
        """What seals; makes the key at its first use. Raises ConfigError for a key that is none."""
        if self._seals is None:
            self._seals = Seals.of(self._folder)
        return self._seals

    async def verify(self, store: Store, *, seal: str = "") -> dict[str, Any]:
        """``findings``, what is wrong, in words, and ``head`` (first, last, seal in hex), or None before the
        first act. ``seal``: one that was kept elsewhere, which must be in the chain still."""
        findings, head = await store.read(lambda t: auditchain.verify(t, self.seals, kept=seal))
        told = None if head is None else {"first": head.first, "last": head.last, "seal": head.seal.hex()}
        return {"findings": findings, "head": told}


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
