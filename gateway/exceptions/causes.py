"""From the hub's own events to causes: what is wrong, whose it is, and how urgent. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from msgspec import Struct, field, structs

from canonical import catalogue
from canonical.event import Event
from config.exceptions import NOBODY, STEWARDS, ClassName, Exceptions
from deadletter.entry import fingerprint

__all__ = ["SOURCE", "TYPES", "Cause", "Kind", "Rules", "cause_of"]

Kind = Literal["business", "technical"]
"""``business``: somebody has to decide or supply something; ``technical``: somebody has to mend something."""

SOURCE: Final = "/hub/exceptions"
"""CloudEvents source of the events that tell how a task moved on."""
TYPES: Final = tuple(
    catalogue.full_name(suffix)
    for suffix in (
        "masterdata.mapping.unresolved",
        "integration.message.dead_lettered",
        "integration.sla.breached",
        "integration.exception.changed",
    )
)
_UNRESOLVED, _DEAD, _BREACHED, _CHANGED = TYPES


class Rules(Struct, frozen=True, kw_only=True):
    """What the configuration says: ``owners`` gives the team of each route, ``adapters`` of each adapter,
    ``levels`` of each service level that has one; ``settings`` how urgent what is."""

    owners: Mapping[str, str]
    adapters: Mapping[str, str] = {}
    levels: Mapping[str, str] = {}
    settings: Exceptions = Exceptions()


class Cause(Struct, frozen=True, kw_only=True):
    """Why a task is open. ``key`` is equal for the same cause; ``gone``: the event says that it is over.

    ``refs`` holds what closes it by itself: a code (``domain``, ``system``, ``value``) or a ``fingerprint``.
    """

    key: str
    kind: Kind
    class_: ClassName
    title: str
    queue: str
    priority: int
    due_s: float
    route: str = ""
    plant: str = ""
    gone: bool = False
    refs: dict[str, str] = field(default_factory=dict)


_HOUR_S: Final = 3600.0


def cause_of(event: Event, rules: Rules) -> Cause | None:
    """What an event of one of TYPES tells; None for one of ours, or without a cause."""
    found = _cause(event, rules)
    return None if found is None else _urgent(found, rules.settings)


def _urgent(cause: Cause, settings: Exceptions) -> Cause:
    """As urgent as the configuration says: of its owner, else of its class."""
    due_s, priority = cause.due_s, cause.priority
    for said in (settings.classes.get(cause.class_), settings.owners.get(cause.queue)):
        if said is not None:
            due_s, priority = said.due or due_s, said.priority or priority
    return structs.replace(cause, due_s=due_s, priority=priority)


def _cause(event: Event, rules: Rules) -> Cause | None:
    data: Mapping[str, Any] = event.data if isinstance(event.data, dict) else {}
    if event.source == SOURCE:
        return None
    if event.type == _UNRESOLVED:
        return _unresolved(event, data, rules.owners)
    if event.type == _DEAD:
        return _dead(event, data, rules)
    if event.type == _BREACHED:
        return _breached(event, data, rules.levels)
    return _told(event, data) if event.type == _CHANGED else None


def _unresolved(event: Event, data: Mapping[str, Any], owners: Mapping[str, str]) -> Cause:
    domain, system, value = str(data["domain"]), str(data["system"]), str(data["value"])
    route = _within(event.source, "routes")
    return Cause(
        key=f"code/{domain}/{system}/{value}",
        kind="business",
        class_="unknown_code",
        title=f"{domain} code {value!r} of {system} is unknown",
        queue=owners.get(route) or STEWARDS.get(domain, NOBODY),
        priority=2,
        due_s=8 * _HOUR_S,
        route=route,
        plant=event.plantid or "",
        refs={"domain": domain, "system": system, "value": value},
    )


def _dead(event: Event, data: Mapping[str, Any], rules: Rules) -> Cause:
    route, stage = str(data.get("route") or ""), str(data["stage"])
    where, error = route or _within(event.source, "adapters"), str(data["error"])
    mark = fingerprint(where, stage, str(data["error_class"]), error)
    refused = stage == "sending"
    return Cause(
        key=f"dead/{mark}",
        kind="business" if refused else "technical",
        class_="refused" if refused else "failed",
        title=f"{where}: {error}",
        queue=(rules.owners.get(route) if route else rules.adapters.get(where)) or NOBODY,
        priority=2 if refused else 3,
        due_s=(8 if refused else 24) * _HOUR_S,
        route=route,
        plant=event.plantid or "",
        refs={"fingerprint": mark, "where": where},
    )


def _breached(event: Event, data: Mapping[str, Any], owners: Mapping[str, str]) -> Cause:
    name, plant, metric = str(data["sla"]), str(data.get("plant") or event.plantid or ""), str(data["metric"])
    where = f" at {plant}" if plant else ""
    return Cause(
        key=f"sla/{name}/{plant}/{metric}",
        kind="technical",
        class_="service_level",
        title=f"service level {name}{where} is missed: {metric} {data['observed']:g}, agreed "
        f"{data['threshold']:g}",
        queue=str(data.get("owner") or owners.get(name) or NOBODY),
        priority=1,
        due_s=4 * _HOUR_S,
        plant=plant,
        gone=data.get("status") == "recovered",
        refs={"sla": name},
    )


def _told(event: Event, data: Mapping[str, Any]) -> Cause:
    """An exception that another part of the hub found, such as an overdue acknowledgement."""
    name = str(data["exception"])
    return Cause(
        key=f"told/{name}",
        kind="business",
        class_="told",
        title=str(data.get("summary") or name),
        queue=str(data.get("queue") or NOBODY),
        priority=int(data["priority"]),
        due_s=8 * _HOUR_S,
        plant=event.plantid or "",
        gone=data["status"] == "resolved",
        refs={"exception": name},
    )


def _within(source: str, what: str) -> str:
    """The name after ``/hub/{what}/``; empty for another source."""
    head, _, name = source.partition(f"/{what}/")
    return name if head == "/hub" else ""
