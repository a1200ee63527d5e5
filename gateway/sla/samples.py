"""The backlog as it was: per minute and plant the worst that was seen."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from canonical.ports import Transaction
from gateway.sla.buckets import MINUTE_S
from gateway.sla.unfinished import Open

__all__ = ["TABLES", "backlog_since", "sample"]

_KEPT_S: Final = 2 * 86_400

TABLES: Final = (
    """CREATE TABLE IF NOT EXISTS sla_backlog (
        at INTEGER NOT NULL, plant TEXT NOT NULL, events INTEGER NOT NULL, oldest_age_s REAL,
        PRIMARY KEY (at, plant)) WITHOUT ROWID""",
)


def sample(transaction: Transaction, plants: Iterable[str], waiting: Iterable[Open], now: float) -> None:
    """Keeps what waits now, at each of the plants, if it is the worst of its minute."""
    events: dict[str, int] = dict.fromkeys(plants, 0)
    oldest: dict[str, float] = {}
    for each in waiting:
        if each.state == "waiting":
            events[each.plant] = events.get(each.plant, 0) + each.events
            oldest[each.plant] = max(oldest.get(each.plant, 0.0), now - each.recorded_at)
    for plant, number in events.items():
        transaction.execute(
            "INSERT INTO sla_backlog VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
            "events = max(events, excluded.events), "
            "oldest_age_s = max(coalesce(oldest_age_s, excluded.oldest_age_s), "
            "coalesce(excluded.oldest_age_s, oldest_age_s))",
            (int(now // MINUTE_S * MINUTE_S), plant, number, oldest.get(plant)),
        )
    transaction.execute("DELETE FROM sla_backlog WHERE at < ?", (now - _KEPT_S,))


def backlog_since(transaction: Transaction, since: float) -> dict[tuple[int, str], tuple[int, float | None]]:
    """(events, age of the oldest in seconds) by (minute, plant)."""
    rows = transaction.execute(
        "SELECT at, plant, events, oldest_age_s FROM sla_backlog WHERE at >= ?", (since,)
    )
    return {(at, plant): (events, age) for at, plant, events, age in rows}
