"""Simple expressions as Python closures: they give what CEL gives, or say that they do not know.

Most conditions and fields are paths, constants, comparisons of the two, ``&&`` and ``has()``. For CEL the
whole event has to be converted first, which costs many times as much as the answer. A closure is made from
the same checked syntax tree. Whatever it is not sure of (a missing field, another type, a number at the
edge, a list as result) it leaves to CEL, which so remains the only one that raises errors.

``tests/canonical/test_shortcut.py`` holds both against each other. Field numbers are those of cel-spec's
``proto/cel/expr/syntax.proto`` and ``checked.proto``.
"""

from __future__ import annotations

import operator
import struct
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import isfinite
from typing import Any, Final, NamedTuple

from canonical.event import Event
from canonical.protowire import fields, message, messages, number, text

__all__ = [
    "TEXTS",
    "UNKNOWN",
    "Equality",
    "Shortcut",
    "clean",
    "constant_text",
    "equality_of",
    "path_in",
    "path_of",
    "shortcut",
    "walk",
]

Shortcut = Callable[[Mapping[str, Any]], Any]
"""Values by variable → the result, or ``UNKNOWN``."""


class _Unknown:
    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = _Unknown()
"""Only CEL can tell."""

_INT64: Final = 2**63


def shortcut(serialized: bytes) -> Shortcut | None:
    """The closure of a serialized CheckedExpr, whose results are scalars; None when only CEL can do it."""
    expr = message(message(serialized, 2), 4)
    if path := path_in(expr):
        return walk(*path)
    if (test := _is_text(expr)) is not None:
        return test
    node = _node(expr)
    return None if node is None else _sure(node)


def path_of(serialized: bytes) -> tuple[str, ...]:
    """The names of a serialized CheckedExpr that is a mere path, ``data.order``; empty for anything else."""
    return path_in(message(message(serialized, 2), 4))


def path_in(expr: bytes) -> tuple[str, ...]:
    """The same of an Expr."""
    if variable := message(expr, 4):
        return (text(variable, 1),)
    selection = message(expr, 5)
    operand = path_in(message(selection, 1)) if selection and not number(selection, 3) else ()
    return (*operand, text(selection, 2)) if operand else ()


def walk(variable: str, *steps: str) -> Shortcut:
    """The closure of a path, in one go: most fields of most mappings are just that."""
    if len(steps) == 1:
        return _field_of(variable, steps[0])

    def walked(values: Mapping[str, Any]) -> Any:
        value = values.get(variable, UNKNOWN)
        for step in steps:
            if type(value) is Event:
                value = _attribute(value, step)
                continue
            if type(value) is not dict:
                return UNKNOWN
            value = value.get(step, UNKNOWN)
        kind = type(value)
        if kind is str:
            return value if (value.isascii() and "\0" not in value) or clean(value) else UNKNOWN
        if kind is float:
            return value if isfinite(value) else UNKNOWN
        if kind is int:
            return value if -_INT64 <= value < _INT64 else UNKNOWN
        return value if kind is bool or value is None else UNKNOWN

    return walked


def _sure(node: Shortcut) -> Shortcut:
    """Lets only those values through that CEL and JSON have alike."""

    def result(values: Mapping[str, Any]) -> Any:
        value = node(values)
        kind = type(value)
        if kind is str:
            return value if clean(value) else UNKNOWN
        if kind is float:
            return value if isfinite(value) else UNKNOWN
        if kind is int:
            return value if -_INT64 <= value < _INT64 else UNKNOWN
        return value if kind is bool or value is None else UNKNOWN

    return result


def clean(value: str) -> bool:
    """Whether CEL takes the text: not with U+0000, nor with half of a surrogate pair."""
    if "\0" in value:
        return False
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _node(expr: bytes) -> Shortcut | None:
    """The closure of an Expr; its values may be of any type."""
    for field, body in fields(expr):
        if isinstance(body, bytes):
            match field:
                case 3:
                    return _constant(body)
                case 4:
                    return _variable(text(body, 1))
                case 5:
                    return _selection(body)
                case 6:
                    return _call(text(body, 2), message(body, 1), messages(body, 3))
                case _:
                    return None
    return None


def _field_of(variable: str, name: str) -> Shortcut:
    """``data.order``, the most frequent path, without a loop."""

    def field(values: Mapping[str, Any]) -> Any:
        owner = values.get(variable)
        if type(owner) is dict:
            value = owner.get(name, UNKNOWN)
        else:
            value = _attribute(owner, name) if type(owner) is Event else UNKNOWN
        kind = type(value)
        if kind is str:
            return value if (value.isascii() and "\0" not in value) or clean(value) else UNKNOWN
        if kind is float:
            return value if isfinite(value) else UNKNOWN
        if kind is int:
            return value if -_INT64 <= value < _INT64 else UNKNOWN
        return value if kind is bool or value is None else UNKNOWN

    return field


TEXTS: Final = frozenset(
    {
        *("id", "source", "type", "subject", "datacontenttype", "dataschema", "plantid", "domain"),
        *("partitionkey", "sequence", "correlationid", "causationid", "severity", "dataref", "traceparent"),
        *("correctsid", "srcmsgid"),
    }
)
"""Attributes of an event that are text."""


def _attribute(event: Event, name: str) -> Any:
    """An attribute that is text, or the data, as the event's JSON has them: what is None is not there."""
    if name == "data" or name in TEXTS:
        value = getattr(event, name)
        return UNKNOWN if value is None else value
    return UNKNOWN


def _constant(body: bytes) -> Shortcut | None:
    value = _literal(body)
    return None if value is UNKNOWN else lambda _: value


def _literal(body: bytes) -> Any:
    """The value of a Constant; UNKNOWN for one of a kind that JSON has not."""
    for field, value in fields(body):
        match field, value:
            case 1, _:
                return None
            case 2, int():
                return value != 0
            case 3, int():
                return value - 2**64 if value >= _INT64 else value
            case 5, bytes():
                return float(struct.unpack("<d", value)[0])
            case 6, bytes():
                return value.decode()
            case _:
                return UNKNOWN
    return UNKNOWN


def constant_text(expr: bytes) -> str | None:
    """The text that an Expr is, when it is one that CEL takes."""
    value = _literal(message(expr, 3))
    return value if type(value) is str and clean(value) else None


def _variable(name: str) -> Shortcut:
    return lambda values: values.get(name, UNKNOWN)


def _selection(body: bytes) -> Shortcut | None:
    operand, name = _node(message(body, 1)), text(body, 2)
    if operand is None:
        return None

    def has(values: Mapping[str, Any]) -> Any:
        value = operand(values)
        return name in value if type(value) is dict else UNKNOWN

    def field(values: Mapping[str, Any]) -> Any:
        value = operand(values)
        if type(value) is dict:
            return value.get(name, UNKNOWN)
        return _attribute(value, name) if type(value) is Event else UNKNOWN

    return has if number(body, 3) else field


# ── functions ───────────────────────────────────────────────────────────────────────────────────


def _call(function: str, target: bytes, arguments: Sequence[bytes]) -> Shortcut | None:
    nodes = [_node(argument) for argument in arguments]
    if function == "@in":
        return _membership(nodes[0], arguments[1])
    if target:
        return _method(function, _node(target), nodes)
    known = [node for node in nodes if node is not None]
    if len(known) < len(nodes):
        return None
    made = _FUNCTIONS.get((function, len(known)))
    return None if made is None else made(*known)


def _comparable(left: Any, right: Any) -> bool:
    """Two texts, two finite doubles, or two integers, none of them at an edge."""
    kind = type(left)
    if kind is not type(right):
        return False
    if kind is str:
        return clean(left) and clean(right)
    if kind is int:
        return bool(-_INT64 <= left < _INT64 and -_INT64 <= right < _INT64)
    return bool(kind is float and isfinite(left) and isfinite(right))


class Equality(NamedTuple):
    """``data.status == 'good'``; or that it is another one."""

    variable: str
    step: str
    text: str
    equal: bool


def equality_of(serialized: bytes) -> Equality | None:
    """What a serialized CheckedExpr says, if that is all."""
    return _equality_in(message(message(serialized, 2), 4))


def _equality_in(expr: bytes) -> Equality | None:
    call = message(expr, 6)
    sides = messages(call, 3)
    if text(call, 2) not in ("_==_", "_!=_") or len(sides) != 2:
        return None
    path, other = path_in(sides[0]), constant_text(sides[1])
    if len(path) != 2 or path[0] == "event" or other is None:
        return None
    return Equality(path[0], path[1], other, text(call, 2) == "_==_")


def _is_text(expr: bytes) -> Shortcut | None:
    """An equality, the most frequent condition, without a call for each part of it."""
    found = _equality_in(expr)
    if found is None:
        return None
    variable, step, other, equal = found

    def compared(values: Mapping[str, Any]) -> Any:
        owner = values.get(variable)
        value = owner.get(step) if type(owner) is dict else None
        if type(value) is not str or not clean(value):
            return UNKNOWN
        return (value == other) is equal

    return compared


def _equality(equal: bool, left: Shortcut, right: Shortcut) -> Shortcut:
    def compared(values: Mapping[str, Any]) -> Any:
        one, other = left(values), right(values)
        if _comparable(one, other) or (type(one) is bool and type(other) is bool):
            return (one == other) is equal
        return UNKNOWN

    return compared


def _comparison(order: Callable[[Any, Any], Any], left: Shortcut, right: Shortcut) -> Shortcut:
    """Of two values of one kind; ``+`` is one, too: what overflows is refused further out."""

    def compared(values: Mapping[str, Any]) -> Any:
        one, other = left(values), right(values)
        return order(one, other) if _comparable(one, other) else UNKNOWN

    return compared


def _decided(by: bool, left: Shortcut, right: Shortcut) -> Shortcut:
    """``&&`` is decided by a false, ``||`` by a true, whatever the other side is, an error too."""

    def both(values: Mapping[str, Any]) -> Any:
        one = left(values)
        if one is by:
            return by
        other = right(values)
        if other is by:
            return by
        return not by if type(one) is bool and type(other) is bool else UNKNOWN

    return both


def _negation(operand: Shortcut) -> Shortcut:
    def negated(values: Mapping[str, Any]) -> Any:
        value = operand(values)
        return not value if type(value) is bool else UNKNOWN

    return negated


def _choice(condition: Shortcut, then: Shortcut, otherwise: Shortcut) -> Shortcut:
    def chosen(values: Mapping[str, Any]) -> Any:
        value = condition(values)
        if type(value) is not bool:
            return UNKNOWN
        return then(values) if value else otherwise(values)

    return chosen


def _size(operand: Shortcut) -> Shortcut:
    def counted(values: Mapping[str, Any]) -> Any:
        value = operand(values)
        if type(value) is str:
            return len(value) if clean(value) else UNKNOWN
        return len(value) if type(value) in (list, dict) else UNKNOWN

    return counted


def _membership(element: Shortcut | None, listed: bytes) -> Shortcut | None:
    """``x in ['a', 'b']``, where the list holds texts only."""
    elements = messages(message(listed, 7), 1)
    found = [_literal(message(each, 3)) for each in elements]
    texts = frozenset(each for each in found if isinstance(each, str) and "\0" not in each)
    if element is None or not elements or len(texts) < len(set(map(repr, found))):
        return None

    def contained(values: Mapping[str, Any]) -> Any:
        value = element(values)
        return value in texts if type(value) is str and clean(value) else UNKNOWN

    return contained


def _method(function: str, target: Shortcut | None, arguments: Sequence[Shortcut | None]) -> Shortcut | None:
    if target is None:
        return None
    if function == "size" and not arguments:
        return _size(target)
    argument = arguments[0] if len(arguments) == 1 else None
    test: Callable[[str, str], bool] | None = _TESTS.get(function)
    if argument is None or test is None:
        return None

    def tested(values: Mapping[str, Any]) -> Any:
        one, other = target(values), argument(values)
        return test(one, other) if type(one) is str and _comparable(one, other) else UNKNOWN

    return tested


_TESTS: Final[Mapping[str, Callable[[str, str], bool]]] = {
    "startsWith": str.startswith,
    "endsWith": str.endswith,
    "contains": operator.contains,
}

_FUNCTIONS: Final[Mapping[tuple[str, int], Callable[..., Shortcut]]] = {
    ("_==_", 2): partial(_equality, True),
    ("_!=_", 2): partial(_equality, False),
    ("_<_", 2): partial(_comparison, operator.lt),
    ("_<=_", 2): partial(_comparison, operator.le),
    ("_>_", 2): partial(_comparison, operator.gt),
    ("_>=_", 2): partial(_comparison, operator.ge),
    ("_+_", 2): partial(_comparison, operator.add),
    ("_&&_", 2): partial(_decided, False),
    ("_||_", 2): partial(_decided, True),
    ("!_", 1): _negation,
    ("_?_:_", 3): _choice,
    ("size", 1): _size,
}
