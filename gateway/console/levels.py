"""The room of service levels: what was promised, what is left of it, how long messages take."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from msgspec import Struct
from starlette.responses import Response

from gateway import sla
from gateway.auth import Principal
from gateway.console.guard import room
from gateway.console.pages import page
from gateway.console.state import Severity
from gateway.console.times import duration
from gateway.console.visitor import Looking
from gateway.hub import Hub

__all__ = ["Level", "Promises", "api", "promises"]

api = room()

_WITHIN_S: Final = 1.5
"""A disk that hangs keeps figures from being settled; the page comes all the same, and says so."""
_TREND_MINUTES: Final = 5
_SHORTEST: Final = 15
"""A young hub's minutes are not squeezed into the end of an hour."""
_METRICS: Final = ("latency", "failed_rate", "backlog_age")


class Level(Struct, frozen=True, kw_only=True):
    """One service level at one plant (``-``: none). ``left``: the smallest share of a budget that is left."""

    name: str
    plant: str
    plant_name: str
    owner: str
    severity: Severity
    word: str
    verb: str
    detail: str
    left: float | None
    forecast_s: float | None
    figures: dict[str, Any]

    @property
    def urgency(self) -> tuple[int, float]:
        """Sorts breaches first, then what will be one soonest, last what nobody can judge."""
        place = {"failed": 0, "warning": 1}.get(self.severity, 2 if self.word else 3)
        return place, self.forecast_s if self.forecast_s is not None else float("inf")

    @property
    def note(self) -> str:
        """The budget that is left, in a few words."""
        if not self.word:
            return "nothing to judge yet"
        if self.left is None:
            return "kept" if not self.severity else self.word
        shown = f"{max(self.left, 0.0):.0%} of budget left"
        return f"{shown}, {duration(self.forecast_s)} to go" if self.forecast_s is not None else shown


class Promises(Struct, frozen=True, kw_only=True):
    """What is known of levels and of the last hour; ``known`` False: the journal did not answer in time."""

    levels: list[Level]
    report: dict[str, Any]
    minutes: list[int]
    plants: dict[str, dict[str, list[Any]]]
    known: bool

    def accepted(self, plant: str) -> list[tuple[int, int | None]]:
        """(seconds since 1970, events) of the last hour's full minutes; None: the hub did not run."""
        return self._series(plant, "accepted")

    def delivered(self, plant: str) -> list[tuple[int, int | None]]:
        """The same of deliveries."""
        return self._series(plant, "delivered")

    def _series(self, plant: str, what: str) -> list[tuple[int, int | None]]:
        lists = self.plants.get(plant)
        if lists is None:
            return []
        counted = zip(self.minutes, lists[what], lists["backlog"], strict=True)
        found = [(at, count if count or backlog is not None else None) for at, count, backlog in counted][:-1]
        began = next((place for place, (_, count) in enumerate(found) if count is not None), len(found))
        return found[min(began, len(found) - _SHORTEST) :]

    def trend(self, plant: str, now: int) -> str:
        """``rising``, ``falling`` or ``steady``: what waits, against five minutes ago; empty: not known."""
        lists = self.plants.get(plant)
        then = None if lists is None else lists["backlog"][-1 - _TREND_MINUTES]
        if then is None:
            return ""
        if abs(now - then) <= max(5, then // 10):
            return "steady"
        return "rising" if now > then else "falling"


async def promises(hub: Hub, principal: Principal) -> Promises:
    """What is known now, within a second or two."""
    try:
        async with asyncio.timeout(_WITHIN_S):
            report = await sla.report(hub, principal)
            series = await sla.series(hub, principal)
    except TimeoutError:
        return Promises(levels=[], report={}, minutes=[], plants={}, known=False)
    names = {name: plant.name for name, plant in hub.deployment.plants.items()}
    return Promises(
        levels=[_level(each, names, hub.deployment.company) for each in report["levels"]],
        report=report,
        minutes=[int(at.timestamp()) for at in series["minutes"]],
        plants=series["plants"],
        known=True,
    )


_STATES: Final[dict[str | None, tuple[Severity, str, str]]] = {
    "breached": ("failed", "breached", "is breached"),
    "attention": ("warning", "at risk", "has little left"),
    "ok": ("", "kept", "is kept"),
    None: ("", "", "cannot be judged yet"),
}


def _level(found: dict[str, Any], names: dict[str, str], company: str) -> Level:
    severity, word, verb = _STATES[found["status"]]
    latency, failed = found["latency"] or {}, found["failed_rate"] or {}
    forecast_s = latency.get("breach_forecast_s")
    shares = [part.get("budget_left_share") for part in (latency, failed)]
    return Level(
        name=found["name"],
        plant=found["plant"],
        plant_name=names.get(found["plant"], company),
        owner=found["owner"] or "",
        severity=severity,
        word=word,
        verb="will be breached if it goes on like this" if forecast_s is not None else verb,
        detail=_why(found),
        left=min((share for share in shares if share is not None), default=None),
        forecast_s=forecast_s,
        figures=found,
    )


def _why(found: dict[str, Any]) -> str:
    """What of it is not well, in words."""
    parts = []
    latency, failed, backlog = (found[name] for name in _METRICS)
    if latency and latency["status"] in {"breached", "attention"}:
        late = f"{latency['late'] + latency['overdue']:,} of {latency['total']:,}"
        parts.append(f"{late} took longer than {duration(latency['target_s'])}")
        if latency["breach_forecast_s"] is not None:
            parts.append(f"the budget lasts for {duration(latency['breach_forecast_s'])}")
    if failed and failed["status"] in {"breached", "attention"}:
        parts.append(
            f"{failed['failed']:,} of {failed['ended']:,} failed for good ({failed['limit']:.2%} may)"
        )
    if backlog and backlog["status"] in {"breached", "attention"}:
        oldest, limit = duration(backlog["oldest_age_s"]), duration(backlog["limit_s"])
        parts.append(f"the oldest waits for {oldest} ({limit} may be)")
    return "; ".join(parts) + f". Owner: {found['owner']}." if found["owner"] else "; ".join(parts) + "."


@api.get("/service-levels")
async def service_levels(visitor: Looking) -> Response:
    """Levels by name, then latency and failures by route."""
    found = await promises(visitor.hub, visitor.principal)
    return page(
        visitor,
        "levels.html",
        room="/service-levels",
        promised=found,
        levels=sorted(found.levels, key=lambda level: (level.urgency, level.name)),
        latency=found.report.get("latency", []),
        routes=found.report.get("routes", []),
    )
