"""Target fields of event rules: compiled, evaluated with every fault, and what of a record they read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from canonical.attributes import Fault
from canonical.expression import (
    MESSAGE_VARIABLES,
    Expression,
    ExpressionError,
    Values,
    compile_expression,
)
from canonical.shapes import Shape, pointer_step

__all__ = ["Reads", "compiled", "evaluated", "only", "reads", "reads_variable", "union"]

Reads = set[str] | None
"""Members of the payload that are read; None: it as a whole."""

_MEMBER: Final = re.compile(r"payload\.(\w+)")
_WHOLE: Final = re.compile(r"payload\b")


def compiled(node: Any) -> Any:
    """Fields as configured, with every text in them compiled; what is the same for all records, as its value.

    Raises ExpressionError.
    """
    match node:
        case str():
            expression = compile_expression(node, MESSAGE_VARIABLES)
            return expression if expression.references else _constant(expression)
        case Mapping():
            return {name: compiled(entry) for name, entry in node.items()}
        case list():
            return [compiled(entry) for entry in node]
        case _:
            return node


def _constant(expression: Expression) -> Any:
    try:
        return expression.evaluate({})
    except ExpressionError:
        return expression  # fails for every record, and is told with each


def evaluated(node: Any, shape: Shape, at: str, values: Values, faults: list[Fault]) -> Any:
    """The value of compiled fields; null is left out of objects unless the catalogue wants it there.

    What fails is None, and a fault with its JSON pointer, which begins with ``at``.
    """
    match node:
        case Expression():
            try:
                return node.evaluate(values)
            except ExpressionError as error:
                faults.append((at, error.message))
                return None
        case dict():
            return _object(node, shape, at, values, faults)
        case list():
            inner = shape.element or shape
            return [
                evaluated(entry, inner, f"{at}/{index}", values, faults) for index, entry in enumerate(node)
            ]
        case _:
            return node


def _object(
    node: dict[str, Any], shape: Shape, at: str, values: Values, faults: list[Fault]
) -> dict[str, Any]:
    result = {}
    for name, entry in node.items():
        field = shape.fields.get(name)
        inner = field.shape if field else shape.element or shape
        value = evaluated(entry, inner, f"{at}/{pointer_step(name)}", values, faults)
        if value is not None or (field and field.required and field.nullable):
            result[name] = value
    return result


def _expressions(nodes: Iterable[Any]) -> Iterator[Expression]:
    for node in nodes:
        match node:
            case Expression():
                yield node
            case dict():
                yield from _expressions(node.values())
            case list():
                yield from _expressions(node)
            case _:
                pass


def reads(nodes: Iterable[Any]) -> Reads:
    """The members of the payload that the expressions in some nodes read."""
    names = set()
    for expression in _expressions(nodes):
        for reference in expression.references:
            member = _MEMBER.match(reference.path)
            if member:
                names.add(member.group(1))
            elif _WHOLE.match(reference.path):
                return None
    return names


def reads_variable(name: str, nodes: Iterable[Any]) -> bool:
    """Whether an expression in some nodes reads anything of a variable."""
    named = re.compile(rf"{name}\b")
    return any(
        named.match(reference.path)
        for expression in _expressions(nodes)
        for reference in expression.references
    )


def union(parts: Iterable[Reads]) -> Reads:
    """What is read by all of them together."""
    names: set[str] = set()
    for part in parts:
        if part is None:
            return None
        names |= part
    return names


def only(record: Any, names: Reads) -> Any:
    """The record without what is not read, since CEL converts all that it is given (1 µs a value)."""
    if names is None or not isinstance(record, dict):
        return record
    return {name: record[name] for name in names if name in record}
