"""Crosswalk files: their rows, and whether there are rows for what adapters and routes translate."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from canonical import catalogue
from config.crosswalks import CrosswalkRow, ambiguous, overlapping, scan
from config.document import Path
from config.findings import Finding, did_you_mean
from config.model import Codes
from config.packages import PACKAGE
from config.rule_check import emitted
from config.view import View

__all__ = ["crosswalk_findings"]

Use = tuple[Path, Codes, set[str]]
"""Where codes are translated: the place of ``codes``, what it says, the suffixes of the event types."""


def crosswalk_findings(view: View) -> Iterator[Finding]:
    """Everything about crosswalks. Without any row in a file nothing is said of systems: they may all
    come through the gateway."""
    zones = {name: plant.timezone for name, plant in view.deployment.plants.items()}
    rows: list[CrosswalkRow] = []
    for index, path in enumerate(view.deployment.crosswalks):
        if not path.is_file():
            yield view.place("crosswalks", index).finding(f"crosswalks: no such file: {path}")
            continue
        found, wrong = scan(path, zones)
        yield from wrong
        rows += found
    yield from overlapping(rows)
    yield from _plants(view, rows)
    yield from _outbound(view, rows)
    domains: dict[str, set[str]] = {}
    for row in rows:
        if row.domain != PACKAGE:
            domains.setdefault(row.system, set()).add(row.domain)
    for use in _uses(view) if domains else ():
        yield from _without_rows(view, use, domains)


def _plants(view: View, rows: Iterable[CrosswalkRow]) -> Iterator[Finding]:
    plants = view.names("plants")
    for row in rows:
        if row.plant and row.plant not in plants:
            hint = did_you_mean(row.plant, plants, otherwise="known")
            yield row.finding(f"unknown plant {row.plant!r}{hint}")


def _outbound(view: View, rows: Iterable[CrosswalkRow]) -> Iterator[Finding]:
    targets = {route.codes.system for route in view.deployment.routes.values() if route.codes}
    yield from ambiguous(row for row in rows if row.system in targets)


def _uses(view: View) -> Iterator[Use]:
    for name, adapter in view.deployment.adapters.items():
        if adapter.codes:
            yield ("adapters", name, "codes"), adapter.codes, emitted(adapter) or set()
    for name, route in view.deployment.routes.items():
        if route.codes:
            yield ("routes", name, "codes"), route.codes, set(_suffixes(route.on))


def _suffixes(names: Iterable[str]) -> Iterator[str]:
    for name in names:
        try:
            yield catalogue.get(name).suffix
        except catalogue.UnknownType:
            continue


def _without_rows(view: View, use: Use, domains: dict[str, set[str]]) -> Iterator[Finding]:
    """A warning for a system, or a domain of it, that no row is about: its events would all be parked."""
    path, codes, suffixes = use
    name = ".".join(str(step) for step in path)
    if codes.system not in domains:
        hint = did_you_mean(codes.system, domains) or "; its codes stay unknown until rows are added"
        yield view.place(*path, "system").finding(
            f"{name}.system: no crosswalk row has the system {codes.system!r}{hint}", warning=True
        )
        return
    for domain, fields in _translated(codes, suffixes).items():
        if domain not in domains[codes.system]:
            advice = "" if codes.fields else "; name in `fields` those that carry its codes"
            yield view.place(*path).finding(
                f"{name}: no crosswalk row for {domain} of {codes.system!r}, so events with {fields[0]} wait "
                f"until there is one{advice}",
                warning=True,
            )


def _translated(codes: Codes, suffixes: set[str]) -> dict[str, list[str]]:
    """The domains that are translated in events of these types, each with its fields.

    Without ``fields``, those that every event has; optional ones may never come.
    """
    found: dict[str, list[str]] = {}
    for suffix in sorted(suffixes):
        for field, domain in catalogue.code_fields(suffix):
            kind = catalogue.field_type(suffix, field)
            always = kind is not None and kind.required
            if field in codes.fields if codes.fields is not None else always:
                found.setdefault(domain, []).append(field)
    return found
