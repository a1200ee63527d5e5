"""The first screen: a row per plant, and below it what needs a person now."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from msgspec import Struct
from starlette.responses import Response

from gateway.api.exceptions import seen_tasks
from gateway.console.guard import room
from gateway.console.letters import Missing, counts, groups, missing
from gateway.console.levels import Level, Promises, promises
from gateway.console.needs import needs
from gateway.console.pages import page
from gateway.console.rows import drafts
from gateway.console.state import Tile, route_rows, tiles
from gateway.console.times import clock_time
from gateway.console.visitor import Looking, Visitor
from gateway.console.workbench import waiting_edits

__all__ = ["api"]

api = room()

_FRESH_S = 1.0
_TASKS = 1000
_PLACES = (("floor", "Floor"), ("partners", "Partners"), ("systems", "Systems"))


class PlantRow(Struct, frozen=True, kw_only=True):
    """One plant; ``plant`` is ``-`` for what belongs to none."""

    plant: str
    name: str
    local_time: str
    groups: list[tuple[str, list[Tile]]]
    pulse: list[tuple[int, int | None]]
    rate: int | None
    backlog: int
    oldest_at: datetime | None
    trend: str
    dead: int
    fresh: int
    parked: int
    levels: list[Level]
    known: bool


@api.get("/")
async def overview(visitor: Looking) -> Response:
    """The first screen."""
    hub = visitor.hub
    await hub.metrics.refresh(hub, younger_than_s=_FRESH_S)
    found = tiles(hub, visitor.principal)
    letters = await groups(hub, visitor.principal)
    codes = await missing(hub, visitor.principal)
    routes = route_rows(hub, visitor.principal)
    promised = await promises(hub, visitor.principal)
    tasks = await seen_tasks(hub, visitor.principal, {}, limit=_TASKS)
    edits = await waiting_edits(visitor)
    proposed = await drafts(visitor)
    return page(
        visitor,
        "overview.html",
        room="/",
        rows=await _rows(visitor, found, codes, promised),
        needs=needs(hub, promised.levels, found, routes, letters, codes, tasks, edits, proposed),
    )


async def _rows(
    visitor: Visitor, found: list[Tile], codes: list[Missing], promised: Promises
) -> list[PlantRow]:
    plants = visitor.hub.deployment.plants
    letters = await counts(visitor.hub, visitor.principal)
    parked = Counter(each.plant or "-" for code in codes for each in code.parked)
    named = [(name, plants[name].name) for name in plants if visitor.principal.sees(name)]
    if visitor.principal.plants is None:
        named.append(("-", visitor.hub.deployment.company))
    return [
        _row(visitor, plant, name, found, letters.get(plant, (0, 0)), parked[plant], promised)
        for plant, name in named
    ]


def _row(
    visitor: Visitor,
    plant: str,
    name: str,
    found: list[Tile],
    letters: tuple[int, int],
    parked: int,
    promised: Promises,
) -> PlantRow:
    hub = visitor.hub
    mine = [each for each in found if (each.plant or "-") == plant]
    waiting = [each for each in hub.metrics.snapshot.backlog if each.plant == plant]
    backlog = sum(each.events for each in waiting)
    pulse = promised.accepted(plant)
    return PlantRow(
        plant=plant,
        name=name,
        local_time=clock_time(hub.clock(), visitor.zone(plant)),
        groups=[
            (title, [each for each in mine if each.place == place])
            for place, title in _PLACES
            if any(each.place == place for each in mine)
        ],
        pulse=pulse,
        rate=next((count for _, count in reversed(pulse) if count is not None), None),
        backlog=backlog,
        oldest_at=min((each.oldest_at for each in waiting if each.oldest_at), default=None),
        trend=promised.trend(plant, backlog),
        dead=letters[0],
        fresh=letters[1],
        parked=parked,
        levels=[level for level in promised.levels if level.plant == plant and level.word],
        known=promised.known,
    )
