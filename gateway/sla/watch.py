"""Looks after the service levels: adds up, keeps the backlog's samples, tells breaches and recoveries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from msgspec import Struct

from canonical import catalogue
from canonical.event import Event
from canonical.ports import Outcome, Transaction
from config.model import Deployment
from gateway.metrics import LevelState
from gateway.sla import buckets, episodes, samples
from gateway.sla.episodes import HOLD_S, Episode, Place
from gateway.sla.figures import NONE
from gateway.sla.levels import METRICS
from gateway.sla.report import Seen, levels_of, look
from router.journal import IngestBatch
from router.notices import HUB, notice_message

if TYPE_CHECKING:
    from gateway.hub import Hub

__all__ = ["SOURCE", "TABLES", "Watch"]

TABLES: Final = (*buckets.TABLES, *samples.TABLES, *episodes.TABLES)
SOURCE: Final = f"{HUB}/sla"
"""CloudEvents source of breaches and recoveries."""
_AT_ONCE: Final = 100  # settlements added up in one transaction: ingest waits for it, some milliseconds
_SUFFIX: Final = "integration.sla.breached"
_MEASURED: Final = {
    "latency": ("share_wanted", "compliance"),
    "failed_rate": ("limit", "rate"),
    "backlog_age": ("limit_s", "oldest_age_s"),
}


class Told(Struct, frozen=True, kw_only=True):
    """A breach, or the end of one."""

    place: Place
    episode: Episode
    what: Literal["breached", "recovered"]
    level: dict[str, Any]


class Watch:
    """One look after the other; ``hold_s``: see ``gateway.sla.episodes``."""

    def __init__(self, hub: Hub, *, hold_s: float = HOLD_S) -> None:
        self._hub, self.hold_s = hub, hold_s

    async def fold(self) -> None:
        """Adds up what was settled since the last time, in small steps."""
        while await self._hub.journal.write(lambda t: buckets.fold(t, _AT_ONCE)):
            pass

    async def look(self) -> None:
        """Looks at every level once."""
        hub = self._hub
        seen = await look(hub, ())
        levels = levels_of(hub.deployment, seen)
        await self._keep(seen, hub.deployment)
        before = await hub.journal.read(episodes.known)
        now, told = self._steps(levels, before, seen.now)
        gone = [place for place, episode in before.items() if episode.open and place not in now]
        changed = {place: episode for place, episode in now.items() if before.get(place) != episode}
        if changed or gone:
            await self._record(changed, gone, told)
        for one in told:
            self._log(one)
        hub.metrics.levels = tuple(_state(level, {**before, **now}) for level in levels)

    async def _keep(self, seen: Seen, deployment: Deployment) -> None:
        longest_s = max([level.window for level in deployment.service_levels.values()], default=0.0)

        def work(transaction: Transaction) -> None:
            samples.sample(transaction, deployment.plants, seen.open, seen.now)
            buckets.tidy(transaction, seen.now, max(longest_s, buckets.SHOWN_S))

        await self._hub.journal.write(work)

    def _steps(
        self, levels: Sequence[dict[str, Any]], before: Mapping[Place, Episode], now: float
    ) -> tuple[dict[Place, Episode], list[Told]]:
        after: dict[Place, Episode] = {}
        told: list[Told] = []
        for level in levels:
            for metric in METRICS:
                if level[metric] is None:
                    continue
                place: Place = (level["name"], level["plant"], metric)
                breached = level[metric]["status"] == "breached"
                episode, what = episodes.step(before.get(place), breached, now, self.hold_s)
                if episode is not None:
                    after[place] = episode
                    if what is not None:
                        told.append(Told(place=place, episode=episode, what=what, level=level))
        return after, told

    async def _record(
        self, changed: Mapping[Place, Episode], gone: Sequence[Place], told: Sequence[Told]
    ) -> None:
        """The episodes with their events, in one transaction."""

        def within(transaction: Transaction, outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
            episodes.keep(transaction, changed)
            for place in gone:
                episodes.forget(transaction, place)
            return outcomes

        messages = [notice_message(_event(one)) for one in told]
        await self._hub.journal.append(
            IngestBatch(adapter="hub", messages=messages, within=within), urgent=True
        )

    def _log(self, one: Told) -> None:
        level, plant, metric = one.place
        threshold, observed = _values(one)
        said = {
            "service_level": level,
            "plant": plant,
            "metric": metric,
            "threshold": threshold,
            "observed": observed,
            "owner": one.level["owner"],
        }
        if one.what == "breached":
            self._hub.log.warning("service_level_breached", **said)
        else:
            self._hub.log.info("service_level_recovered", **said)


def _values(one: Told) -> tuple[float, float | None]:
    wanted, found = _MEASURED[one.place[2]]
    part = one.level[one.place[2]]
    return part[wanted], part[found]


def _event(one: Told) -> Event:
    """``integration.sla.breached``, its id made of the episode, so that it is recorded once."""
    level, plant, metric = one.place
    threshold, observed = _values(one)
    ended = one.episode.ended_at
    now = datetime.fromtimestamp(one.episode.began_at if ended is None else ended, UTC)
    plantid = None if plant == NONE else plant
    data = {
        "sla": level,
        "metric": metric,
        "status": one.what,
        "threshold": threshold,
        "observed": 0.0 if observed is None else observed,
        "window": one.level["window_s"],
        "plant": plantid,
        "domain": one.level["domain"],
    }
    kind = catalogue.get(_SUFFIX)
    subject = catalogue.default_subject(_SUFFIX, data)
    began_ms = round(one.episode.began_at * 1000)
    return Event(
        id=f"{one.what}-{level}-{plant}-{metric}-{began_ms}",
        source=SOURCE,
        type=kind.name,
        time=now,
        recordedtime=now,
        subject=subject,
        plantid=plantid,
        domain=kind.domain,
        partitionkey=catalogue.partition_key(_SUFFIX, data, plantid, subject),
        correlationid=f"{level}-{plant}-{metric}-{began_ms}",
        data=data,
    )


def _state(level: dict[str, Any], found: Mapping[Place, Episode]) -> LevelState:
    name, plant = level["name"], level["plant"]
    latency = level["latency"] or {}
    return LevelState(
        level=name,
        plant=plant,
        compliance=latency.get("compliance"),
        budget_left=latency.get("budget_left_share"),
        breaches={
            metric: found[name, plant, metric].number if (name, plant, metric) in found else 0
            for metric in METRICS
            if level[metric] is not None
        },
    )
