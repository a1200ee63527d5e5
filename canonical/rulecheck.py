"""Everything about event rules that can be known before a record comes."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from canonical import catalogue
from canonical.expression import MESSAGE_VARIABLES, ExpressionError, compile_expression
from canonical.rules import EventRule
from canonical.shapes import Shape, shape_of

__all__ = ["Finding", "check", "place"]

Path = tuple[str | int, ...]

_ANY: Final = Shape(kind="other")
_EXPRESSIONS: Final = ("when", "each", "id", "time", "subject", "plant", "correlationid")
_BEFORE_ITEMS: Final = ("when", "each")
_USELESS_WITH_IGNORE: Final = ("type", "each", "id", "time", "subject", "plant", "correlationid", "data")


class Finding(NamedTuple):
    """What is wrong with a rule: its path from the list of rules, and where in that expression (from 1)."""

    path: Path
    message: str
    line: int = 1
    column: int = 1


def place(path: Path, prefix: str = "events") -> str:
    """A path as people write it: ``events[1].data.value``."""
    return prefix + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)


def check(rules: Sequence[EventRule]) -> list[Finding]:
    """All findings, in the order of the rules; empty when they can be used."""
    findings = [finding for index, rule in enumerate(rules) for finding in _of_rule((index,), rule)]
    always = next((index for index, rule in enumerate(rules) if rule.when is None), len(rules))
    findings += [
        Finding((index,), f"is never reached: {place((always,))} has no `when`, so it always holds")
        for index in range(always + 1, len(rules))
    ]
    return sorted(findings, key=lambda finding: finding.path[:1])


def _of_rule(at: Path, rule: EventRule) -> Iterator[Finding]:
    for name in _EXPRESSIONS:
        source = getattr(rule, name)
        if source is not None:
            yield from _of_expression(
                (*at, name), source, items=bool(rule.each) and name not in _BEFORE_ITEMS
            )
    if rule.ignore:
        useless = [name for name in _USELESS_WITH_IGNORE if getattr(rule, name)]
        if useless:
            yield Finding((*at, useless[0]), "has no effect in a rule with `ignore: true`")
    elif rule.type is None:
        yield Finding(at, "needs a `type`, or `ignore: true`")
    else:
        yield from _of_event(at, rule, rule.type)


def _of_event(at: Path, rule: EventRule, suffix: str) -> Iterator[Finding]:
    try:
        entry = catalogue.get(suffix)
    except catalogue.UnknownType as error:
        yield Finding((*at, "type"), str(error))
        return
    yield from _of_fields((*at, "data"), rule.data, shape_of(suffix), items=bool(rule.each))
    if rule.subject is None and not _gives_subject(entry.subject, rule.data):
        yield Finding(at, f"needs a `subject`, since its data have no {entry.subject.replace('|', 'or')}")


def _gives_subject(alternatives: str, data: Mapping[str, Any]) -> bool:
    """Whether the data have all fields of one of the alternatives (``asn | purchase_order/line``)."""
    ways = [[name.strip() for name in way.split("/")] for way in alternatives.split("|")]
    return any(all(data.get(name) is not None for name in way) for way in ways)


def _of_expression(at: Path, source: str, *, items: bool) -> Iterator[Finding]:
    try:
        expression = compile_expression(source, MESSAGE_VARIABLES)
    except ExpressionError as error:
        yield Finding(at, _explained(error), error.line, error.column)
        return
    for reference in expression.references:
        if not items and re.match(r"item\b", reference.path):
            line, column = _line_and_column(source, reference.offset)
            yield Finding(at, "`item` is there only in what follows an `each`", line, column)
            return


def _explained(error: ExpressionError) -> str:
    if error.message.startswith("undeclared reference"):
        variables = ", ".join(MESSAGE_VARIABLES)
        return f"{error.message}; there are {variables}, and a text stands in quotes of its own"
    return error.message


def _line_and_column(source: str, offset: int) -> tuple[int, int]:
    before = source[:offset]
    return before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1


def _of_fields(at: Path, fields: Mapping[str, Any], shape: Shape, *, items: bool) -> Iterator[Finding]:
    for name, value in fields.items():
        field = shape.fields.get(name)
        inner = field.shape if field else shape.element
        if inner is None:
            known = ", ".join(shape.fields) or "no fields"
            yield Finding((*at, name), f"is not in the catalogue; there are {known}")
        else:
            yield from _of_value((*at, name), value, inner, field.choices if field else (), items=items)
    for name, field in shape.fields.items():
        if field.required and (name not in fields or (fields[name] is None and not field.nullable)):
            yield Finding((*at, name), "is required, and missing")


def _of_value(
    at: Path, value: Any, shape: Shape, choices: tuple[Any, ...], *, items: bool
) -> Iterator[Finding]:
    match value:
        case str():
            yield from _of_expression(at, value, items=items)
            if choices:
                yield from _of_choice(at, value, choices)
        case Mapping() if shape.kind in ("object", "map"):
            yield from _of_fields(at, value, shape, items=items)
        case list() if shape.kind in ("array", "other"):
            for index, entry in enumerate(value):
                yield from _of_value((*at, index), entry, shape.element or _ANY, (), items=items)
        case Mapping() | list():
            kind = "list" if isinstance(value, list) else "mapping"
            yield Finding(at, f"is no {kind} in the catalogue, but of kind {shape.kind}")
        case None | bool() | int():
            pass
        case float() if math.isfinite(value):
            pass
        case _:
            yield Finding(at, f"{value} is no JSON value; a text stands in quotes of its own")


def _of_choice(at: Path, source: str, choices: tuple[Any, ...]) -> Iterator[Finding]:
    """Whether a text that is the same for every record is one that the field allows."""
    try:
        expression = compile_expression(source, MESSAGE_VARIABLES)
        if expression.references:
            return
        value = expression.evaluate({})
    except ExpressionError:
        return
    if value is not None and value not in choices:
        yield Finding(at, f"must be one of {', '.join(map(str, choices))}, not {value!r}")
