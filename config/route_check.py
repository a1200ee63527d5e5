"""Routes: what they name, whether anything can reach them, and what their expressions read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from canonical import catalogue
from canonical.catalogue import EventType, UnknownType
from canonical.errors import ConfigError
from config.aggregate_check import aggregate_findings
from config.batch_check import batch_findings
from config.document import Path, spell
from config.enrich_check import coded_findings, enrich_findings, records_of
from config.expression_check import expression_findings, template_findings
from config.findings import Finding, did_you_mean
from config.guarantees import falls_short, guarantee
from config.mapping import find_function
from config.model import Codes, Route
from config.route import expand
from config.rule_check import emitted
from config.view import View, path_text

__all__ = ["code_findings", "route_findings", "target_path", "type_findings"]


_OWN_DOMAINS = ("integration", "workflow", "insight", "masterdata")
_OWN_TYPES = ("telemetry.source.changed",)


def route_findings(view: View) -> Iterator[Finding]:
    """Everything about the routes; types and expressions also of those that are wrong otherwise."""
    for name in view.names("routes"):
        types = []
        for place, entry in _written_types(view, name):
            yield from type_findings(view, entry, *place)
            types += _types(entry)
        path = ("routes", name)
        yield from view.known("plants", *path, "plants")
        yield from view.known("adapters", *target_path(view, name))
        yield from _expressions(view, path, list(dict.fromkeys(types)))
    for name, route in view.deployment.routes.items():
        yield from _target(view, name, route)
        yield from batch_findings(view, name, route)
        yield from _reachable(view, name, route)
        yield from _renamed(view, name, route)
        yield from _function(view, name, route)
        yield from _required(view, name, route)
        if route.codes:
            types = [found for entry in route.on for found in _types(entry)]
            yield from code_findings(view, route.codes, types, "routes", name, "codes")
            yield from coded_findings(view, name, route, types)


def type_findings(view: View, name: str, *path: str | int) -> Iterator[Finding]:
    """A finding unless the catalogue has the type, or the types, that ``name`` stands for."""
    try:
        expand(name)
    except UnknownType as error:
        hint = "" if error.suggestion else _domain_hint(name)
        yield view.place(*path).finding(f"{path_text(path)}: {error.args[0]}{hint}")


def _domain_hint(name: str) -> str:
    if name == "*":
        return "; name the domains: [telemetry.*, production.*]"
    domains = {entry.domain for entry in catalogue.all_types()}
    return did_you_mean(name.partition(".")[0], domains, otherwise="domains")


def _written_types(view: View, name: str) -> Iterator[tuple[Path, str]]:
    """(path, entry) of what stands under a route's ``on``."""
    node = view.root.find("routes", name, "on")
    for inner, scalar in node.scalars() if node else ():
        if isinstance(scalar.value, str) and not scalar.unresolved:
            yield ("routes", name, "on", *inner), scalar.value


def _types(entry: str) -> list[EventType]:
    """The types that an entry of ``on`` names; none when the catalogue lacks them."""
    try:
        return expand(entry)
    except UnknownType:
        return []


def target_path(view: View, name: str) -> Path:
    """Where the name of a route's target stands."""
    written = view.root.find("routes", name, "to")
    at: Path = ("routes", name, "to")
    return (*at, "adapter") if written and isinstance(written.value, dict) else at


def _target(view: View, name: str, route: Route) -> Iterator[Finding]:
    place = target_path(view, name)
    adapter = view.deployment.adapters.get(route.to.adapter)
    if adapter and adapter.spec.sink is None:
        yield view.place(*place).finding(
            f"{spell(place)}: {route.to.adapter!r} cannot deliver: {adapter.kind!r} takes messages in only"
        )
    if route.split and route.format.kind == "cloudevents":
        yield view.place("routes", name, "split").finding(
            f"routes.{name}.split: the format cloudevents sends whole events; use json"
        )
    if route.format.spec.formatter is None:
        yield view.place("routes", name, "format").finding(
            f"routes.{name}.format: {route.format.kind!r} can be read only, not written"
        )


def _function(view: View, name: str, route: Route) -> Iterator[Finding]:
    """What is wrong with the Python function that maps: it is imported as the hub would."""
    if isinstance(route.map, str):
        try:
            found = find_function(
                route.map,
                view.deployment.python,
                of_parts=bool(route.split),
                enriched=route.enrich is not None,
            )
            if route.enrich and "enrich" not in found.wants:
                yield view.place("routes", name, "enrich").finding(
                    f"routes.{name}.enrich: {route.map} does not ask for enrich, so nothing reads it",
                    warning=True,
                )
        except ConfigError as error:
            yield view.place("routes", name, "map").finding(f"routes.{name}.map: {error.message}")


def _required(view: View, name: str, route: Route) -> Iterator[Finding]:
    if route.require and (short := falls_short(route, guarantee(view.deployment, name))):
        yield view.place("routes", name, "require").finding(f"routes.{name}.require: {short}")


def _reachable(view: View, name: str, route: Route) -> Iterator[Finding]:
    """A warning when no adapter brings what the route waits for; the gateway's callers still may."""
    if len(view.names("adapters")) > len(view.deployment.adapters):
        return  # one of those that are wrong may be meant for it
    sources = [adapter for adapter in view.deployment.adapters.values() if adapter.receives]
    plants = [plant for plant in route.plants or () if plant in view.names("plants")]
    elsewhere = [plant for plant in view.names("plants") if plant not in plants] if plants else []
    near = [adapter for adapter in sources if adapter.plant not in elsewhere]
    where = f" at {' and '.join(plants)}" if plants else ""
    if not near:
        yield _unreached(view, name, "plants" if plants else "on", f"no adapter takes messages in{where}")
        return
    wanted = {entry.suffix for each in route.on for entry in _types(each)}
    made = [emitted(adapter) for adapter in near]
    if wanted and not any(types is None or types & wanted for types in made) and not _from_within(route):
        yield _unreached(view, name, "on", f"no adapter{where} makes such events")


def _unreached(view: View, name: str, key: str, why: str) -> Finding:
    return view.place("routes", name, key).finding(
        f"routes.{name}.{key}: {why}: only events posted to the gateway reach this route", warning=True
    )


def _from_within(route: Route) -> bool:
    """Whether the hub itself, its workflows or models may make such events."""
    return any(
        entry.domain in _OWN_DOMAINS or entry.suffix in _OWN_TYPES
        for each in route.on
        for entry in _types(each)
    )


def _renamed(view: View, name: str, route: Route) -> Iterator[Finding]:
    if route.was and route.was in view.names("routes"):
        yield view.place("routes", name, "was").finding(
            f"routes.{name}.was: the route {route.was!r} is still there; `was` names a gone one"
        )
    others = [
        other for other, each in view.deployment.routes.items() if each.was == route.was and other < name
    ]
    if route.was and others:
        yield view.place("routes", name, "was").finding(
            f"routes.{name}.was: {others[0]!r} already goes on where {route.was!r} stood"
        )


def code_findings(
    view: View, codes: Codes, types: Sequence[EventType], *path: str | int
) -> Iterator[Finding]:
    """A finding for every path of ``codes.fields`` at which none of the types holds codes."""
    for index, field in enumerate(codes.fields or ()):
        if not types or any(catalogue.code_domain(entry.suffix, field) for entry in types):
            continue
        known = {place for entry in types for place, _ in catalogue.code_fields(entry.suffix)}
        there = any(catalogue.has_field(entry.suffix, field) for entry in types)
        problem = f"{field} holds no codes" if there else f"there is no field {field}"
        hint = did_you_mean(field, known, otherwise="fields with codes")
        yield view.place(*path, "fields", index).finding(f"{path_text(path)}.fields: {problem}{hint}")


def _expressions(view: View, path: Path, types: Sequence[EventType]) -> Iterator[Finding]:
    """What is wrong in ``when``, in the fields of ``map`` and in the templates of ``to``."""
    name = path_text(path)
    when = view.root.find(*path, "when")
    if when and isinstance(when.value, str) and not when.unresolved:
        yield from expression_findings(f"{name}.when", when, types)
    split = view.root.find(*path, "split")
    parted = split is not None and isinstance(split.value, str)
    if split and parted and not split.unresolved:
        yield from expression_findings(f"{name}.split", split, types)
    element = str(split.value) if split and parted else ""
    records = records_of(view, path)
    yield from enrich_findings(view, path, types)
    if view.root.find(*path, "aggregate") is not None:
        yield from aggregate_findings(view, path, types)
        types = [catalogue.get("integration.aggregate.completed")]
    for section, check in (("map", expression_findings), ("to", template_findings)):
        node = view.root.find(*path, section)
        for inner, scalar in node.scalars() if node and isinstance(node.value, dict) else ():
            if (
                isinstance(scalar.value, str)
                and not scalar.unresolved
                and (section, inner) != ("to", ("adapter",))
            ):
                yield from check(spell((*path, section, *inner)), scalar, types, element, records)
