"""CEL in a route: whether it compiles, and whether the events of the route have what it reads."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any
from zoneinfo import available_timezones

from canonical import catalogue
from canonical.catalogue import EventType
from canonical.expression import (
    ENRICHED_PART_VARIABLES,
    ENRICHED_VARIABLES,
    EVENT_VARIABLES,
    PART_VARIABLES,
    Expression,
    ExpressionError,
    Template,
    compile_expression,
)
from canonical.values import CODE_DOMAINS
from canonical.wire import Reference
from config.cel import expression_place, in_words
from config.document import Node
from config.enrichment import Records, unknown_field
from config.findings import Finding, did_you_mean

__all__ = ["expression_findings", "failed", "template_findings"]

_LOOKUP = re.compile(r"""\blookup\(\s*(["'])([^"']*)\1\s*,""")
_LOCAL = re.compile(r"""\blocal\((?:[^()'"]|\([^()]*\))*?,\s*(["'])([^"']*)\1""")
_PATH = re.compile(r"data(\.\w+)+")
_SHOWN_TYPES = 2
_ENRICH_HINT = "; only `map` and `to` of a route with `enrich` see it"


def expression_findings(
    name: str, node: Node, types: Sequence[EventType], split: str = "", records: Records | None = None
) -> Iterator[Finding]:
    """What is wrong with the expression written in ``node``, which stands under ``name``; ``split``: what
    its route splits by, so that there are parts to read; ``records``: what it enriches by."""
    try:
        expression = compile_expression(str(node.value), _variables(split, records))
    except ExpressionError as error:
        yield failed(name, node, error)
        return
    yield from _reads(name, node, expression, types, 0, split, records)


def template_findings(
    name: str, node: Node, types: Sequence[EventType], split: str = "", records: Records | None = None
) -> Iterator[Finding]:
    """What is wrong with the expressions in braces in the text of ``node``; likewise."""
    text = str(node.value)
    try:
        parts = Template(text, _variables(split, records)).expressions
    except ExpressionError as error:
        yield failed(name, node, error)
        return
    base = 0
    for part in parts:
        base = text.index(part.source, base)
        yield from _reads(name, node, part, types, base, split, records)
        base += len(part.source)


def _variables(split: str, records: Records | None) -> tuple[str, ...]:
    if records is None:
        return PART_VARIABLES if split else EVENT_VARIABLES
    return ENRICHED_PART_VARIABLES if split else ENRICHED_VARIABLES


def failed(name: str, node: Node, error: ExpressionError) -> Finding:
    """An expression that does not compile, at its place."""
    if node.references:
        where = f"line {error.line}, column {error.column} of {' and '.join(node.references)}"
        return node.mark.finding(f"{name}: not a CEL expression ({where})")
    hint = _ENRICH_HINT if "reference to 'enrich" in error.message else ""
    return expression_place(node, error.line, error.column).finding(
        f"{name}: {in_words(error.message)}{hint}"
    )


def _reads(
    name: str,
    node: Node,
    expression: Expression,
    types: Sequence[EventType],
    base: int,
    split: str,
    records: Records | None = None,
) -> Iterator[Finding]:
    for reference in expression.references:
        if records is not None and reference.path.partition(".")[0] == "enrich":
            wrong = unknown_field(reference, expression.references, records)
        else:
            wrong = _unknown(_of_element(reference, split), types)
        if wrong:
            at = base + reference.offset
            skipped = re.match(r"\.?\??", str(node.value)[at:])
            yield node.place(at + (skipped.end() if skipped else 0)).finding(f"{name}: {wrong}")
    for call in _LOOKUP.finditer(expression.source):
        if call[2] not in CODE_DOMAINS:
            hint = did_you_mean(call[2], CODE_DOMAINS, otherwise="known")
            place = node.place(base + call.start(2))
            yield place.finding(f"{name}: lookup() of the unknown domain {call[2]!r}{hint}")

    for call in _LOCAL.finditer(expression.source):
        if call[2] not in available_timezones():
            hint = did_you_mean(call[2], available_timezones()) or "; write one like Europe/Berlin"
            place = node.place(base + call.start(2))
            yield place.finding(f"{name}: local() in the unknown time zone {call[2]!r}{hint}")


def _of_element(reference: Reference, split: str) -> Reference:
    """What a part reads of its element, as a path of the event; as it is where that is not known."""
    variable, _, rest = reference.path.partition(".")
    if variable != "item":
        return reference
    if not rest or not _PATH.fullmatch(split):
        return Reference(variable, reference.offset)
    return Reference(f"{split}[].{rest}", reference.offset, reference.optional)


def _unknown(reference: Reference, types: Sequence[EventType]) -> str:
    """Why the events lack what is read; empty when they have it.

    What is read as optional must be in one type at least. Any attribute of the envelope may be, since
    events may carry extensions of their own.
    """
    path = reference.path
    if "." not in path or (reference.optional and path.count(".") == 1 and path.startswith("event.")):
        return ""
    lacking = [entry for entry in types if not catalogue.has_field(entry.suffix, path)]
    if not lacking or (reference.optional and len(lacking) < len(types)):
        return ""
    if len(lacking) == len(types):
        return f"{_listed(lacking)} {_have(lacking)} no {path}{_near(path, lacking)}"
    parent, _, field = path.rpartition(".")
    either = f"write {parent}.?{field} or test it by has({path})"
    return f"{_listed(lacking)} {_have(lacking)} no {path}; {either}"


def _listed(types: Sequence[EventType]) -> str:
    names = [entry.suffix for entry in types[:_SHOWN_TYPES]]
    more = len(types) - len(names)
    return " and ".join(names) + (f" and {more} more" if more > 0 else "")


def _have(types: Sequence[EventType]) -> str:
    return "has" if len(types) == 1 else "have"


def _near(path: str, types: Sequence[EventType]) -> str:
    """``; did you mean data.asn?`` from the fields beside the one that is missing."""
    parent, _, field = path.removeprefix("event.").rpartition(".")
    if not parent:
        found = get_close_matches(field, catalogue_attributes(), n=1)
        return f"; did you mean event.{found[0]}?" if found else ""
    beside = {name for entry in types for name in _fields(entry, parent)}
    found = get_close_matches(field, sorted(beside), n=1)
    if found:
        return f"; did you mean {path[: len(path) - len(field)]}{found[0]}?"
    return f"; it has {', '.join(sorted(beside)[:12])}" if beside and len(types) == 1 else ""


def catalogue_attributes() -> list[str]:
    """The attributes of an event's envelope."""
    schema = catalogue.event_json_schema(catalogue.all_types()[0].suffix)
    return [name for name in schema["properties"] if name != "data"]


def _fields(entry: EventType, parent: str) -> list[str]:
    """The names of the fields at ``data``, ``data.lines[]`` … of a type."""
    schema = catalogue.json_schema(entry.suffix)
    opened = _opened(schema, [schema])
    for step in re.findall(r"\[\]|[^.\[\]]+", parent)[1:]:
        inner = [
            shape.get("items") if step == "[]" else shape.get("properties", {}).get(step) for shape in opened
        ]
        opened = _opened(schema, [shape for shape in inner if isinstance(shape, dict)])
    return [name for shape in opened for name in shape.get("properties", ())]


def _opened(schema: Any, shapes: list[Any]) -> list[Any]:
    """The shapes with references followed and alternatives spread out."""
    found: list[Any] = []
    for shape in shapes:
        if "$ref" in shape:
            found += _opened(schema, [schema["$defs"][shape["$ref"].rpartition("/")[2]]])
        else:
            alternatives = [each for each in shape.get("anyOf", ()) if "required" not in each]
            found += _opened(schema, alternatives) if alternatives else [shape]
    return found
