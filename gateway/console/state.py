"""How adapters and routes do, in one of five words: fine, or attention, warning, failed, stale."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from msgspec import Struct

from gateway.auth import Principal
from gateway.hub import Adapter, Hub
from router.engine import Engine

__all__ = ["ORDER", "RouteRow", "Severity", "Tile", "route_rows", "tile", "tiles"]

Severity = Literal["", "attention", "stale", "warning", "failed"]
ORDER: tuple[Severity, ...] = ("failed", "warning", "attention", "stale", "")
_FLOOR = frozenset({"opcua", "mqtt", "sparkplug", "modbus", "s7"})


class Tile(Struct, frozen=True, kw_only=True):
    """One adapter. ``word`` says its state; ``detail`` what it says of itself."""

    name: str
    kind: str
    plant: str | None
    partner: str | None
    place: Literal["floor", "partners", "systems"]
    severity: Severity
    word: str
    detail: str
    last_good_at: datetime | None
    receives: bool
    delivers: bool


class RouteRow(Struct, frozen=True, kw_only=True):
    """One route; ``waiting``, ``parked`` and ``dead`` are of the plants that may be seen."""

    name: str
    types: list[str]
    plants: list[str]
    to: str
    owner: str
    severity: Severity
    word: str
    reason: str
    paused_for_s: float | None
    probe_in_s: float | None
    waiting: int
    oldest_at: datetime | None
    parked: int
    dead: int
    guarantee: str
    because: list[str]
    provided: list[str]


def tile(hub: Hub, adapter: Adapter) -> Tile:
    """How one adapter does."""
    severity, word = _state(hub, adapter)
    config = adapter.config
    if config.partner:
        place: Literal["floor", "partners", "systems"] = "partners"
    else:
        place = "floor" if config.kind in _FLOOR else "systems"
    return Tile(
        name=adapter.name,
        kind=config.kind,
        plant=adapter.plant,
        partner=config.partner,
        place=place,
        severity=severity,
        word=word,
        detail=adapter.health.detail,
        last_good_at=adapter.health.last_good_at,
        receives=adapter.source is not None,
        delivers=adapter.sink is not None,
    )


def _state(hub: Hub, adapter: Adapter) -> tuple[Severity, str]:
    health = adapter.health
    if not health.connected:
        return "failed", "not connected"
    if not health.flowing(hub.clock()):
        return "stale", "no data"
    if any(engine.route.to == adapter.name and _paused(engine) for engine in hub.engines.values()):
        return "warning", "does not answer"
    return "", "connected"


def _paused(engine: Engine) -> bool:
    return engine.status.state == "paused"


def tiles(hub: Hub, principal: Principal) -> list[Tile]:
    """Every adapter that may be seen, in the order of the configuration."""
    return [tile(hub, adapter) for adapter in hub.adapters.values() if principal.sees(adapter.plant)]


def route_rows(hub: Hub, principal: Principal) -> list[RouteRow]:
    """Every route that may be seen, by the last snapshot and its own state of this moment."""
    return [
        _row(hub, name, engine, principal)
        for name, engine in hub.engines.items()
        if principal.plants is None
        or not engine.route.plants
        or not principal.plants.isdisjoint(engine.route.plants)
    ]


def _row(hub: Hub, name: str, engine: Engine, principal: Principal) -> RouteRow:
    snapshot, status = hub.metrics.snapshot, engine.status

    def seen(plant: str, route: str) -> bool:
        return route == name and principal.sees(None if plant == "-" else plant)

    waiting = [each for each in snapshot.backlog if seen(each.plant, each.route)]
    paused, guarantee = _paused(engine), hub.guarantees.get(name)
    return RouteRow(
        name=name,
        types=sorted(engine.route.types),
        plants=sorted(engine.route.plants),
        to=engine.route.to,
        owner=engine.route.owner,
        severity="warning" if paused else "",
        word="waits for its target" if paused else "catching up" if status.lagging else "flowing",
        reason=status.reason if paused else "",
        paused_for_s=status.paused_for_s,
        probe_in_s=status.probe_in_s,
        waiting=sum(each.events for each in waiting),
        oldest_at=min((each.oldest_at for each in waiting if each.oldest_at), default=None),
        parked=sum(
            rows for plant, of, state, rows in snapshot.lanes if state == "parked" and seen(plant, of)
        ),
        dead=sum(count for plant, of, count in snapshot.dead_letters if seen(plant, of)),
        guarantee=guarantee.level.replace("_", " ") if guarantee else "",
        because=guarantee.because if guarantee else [],
        provided=guarantee.provided if guarantee else [],
    )
