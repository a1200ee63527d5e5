"""The service levels' report: for the API, the console and the command line, out of one snapshot."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from canonical.ports import Transaction
from config.model import Deployment, ServiceLevel
from deadletter import store as dead_letters
from gateway.sla import buckets, unfinished
from gateway.sla.buckets import MINUTE_S, Key
from gateway.sla.figures import NONE, Figures
from gateway.sla.levels import Evidence, evaluate, in_scope, recent_s
from gateway.sla.samples import backlog_since
from gateway.sla.unfinished import Failure, Open, counted
from router.journal import StorageError

if TYPE_CHECKING:
    from gateway.auth import Principal
    from gateway.hub import Hub

__all__ = ["WINDOW_S", "Seen", "levels_of", "look", "report", "series"]

WINDOW_S: Final = 86_400.0
"""The window of ``latency`` and ``routes`` unless another one is asked for."""
_SERIES_S: Final = 3600
_SETTLE_S: Final = 2.0


class Seen(Struct, frozen=True, kw_only=True):
    """What the figures of a moment are made of. ``figures`` by the beginning of their time."""

    now: float
    figures: dict[float, dict[Key, Figures]]
    failed: Sequence[Failure]
    open: Sequence[Open]
    letters: Sequence[tuple[str, str, int]]


async def report(
    hub: Hub, principal: Principal, plant: str | None = None, window_s: float | None = None
) -> dict[str, Any]:
    """How long messages take, what fails, what waits, and what was promised; what ``GET /v1/sla`` answers.

    Of the plants and domains that the principal sees; ``plant``: only this one, ``-`` what has none.
    ``window_s``: the time of ``latency`` and ``routes``, a day unless given; levels have windows of their
    own. Everything that was delivered before the call is in it.

    - ``since``, ``at``: begin and end of the window, ``window_s``, ``started_at`` (of the hub).
    - ``latency``: [{plant, domain, route, skewed, pipeline, end_to_end}], each clock null or {count,
      mean_ms, p50_ms, p95_ms, p99_ms}.
    - ``routes``: [{plant, route, delivered, failed, failed_rate, backlog, oldest_age_s, parked, held_back,
      dead_letters}].
    - ``levels``: see ``gateway.sla.levels.evaluate``.
    """
    seen = await look(hub, [window_s or WINDOW_S])
    since = buckets.began_at(seen.now, window_s or WINDOW_S)

    def wanted(of: str, domain: str | None = None) -> bool:
        return plant in {None, of} and principal.sees(None if of == NONE else of, domain)

    return {
        "since": _time(since),
        "at": _time(seen.now),
        "window_s": window_s or WINDOW_S,
        "started_at": hub.started_at,
        "latency": _latency(seen.figures[since], wanted),
        "routes": _routes(seen, since, wanted),
        "levels": [
            level for level in levels_of(hub.deployment, seen) if wanted(level["plant"], level["domain"])
        ],
    }


async def series(hub: Hub, principal: Principal, plant: str | None = None) -> dict[str, Any]:
    """The last hour by the minute, for sparklines, oldest first; the last minute is not over yet.

    ``minutes``: when each begins. ``plants``: {plant: {accepted, delivered, backlog, oldest_age_s}}, lists
    as long; backlog and age are the worst that were seen in the minute, null where the hub did not run.
    """
    now = hub.clock().timestamp()
    first = int(now // MINUTE_S - (_SERIES_S // MINUTE_S - 1)) * MINUTE_S
    begins = list(range(first, first + _SERIES_S, MINUTE_S))

    def work(transaction: Transaction) -> tuple[Any, Any, Any]:
        return (
            buckets.intake(transaction, first),
            buckets.minutes(transaction, first),
            backlog_since(transaction, first),
        )

    await _settle(hub)
    accepted, delivered, waiting = await hub.journal.read(work)
    plants = [*hub.deployment.plants, NONE] if plant is None else [plant]

    def shown(of: str) -> dict[str, Any]:
        return {
            "accepted": [
                sum(
                    accepted.get((at, of, domain), 0)
                    for domain in {key[2] for key in accepted}
                    if principal.sees(None if of == NONE else of, domain)
                )
                for at in begins
            ],
            "delivered": [
                sum(
                    number
                    for (minute, on, domain), number in delivered.items()
                    if (minute, on) == (at, of) and principal.sees(None if of == NONE else of, domain)
                )
                for at in begins
            ],
            "backlog": [waiting.get((at, of), (None, None))[0] for at in begins],
            "oldest_age_s": [waiting.get((at, of), (None, None))[1] for at in begins],
        }

    visible = [of for of in plants if principal.sees(None if of == NONE else of)]
    return {"minutes": [_time(at) for at in begins], "plants": {of: shown(of) for of in visible}}


# ── looking ─────────────────────────────────────────────────────────────────────────────────────


async def look(hub: Hub, windows_s: Iterable[float]) -> Seen:
    """What the levels, and these windows, need; what was settled before the call is in it."""
    await _settle(hub)
    open_now = await unfinished.on_their_way(hub)
    now = hub.clock().timestamp()
    lengths = {*windows_s}
    for level in hub.deployment.service_levels.values():
        lengths |= {level.window, recent_s(level.window)}
    begins = {buckets.began_at(now, length) for length in lengths}

    def work(transaction: Transaction) -> Seen:
        return Seen(
            now=now,
            figures={since: buckets.figures(transaction, since) for since in begins},
            failed=unfinished.failures(transaction, min(begins, default=now)),
            open=(*open_now, *unfinished.in_lanes(transaction)),
            letters=dead_letters.counts(transaction),
        )

    return await hub.journal.read(work)


async def _settle(hub: Hub) -> None:
    """Commits what the routes have handed in. A disk that takes nothing, or hangs, must not hide the rest."""
    with contextlib.suppress(StorageError, TimeoutError):
        async with asyncio.timeout(_SETTLE_S):
            await hub.journal.write(lambda _: None)


def levels_of(deployment: Deployment, seen: Seen) -> list[dict[str, Any]]:
    """Every level at every plant that it is for; at no plant (``-``) only where there is something."""
    found = []
    for name, level in deployment.service_levels.items():
        since = buckets.began_at(seen.now, level.window)
        recent_since = buckets.began_at(seen.now, recent_s(level.window))
        evidence = Evidence(
            now=seen.now,
            since=since,
            recent_since=recent_since,
            figures=seen.figures[since],
            recent=seen.figures[recent_since],
            failed=seen.failed,
            open=seen.open,
        )
        found += [evaluate(name, level, plant, evidence) for plant in _plants(deployment, level, evidence)]
    return found


def _plants(deployment: Deployment, level: ServiceLevel, seen: Evidence) -> list[str]:
    if level.plants is not None:
        return list(level.plants)
    keys = {
        *seen.figures,
        *((each.plant, each.domain, each.route) for each in seen.open),
        *((each.plant, each.domain, each.route) for each in seen.failed),
    }
    nowhere = any(in_scope(level, NONE, key) for key in keys)
    return [*deployment.plants, *([NONE] if nowhere else [])]


# ── showing ─────────────────────────────────────────────────────────────────────────────────────


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _latency(figures: dict[Key, Figures], wanted: Callable[[str, str], bool]) -> list[dict[str, Any]]:
    return [
        {
            "plant": plant,
            "domain": domain,
            "route": route,
            "skewed": counts.skewed,
            "pipeline": _clock(counts.pipeline),
            "end_to_end": _clock(counts.end_to_end),
        }
        for (plant, domain, route), counts in sorted(figures.items())
        if wanted(plant, domain)
    ]


def _clock(durations: Any) -> dict[str, Any] | None:
    if not durations.count:
        return None
    mean_ms = round(durations.total_s / durations.count * 1000, 3)
    return {"count": durations.count, "mean_ms": mean_ms, **durations.percentiles()}


def _routes(seen: Seen, since: float, wanted: Callable[..., bool]) -> list[dict[str, Any]]:
    figures, failed = seen.figures[since], counted(seen.failed, since)
    keys = {*figures, *failed, *((each.plant, each.domain, each.route) for each in seen.open)}
    shown = {key for key in keys if wanted(key[0], key[1])}
    places = {(plant, route) for plant, _, route in shown}
    places |= {(plant, route) for plant, route, _ in seen.letters if wanted(plant)}
    return [
        _route(seen, plant, route, [key for key in shown if (key[0], key[2]) == (plant, route)], since)
        for plant, route in sorted(places)
    ]


def _route(seen: Seen, plant: str, route: str, keys: list[Key], since: float) -> dict[str, Any]:
    failures_by = counted(seen.failed, since)
    delivered = sum(seen.figures[since][key].delivered for key in keys if key in seen.figures[since])
    failed = sum(failures_by.get(key, 0) for key in keys)
    here = [each for each in seen.open if (each.plant, each.domain, each.route) in keys]
    waiting = [each for each in here if each.state == "waiting"]
    oldest = min((each.recorded_at for each in waiting), default=None)
    states = {
        state: sum(each.events for each in here if each.state == state) for state in ("parked", "held_back")
    }
    return {
        "plant": plant,
        "route": route,
        "delivered": delivered,
        "failed": failed,
        "failed_rate": failed / (delivered + failed) if delivered + failed else None,
        "backlog": sum(each.events for each in waiting),
        "oldest_age_s": None if oldest is None else max(seen.now - oldest, 0.0),
        **states,
        "dead_letters": sum(number for of, on, number in seen.letters if (of, on) == (plant, route)),
    }
