"""The history of crosswalk rows: every act on a row with who, when, why, and the row as it was after it."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import Struct, structs

from canonical.ports import Transaction
from router import crosswalk
from router.crosswalk import Row

__all__ = ["Act", "Step", "keep", "steps"]

Act = Literal["propose", "add", "approve", "change", "retire"]


class Step(Struct, frozen=True, kw_only=True):
    """One act. ``at``: seconds since 1970; ``state``: the row's columns after it."""

    version: int
    at: float
    actor: str
    act: str
    why: str
    state: dict[str, Any]


def keep(
    transaction: Transaction, row: Row, *, act: Act, by: str, why: str, at: float, checked: bool = False
) -> Row:
    """Adds the row, or replaces the one with its id, and writes the step; returns it as it is now.

    ``checked``: that no rows overlap in the end is known, though they may while several are written.
    Raises Overlap.
    """
    if not checked:
        crosswalk.refuse_overlap(transaction, row)
    if row.id:
        crosswalk.replace(transaction, row)
        kept = structs.replace(row, version=row.version + 1)
    else:
        kept = crosswalk.insert(transaction, row)
    transaction.execute(
        "INSERT INTO crosswalk_history (row, version, at, actor, act, why, state) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (kept.id, kept.version, at, by, act, why, msgspec.json.encode(structs.asdict(kept)).decode()),
    )
    return kept


def steps(transaction: Transaction, identifier: int) -> list[Step]:
    """What was done to a row, oldest first. A row of a file, or of before there was a history, has none."""
    found = transaction.execute(
        "SELECT version, at, actor, act, why, state FROM crosswalk_history WHERE row = ? ORDER BY version",
        (identifier,),
    )
    return [
        Step(version=version, at=at, actor=actor, act=act, why=why, state=msgspec.json.decode(state))
        for version, at, actor, act, why, state in found
    ]
