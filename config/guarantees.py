"""What a route guarantees, worked out of what its sources, the journal and its sink can do.

Between the two the journal keeps everything, once per identity. So what may be lost is lost before it is
taken in, and what may take effect twice does so where a source gives one thing two ids, or where a sink can
neither be asked nor recognise the idempotency key.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from canonical.catalogue import UnknownType
from canonical.duration import format_duration
from canonical.spec import Guarantees
from config.adapter import AdapterConfig
from config.model import Deployment
from config.route import Route
from config.rule_check import emitted, written_rules

__all__ = ["Guarantee", "Level", "falls_short", "guarantee"]

Level = Literal["effectively_once", "at_least_once", "best_effort"]
_REBATCHED = (
    "a document of a batch may go out in another one, under its key, after a 500, or when it is mapped "
    "otherwise by then: leave out `batch`"
)
_PARTLY = 207  # Multi-Status
_READ_ANEW = "what comes again comes under its key, with what the services know by then (`enrich`)"
_RANK: dict[Level, int] = {"best_effort": 0, "at_least_once": 1, "effectively_once": 2}


class Guarantee(Struct, frozen=True, kw_only=True):
    """``level``: ``effectively_once`` (nothing is lost, and takes effect once), ``at_least_once`` (nothing is
    lost), ``best_effort`` (what comes in is not lost). ``because``: what keeps it from being better.
    ``provided``: what it rests on. ``sources``: the adapters that its events may come from."""

    level: Level
    order: Literal["key", "none"]
    sources: list[str]
    because: list[str]
    provided: list[str]


def guarantee(deployment: Deployment, name: str) -> Guarantee:
    """What the route of this name guarantees."""
    route = deployment.routes[name]
    levels: list[Level] = ["effectively_once"]
    because: list[str] = []
    provided: list[str] = []
    sources = _sources(deployment, route)
    for source in sources:
        level, reason, rests_on = _inward(source, deployment.adapters[source])
        levels.append(level)
        because += reason
        provided += rests_on
    if not sources:
        provided.append("who posts to the gateway repeats what got no answer, under the same id")
    if route.enrich is not None:
        provided.append(_READ_ANEW)
    level, reason, rests_on = _outward(route, deployment.adapters.get(route.to.adapter))
    levels.append(level)
    return Guarantee(
        level=min(levels, key=lambda each: _RANK[each]),
        order="key" if route.ordered else "none",
        sources=sources,
        because=because + reason,
        provided=provided + rests_on,
    )


def falls_short(route: Route, found: Guarantee) -> str:
    """Why the route does not keep what it requires; empty when it does."""
    if route.require is None or _RANK[found.level] >= _RANK[route.require]:
        return ""
    return f"{route.require} cannot be kept, only {found.level}: {'; '.join(found.because)}"


# ── the way in ──────────────────────────────────────────────────────────────────────────────────


def _sources(deployment: Deployment, route: Route) -> list[str]:
    """The adapters that may make events for it."""
    try:
        wanted = {entry.suffix for entry in route.types}
    except UnknownType:
        return []
    found = []
    for name, adapter in deployment.adapters.items():
        if not adapter.receives or (route.plants and adapter.plant and adapter.plant not in route.plants):
            continue
        made = emitted(adapter)
        if made is None or made & wanted:
            found.append(name)
    return found


def _inward(name: str, adapter: AdapterConfig) -> tuple[Level, list[str], list[str]]:
    """(level, what it lacks, what it rests on)"""
    can = getattr(adapter.options, "guarantees", None) or adapter.spec.guarantees
    provided = [f"{name}: {can.while_}"] if can.while_ else []
    if not can.redelivers:
        return "best_effort", [f"{name} does not send again what was lost on its way"], provided
    if can.gaps:
        return "best_effort", [f"{name} may miss {can.gaps}; such a gap is recorded"], provided
    if adapter.format is not None and adapter.format.spec.ledger:
        return "effectively_once", [], [*provided, f"{name}: interchanges are taken in once, for good"]
    provided.append(f"{name}: what it sends again comes within {format_duration(adapter.dedupe)} (`dedupe`)")
    if not _same_ids(adapter, can):
        reason = f"{name} may send the same under another id; let its rules make the `id` of what it says"
        return "at_least_once", [reason], provided
    return "effectively_once", [], provided


def _same_ids(adapter: AdapterConfig, can: Guarantees) -> bool:
    """Whether what comes again has the id that it had: its message's, or one that rules make of it."""
    rules = [rule for rule in written_rules(adapter) if not rule.ignore]
    own = bool(rules) and all(rule.id for rule in rules)
    carried = adapter.format is not None and adapter.format.kind == "cloudevents"
    return can.stable_ids or own or carried


# ── the way out ─────────────────────────────────────────────────────────────────────────────────


def _outward(route: Route, adapter: AdapterConfig | None) -> tuple[Level, list[str], list[str]]:
    """(level, what it lacks, what it rests on)"""
    if adapter is None:
        return "at_least_once", [], []
    name, traits = route.to.adapter, adapter.spec.traits
    if not getattr(route.to.options, "confirmed", True):
        return "best_effort", [f"{name} does not confirm what is sent with QoS 0"], []
    if route.batch is not None:
        return "at_least_once", [_REBATCHED], _taken_whole(route)
    if adapter.idempotent:
        return "effectively_once", [], [f"{name} recognises the idempotency key (`idempotent`)"]
    if not traits.lookup or not getattr(adapter.options, "looks_up", True):
        advice = "give it a `lookup`, or say" if hasattr(adapter.options, "looks_up") else "say"
        lacks = f"{name} cannot be asked what has arrived; {advice} `idempotent: true` if its system takes "
        return "at_least_once", [lacks + "no delivery twice under one idempotency key"], []
    if traits.forgets:
        return "at_least_once", [f"{name} does not find {traits.forgets} when it is asked"], []
    return "effectively_once", [], [f"{name} is asked before anything is sent again"]


def _taken_whole(route: Route) -> list[str]:
    """What a batch rests on where an answer that tells documents apart counts as all of them."""
    success = getattr(route.to.options, "success", None)
    if success is None or _PARTLY not in success:
        return []
    return [f"{route.to.adapter} takes a batch as a whole: a 207 counts as all of it (see `success`)"]
