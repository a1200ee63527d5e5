"""Service levels: what is promised, what came of it, and how much may still go wrong. Pure.

``latency``: good are deliveries within the target by the pipeline's clock; in all there are the
deliveries of the window and the overdue, which is what has not been delivered, waits for longer than
the target, and has not ended as a dead letter. ``failed_rate``: postings that failed for good ÷ postings
that ended. ``backlog_age``: the oldest that waits, parked and dead-lettered apart. A share of nothing is
null.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from msgspec import Struct

from config.model import ServiceLevel
from gateway.sla.buckets import Key
from gateway.sla.figures import Figures
from gateway.sla.unfinished import Failure, Open

__all__ = ["METRICS", "Evidence", "Metric", "Status", "evaluate", "in_scope", "recent_s"]

Status = Literal["ok", "attention", "breached"]
Metric = Literal["latency", "failed_rate", "backlog_age"]
METRICS: Final[tuple[Metric, ...]] = ("latency", "failed_rate", "backlog_age")
_ORDER: Final[tuple[Status, ...]] = ("breached", "attention", "ok")
_LITTLE_LEFT: Final = 0.25
_CLOSE: Final = 0.8
_SHORTEST_S: Final = 300.0


class Evidence(Struct, frozen=True, kw_only=True):
    """What a level is judged by, of its window and of the recent part of it. Times are seconds since 1970."""

    now: float
    since: float
    recent_since: float
    figures: Mapping[Key, Figures]
    recent: Mapping[Key, Figures]
    failed: Sequence[Failure]
    open: Sequence[Open]


def recent_s(window_s: float) -> float:
    """The part of a window that a forecast goes by: a twelfth, five minutes at least."""
    return min(max(window_s / 12, _SHORTEST_S), window_s)


def in_scope(level: ServiceLevel, plant: str, key: Key) -> bool:
    """Whether what is counted under the key belongs to the level at the plant."""
    of, domain, route = key
    return of == plant and domain == level.domain and level.route in {None, route}


def evaluate(name: str, level: ServiceLevel, plant: str, seen: Evidence) -> dict[str, Any]:
    """One level at one plant, as the API shows it."""
    figures, recent = _sum(level, plant, seen.figures), _sum(level, plant, seen.recent)
    waiting = [each for each in seen.open if in_scope(level, plant, (each.plant, each.domain, each.route))]
    failed = [
        each
        for each in seen.failed
        if each.at >= seen.since and in_scope(level, plant, (each.plant, each.domain, each.route))
    ]
    parts = {
        "latency": _latency(level, figures, recent, waiting, seen),
        "failed_rate": _failed_rate(level, figures, len(failed), waiting),
        "backlog_age": _backlog_age(level, waiting, seen.now, idle=not (figures.delivered or failed)),
    }
    found = {part["status"] for part in parts.values() if part is not None}
    return {
        "name": name,
        "owner": level.owner,
        "plant": plant,
        "domain": level.domain,
        "route": level.route,
        "window_s": level.window,
        "status": next((status for status in _ORDER if status in found), None),
        **parts,
    }


def _sum(level: ServiceLevel, plant: str, figures: Mapping[Key, Figures]) -> Figures:
    total = Figures()
    for key, counted in figures.items():
        if in_scope(level, plant, key):
            total.include(counted)
    return total


def _latency(
    level: ServiceLevel, figures: Figures, recent: Figures, waiting: Sequence[Open], seen: Evidence
) -> dict[str, Any] | None:
    if level.latency is None:
        return None
    good, exact = figures.within(level.latency)
    delivered = figures.pipeline.count
    overdue = sum(
        each.events
        for each in waiting
        if each.state != "dead_lettered" and seen.now - each.recorded_at > level.latency
    )
    total, bad = delivered + overdue, delivered - good + overdue
    compliance = good / total if total else None
    allowed = (1 - level.target) * total
    budget = _budget(allowed, bad)
    burn = bad / total / (1 - level.target) if total and level.target < 1 else None
    recent_bad = recent.pipeline.count - recent.within(level.latency)[0] + overdue
    forecast_s = _forecast(
        left=budget["budget_left"],
        bad=recent_bad,
        allowed=(1 - level.target) * (recent.pipeline.count + overdue),
        over_s=seen.now - seen.recent_since,
    )
    status: Status | None = None
    if compliance is not None:
        soon = forecast_s is not None and forecast_s <= level.window
        little = budget["budget_left_share"] is not None and budget["budget_left_share"] < _LITTLE_LEFT
        status = "breached" if compliance < level.target else "attention" if soon or little else "ok"
    return {
        "status": status,
        "target_s": level.latency,
        "share_wanted": level.target,
        "good": good,
        "late": delivered - good,
        "overdue": overdue,
        "total": total,
        "compliance": compliance,
        "exact": exact,
        **budget,
        "burn_rate": None if burn is None else round(burn, 6),
        "breach_forecast_s": forecast_s if status != "breached" else None,
        **figures.pipeline.percentiles(),
    }


def _budget(allowed: float, used: int) -> dict[str, Any]:
    """How many may fail, how many have, how many are left; below zero once it is breached."""
    allowed = round(allowed, 6)  # 0.01 · 700 is not quite 7
    left = round(allowed - used, 6)
    return {
        "budget": allowed,
        "budget_used": used,
        "budget_left": left,
        "budget_left_share": round(left / allowed, 6) if allowed else (0.0 if used else None),
    }


def _forecast(*, left: float, bad: int, allowed: float, over_s: float) -> float | None:
    """Seconds until the budget is used up if all goes on as it did recently; None when it does not shrink."""
    if left <= 0 or bad <= allowed or over_s <= 0:
        return None
    return round(left / ((bad - allowed) / over_s), 1)


def _failed_rate(
    level: ServiceLevel, figures: Figures, failed: int, waiting: Sequence[Open]
) -> dict[str, Any] | None:
    if level.failed_rate is None:
        return None
    ended = figures.delivered + failed
    rate = failed / ended if ended else None
    budget = _budget(level.failed_rate * ended, failed)
    status: Status | None = None
    if rate is not None:
        little = budget["budget_left_share"] is not None and budget["budget_left_share"] < _LITTLE_LEFT
        status = "breached" if rate > level.failed_rate else "attention" if little and failed else "ok"
    return {
        "status": status,
        "limit": level.failed_rate,
        "failed": failed,
        "ended": ended,
        "rate": rate,
        **budget,
        "parked": sum(each.events for each in waiting if each.state == "parked"),
    }


def _backlog_age(
    level: ServiceLevel, waiting: Sequence[Open], now: float, *, idle: bool
) -> dict[str, Any] | None:
    if level.backlog_age is None:
        return None
    moving = [each for each in waiting if each.state == "waiting"]
    oldest_s = max((max(now - each.recorded_at, 0.0) for each in moving), default=None)
    status: Status | None = None if idle and not waiting else "ok"
    if oldest_s is not None and oldest_s > _CLOSE * level.backlog_age:
        status = "breached" if oldest_s > level.backlog_age else "attention"
    return {
        "status": status,
        "limit_s": level.backlog_age,
        "events": sum(each.events for each in moving),
        "oldest_age_s": oldest_s,
    }
