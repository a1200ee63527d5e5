"""Routes that enrich: whether their keys can be read, and whether anything reads what they add."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from canonical import catalogue
from canonical.catalogue import EventType
from canonical.expression import (
    ENRICHED_PART_VARIABLES,
    ENRICHED_VARIABLES,
    ExpressionError,
    compile_expression,
)
from config.adapter import Codes
from config.document import Node, Path, spell
from config.enrichment import Record, Records, code_domain, services
from config.expression_check import expression_findings
from config.findings import Finding
from config.route import Route
from config.view import View, path_text

__all__ = ["coded_findings", "enrich_findings", "records_of"]


def records_of(view: View, path: Path) -> Records | None:
    """What the route at ``path`` enriches by, as written; None when it does not."""
    node = view.root.find(*path, "enrich")
    if node is None or not isinstance(node.value, dict):
        return None
    return {str(name): _record(entry.node) for name, entry in node.value.items()}


def _record(node: Node) -> Record | None:
    service, missing = node.find("from"), node.find("missing")
    if service is None or service.value not in services():
        return None
    return Record(str(service.value), missing is not None and missing.value == "omit")


def enrich_findings(view: View, path: Path, types: Sequence[EventType]) -> Iterator[Finding]:
    """What is wrong with ``key`` and ``plant``; and a warning for what a map does not read."""
    name = path_text(path)
    for label in records_of(view, path) or ():
        for field in ("key", "plant"):
            node = view.root.find(*path, "enrich", label, field)
            if node is not None and isinstance(node.value, str) and not node.unresolved:
                yield from expression_findings(f"{name}.enrich.{label}.{field}", node, types)
        if not _read(view, path, label):
            yield view.place(*path, "enrich", label).finding(
                f"{name}.enrich.{label}: neither map nor to reads enrich.{label}", warning=True
            )


def coded_findings(view: View, name: str, route: Route, types: Sequence[EventType]) -> Iterator[Finding]:
    """Warnings for canonical codes of a record among those that the route translates for its target."""
    path: Path = ("routes", name)
    records, node = records_of(view, path), view.root.find(*path, "map")
    if route.codes is None or records is None or node is None or not isinstance(node.value, dict):
        return
    variables = ENRICHED_PART_VARIABLES if route.split else ENRICHED_VARIABLES
    for inner, scalar in node.scalars():
        try:
            expression = compile_expression(str(scalar.value), variables)
        except ExpressionError:
            continue  # which is told already
        for reference in expression.references if "lookup(" not in expression.source else ():
            domain = code_domain(reference, records)
            if domain in _translated(route.codes, types):
                yield scalar.place(reference.offset).finding(
                    f"{spell((*path, 'map', *inner))}: {reference.path} holds canonical codes; "
                    f'lookup("{domain}", "{route.codes.system}", …) gives those of the target',
                    warning=True,
                )


def _translated(codes: Codes, types: Sequence[EventType]) -> set[str]:
    """The domains of the codes that a route translates."""
    known = {field: domain for entry in types for field, domain in catalogue.code_fields(entry.suffix)}
    if codes.fields is None:
        return set(known.values())
    return {known[field] for field in codes.fields if field in known}


def _read(view: View, path: Path, label: str) -> bool:
    """Whether a map or a template mentions it; a function may."""
    written = view.root.find(*path, "map")
    if written is None or not isinstance(written.value, dict):
        return True
    texts = [
        str(scalar.value)
        for section in ("map", "to")
        if (node := view.root.find(*path, section)) is not None
        for _, scalar in node.scalars()
    ]
    mention = re.compile(rf"""\benrich\b(?!\s*\.|\s*\[)|\benrich\s*\.\s*\??\s*{label}\b|\benrich\s*\[""")
    return any(mention.search(text) for text in texts)
