"""Dead letters that failed alike, counted: what a person looks at first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from canonical.ports import Transaction
from deadletter.store import selection

__all__ = ["TREND_HOURS", "Group", "groups"]

TREND_HOURS: Final = 24
_HOUR_S: Final = 3600.0


class Group(Struct, frozen=True, kw_only=True):
    """Open dead letters of one fingerprint. ``error`` and ``plant`` are the newest one's.

    ``trend`` has how many arrived in each of the last 24 hours, the oldest hour first.
    """

    fingerprint: str
    kind: str
    route: str
    adapter: str
    stage: str
    code: str
    error: str
    newest: int
    open: int
    retrying: int
    plant: str
    plants: tuple[str, ...]
    types: tuple[str, ...]
    first_at: float
    last_at: float
    trend: tuple[int, ...]


def groups(
    transaction: Transaction,
    filters: Mapping[str, object],
    *,
    now: float,
    plants: Sequence[str] | None = None,
    sees: Callable[[str, str], bool] = lambda _plant, _type: True,
    limit: int = 100,
) -> list[Group]:
    """The largest first. ``sees(plant, type)`` says what counts. Raises ValueError for an unknown filter."""
    where, values = selection(filters, plants=plants)
    rows = transaction.execute(
        "SELECT fingerprint, plant, type, status, count(*), min(first_at), max(last_at), max(id) "  # noqa: S608
        f"FROM dead_letters WHERE status IN ('open', 'retrying'){where} "
        "GROUP BY fingerprint, plant, type, status",
        values,
    )
    found: dict[str, list[Sequence[Any]]] = {}
    for row in rows:
        if sees(row[1], row[2]):
            found.setdefault(row[0], []).append(row)
    largest = sorted(found.items(), key=lambda item: (-sum(row[4] for row in item[1]), item[0]))[:limit]
    trends = _trends(transaction, where, values, now, sees)
    return [_group(transaction, fingerprint, parts, trends) for fingerprint, parts in largest]


def _group(
    transaction: Transaction,
    fingerprint: str,
    parts: Sequence[Sequence[Any]],
    trends: Mapping[str, Sequence[int]],
) -> Group:
    newest = max(part[7] for part in parts)
    kind, route, adapter, stage, code, error, plant = transaction.execute(
        "SELECT kind, route, adapter, stage, code, error, plant FROM dead_letters WHERE id = ?", (newest,)
    )[0]
    return Group(
        fingerprint=fingerprint,
        kind=kind,
        route=route,
        adapter=adapter,
        stage=stage,
        code=code,
        error=error,
        newest=newest,
        open=sum(part[4] for part in parts if part[3] == "open"),
        retrying=sum(part[4] for part in parts if part[3] == "retrying"),
        plant=plant,
        plants=tuple(sorted({part[1] for part in parts if part[1]})),
        types=tuple(sorted({part[2] for part in parts if part[2]})),
        first_at=min(part[5] for part in parts),
        last_at=max(part[6] for part in parts),
        trend=tuple(trends.get(fingerprint, (0,) * TREND_HOURS)),
    )


def _trends(
    transaction: Transaction,
    where: str,
    values: Sequence[object],
    now: float,
    sees: Callable[[str, str], bool],
) -> dict[str, list[int]]:
    rows = transaction.execute(
        "SELECT fingerprint, plant, type, CAST((? - first_at) / ? AS INTEGER) AS hour, count(*) "  # noqa: S608
        f"FROM dead_letters WHERE status IN ('open', 'retrying') AND first_at > ?{where} "
        "GROUP BY fingerprint, plant, type, hour",
        (now, _HOUR_S, now - TREND_HOURS * _HOUR_S, *values),
    )
    found: dict[str, list[int]] = {}
    for fingerprint, plant, type_, hour, number in rows:
        if sees(plant, type_):
            trend = found.setdefault(fingerprint, [0] * TREND_HOURS)
            trend[TREND_HOURS - 1 - min(max(hour, 0), TREND_HOURS - 1)] += number
    return found
