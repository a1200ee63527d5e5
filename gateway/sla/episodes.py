"""Breaches as episodes: each begins once, ends once, and is told once, whatever happens in between.

A breach begins when a level is missed. It ends when the level has been kept for a while without a break,
so that a figure that wavers around its limit makes one episode. The rows are durable and change in the
transaction that records the event, so a restart neither repeats nor forgets one. Pure, but for the
statements at the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from msgspec import Struct, structs

from canonical.ports import Transaction
from gateway.sla.levels import Metric

__all__ = ["HOLD_S", "TABLES", "Episode", "Place", "forget", "keep", "known", "step"]

HOLD_S: Final = 60.0
"""How long a level must be kept for its breach to be over."""

Place = tuple[str, str, Metric]
"""(level, plant, metric)."""

TABLES: Final = (
    """CREATE TABLE IF NOT EXISTS sla_episodes (
        level TEXT NOT NULL, plant TEXT NOT NULL, metric TEXT NOT NULL, open INTEGER NOT NULL,
        number INTEGER NOT NULL, began_at REAL NOT NULL, kept_since REAL, ended_at REAL,
        PRIMARY KEY (level, plant, metric)) WITHOUT ROWID""",
)


class Episode(Struct, frozen=True, kw_only=True):
    """The newest breach of a level's metric at a plant. Times are seconds since 1970 UTC.

    ``number`` counts them from 1. ``kept_since``: the level is kept again since then, if it stays so the
    breach is over.
    """

    open: bool
    number: int
    began_at: float
    kept_since: float | None = None
    ended_at: float | None = None


def step(
    episode: Episode | None, breached: bool, now: float, hold_s: float = HOLD_S
) -> tuple[Episode | None, Literal["breached", "recovered"] | None]:
    """(the episode now, what is to be told)."""
    if episode is None or not episode.open:
        if not breached:
            return episode, None
        number = 1 if episode is None else episode.number + 1
        return Episode(open=True, number=number, began_at=now), "breached"
    if breached:
        return structs.replace(episode, kept_since=None), None
    kept_since = now if episode.kept_since is None else min(episode.kept_since, now)
    if now - kept_since < hold_s:
        return structs.replace(episode, kept_since=kept_since), None
    return structs.replace(episode, open=False, kept_since=kept_since, ended_at=now), "recovered"


def known(transaction: Transaction) -> dict[Place, Episode]:
    """The newest episode of each."""
    rows = transaction.execute(
        "SELECT level, plant, metric, open, number, began_at, kept_since, ended_at FROM sla_episodes"
    )
    return {
        (level, plant, metric): Episode(
            open=bool(is_open), number=number, began_at=began_at, kept_since=kept_since, ended_at=ended_at
        )
        for level, plant, metric, is_open, number, began_at, kept_since, ended_at in rows
    }


def keep(transaction: Transaction, changed: Mapping[Place, Episode]) -> None:
    """Writes what changed."""
    for place, episode in changed.items():
        transaction.execute(
            "INSERT OR REPLACE INTO sla_episodes "
            "(level, plant, metric, open, number, began_at, kept_since, ended_at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *place,
                int(episode.open),
                episode.number,
                episode.began_at,
                episode.kept_since,
                episode.ended_at,
            ),
        )


def forget(transaction: Transaction, place: Place) -> None:
    """Ends, without a word, what is promised no more; its number stays."""
    transaction.execute(
        "UPDATE sla_episodes SET open = 0, kept_since = NULL WHERE level = ? AND plant = ? AND metric = ?",
        place,
    )
