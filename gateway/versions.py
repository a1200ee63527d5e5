"""The versions of the configuration: a row per load, and what each route made of its events since when.

A delivery keeps no payload; with the recipe that was in force when it went out it can be made again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from canonical.ports import Transaction
from config.written import Change, Written, changes

__all__ = ["TABLES", "Recipe", "Version", "keep", "latest", "page", "recipes"]

TABLES: Final = (
    """CREATE TABLE IF NOT EXISTS configurations (
        number INTEGER PRIMARY KEY AUTOINCREMENT, hash TEXT NOT NULL, at REAL NOT NULL, actor TEXT NOT NULL,
        written TEXT NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS recipes (
        route TEXT NOT NULL, version INTEGER NOT NULL, at REAL NOT NULL, recipe TEXT NOT NULL,
        PRIMARY KEY (route, version)) WITHOUT ROWID""",
)
_KEPT: Final = 1000
"""Versions that are listed; the text is kept of the newest only, for the next one's difference."""


class Version(Struct, frozen=True, kw_only=True):
    """One load. ``hash`` is that of what is written; ``at``: seconds since 1970 UTC."""

    number: int
    hash: str
    at: float
    actor: str


class Recipe(Struct, frozen=True, kw_only=True):
    """What a route makes of an event, from a moment on, as JSON (``gateway.recipes``)."""

    version: int
    at: float
    text: str


def keep(
    transaction: Transaction, written: Written, made: Mapping[str, str], *, at: float, by: str
) -> tuple[Version, list[Change] | None]:
    """Adds a version; returns it, and what is otherwise than in the one before, None for the first.

    ``made``: the recipes of all routes. Those that are no longer needed go, with their journal.
    """
    before = transaction.execute("SELECT written FROM configurations ORDER BY number DESC LIMIT 1")
    text = msgspec.json.encode(written.values).decode()
    (number,) = transaction.execute(
        "INSERT INTO configurations (hash, at, actor, written) VALUES (?, ?, ?, ?) RETURNING number",
        (written.hash, at, by, text),
    )[0]
    transaction.execute(
        "UPDATE configurations SET written = '' WHERE number < ? AND written != ''", (number,)
    )
    transaction.execute("DELETE FROM configurations WHERE number <= ?", (number - _KEPT,))
    for route, recipe in made.items():
        now = transaction.execute(
            "SELECT recipe FROM recipes WHERE route = ? ORDER BY version DESC LIMIT 1", (route,)
        )
        if not now or now[0][0] != recipe:
            transaction.execute("INSERT INTO recipes VALUES (?, ?, ?, ?)", (route, number, at, recipe))
    _tidy(transaction)
    version = Version(number=number, hash=written.hash, at=at, actor=by)
    if not before:
        return version, None
    return version, changes(Written(values=msgspec.json.decode(before[0][0] or "{}")), written)


def _tidy(transaction: Transaction) -> None:
    """Recipes that were replaced before the oldest event that is still there."""
    transaction.execute(
        "DELETE FROM recipes WHERE version < (SELECT max(r.version) FROM recipes AS r "
        "WHERE r.route = recipes.route AND r.at < (SELECT min(committed_at) FROM bundles))"
    )


def latest(transaction: Transaction) -> Version | None:
    """The newest one."""
    found = page(transaction, limit=1)
    return found[0] if found else None


def page(transaction: Transaction, *, before: int | None = None, limit: int = 100) -> list[Version]:
    """The newest first, those with a number below ``before``."""
    where, values = ("", [limit]) if before is None else (" WHERE number < ?", [before, limit])
    rows: Sequence[Sequence[Any]] = transaction.execute(
        f"SELECT number, hash, at, actor FROM configurations{where} ORDER BY number DESC LIMIT ?",  # noqa: S608
        values,
    )
    return [Version(number=number, hash=text, at=at, actor=by) for number, text, at, by in rows]


def recipes(transaction: Transaction, route: str) -> list[Recipe]:
    """Those of a route that are known, oldest first."""
    rows = transaction.execute(
        "SELECT version, at, recipe FROM recipes WHERE route = ? ORDER BY version", (route,)
    )
    return [Recipe(version=version, at=at, text=text) for version, at, text in rows]
