"""The data of an event built at once, where every field is simple; what is not is left to the long way.

Beside evaluating each field and fitting it to the catalogue one after the other, as ``fields`` and
``shapes`` do with every fault told, most records need no more than a look at each value's type. A plan does
that, gives the same data or ``UNKNOWN``, and knows no faults.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import Struct

from canonical.expression import Expression
from canonical.shapes import Shape, Times, scalar
from canonical.shortcut import UNKNOWN, Shortcut

__all__ = ["Plan", "plan"]

Plan = Callable[[Mapping[str, Any]], Any]
"""Values by variable → the data, as ``fitted(evaluated(…))`` gives them, or UNKNOWN."""

_ANY: Final = frozenset({str, int, float, bool})
_AS_THEY_ARE: Final[Mapping[str, frozenset[type]]] = {
    "decimal": frozenset({str, bool}),
    "text": frozenset({str, bool, float}),
    "number": frozenset({int, float, bool}),
    "integer": frozenset({int, bool}),
}
"""Types of values that a kind of field takes without a change; for other kinds all do."""


class _Step(Struct, frozen=True):
    name: str
    value: Shortcut
    unchanged: frozenset[type]
    shape: Shape
    keeps_null: bool


def plan(node: Any, shape: Shape, times: Times) -> Plan | None:
    """The plan of an object's compiled fields; None where a field needs the long way anyway."""
    if not isinstance(node, dict):
        return None
    steps = [_step(name, entry, shape, times) for name, entry in node.items()]
    known = [step for step in steps if step is not None]
    return _built(known) if len(known) == len(steps) else None


def _step(name: str, node: Any, shape: Shape, times: Times) -> _Step | None:
    field = shape.fields.get(name)
    inner = field.shape if field else shape.element or shape
    value = _value(node, inner, times)
    if value is None:
        return None
    unchanged = _AS_THEY_ARE.get(inner.kind, _ANY)
    if inner.kind == "time" and times.format != "rfc3339" and not isinstance(node, dict):
        return None
    if inner.kind == "date" and "%" in times.format:
        return None
    return _Step(name, value, unchanged, inner, bool(field and field.required and field.nullable))


def _value(node: Any, shape: Shape, times: Times) -> Shortcut | None:
    match node:
        case Expression():
            return node.shortcut
        case dict() if shape.kind in ("object", "map"):
            return plan(node, shape, times)
        case dict() | list():
            return None
        case _:
            return lambda _: node


def _built(steps: list[_Step]) -> Plan:
    rows = [(step.name, step.value, step.unchanged, step.shape, step.keeps_null) for step in steps]

    def build(values: Mapping[str, Any]) -> Any:
        data: dict[str, Any] = {}
        for name, get, unchanged, shape, keeps_null in rows:
            value = get(values)
            kind = type(value)
            if kind in unchanged or kind is dict:
                data[name] = value
            elif value is UNKNOWN:
                return UNKNOWN
            elif value is not None:
                data[name] = scalar(shape, value)
            elif keeps_null:
                data[name] = None
        return data

    return build
