"""Target fields of a route as expressions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from canonical.binding import EVENT_VARIABLES, ExpressionError, Values, bind, plain
from canonical.cel import Expression, compile_expression
from canonical.columns import Column, Constant, Path, Rows, rows
from canonical.functions import Lookup
from canonical.shortcut import UNKNOWN, Shortcut
from canonical.together import Together, together

__all__ = ["FieldMap"]


class FieldMap:
    """Target fields as expressions: text is CEL, mappings and lists nest, other values are themselves."""

    def __init__(
        self,
        fields: Mapping[str, Any],
        variables: tuple[str, ...] = EVENT_VARIABLES,
        *,
        drop_null: bool = False,
    ) -> None:
        """Raises ExpressionError, naming the field, for the first one that does not compile."""
        self._drop_null, self._variables = drop_null, variables
        nodes = {name: self._compile(name, value, variables) for name, value in fields.items()}
        self._fields = [(name, node, _shortcut_of(node)) for name, node in nodes.items()]
        self.quick = _quick_of(nodes, drop_null=drop_null)
        """All fields at once, or UNKNOWN; None where one of them always needs CEL."""
        self.rows = _rows_of(nodes, drop_null=drop_null)
        """The fields of many events at once, where they are that simple."""

    def _compile(self, name: str, value: Any, variables: tuple[str, ...]) -> Any:
        if isinstance(value, list):
            return [self._compile(f"{name}[{at}]", entry, variables) for at, entry in enumerate(value)]
        try:
            if isinstance(value, str):
                return compile_expression(value, variables)
            if isinstance(value, Mapping):
                return FieldMap(value, variables, drop_null=self._drop_null)
        except ExpressionError as error:
            raise error.at(f"{name}{'.' if isinstance(value, Mapping) else ': '}") from error
        return value

    def apply(self, values: Values, lookup: Lookup | None = None) -> dict[str, Any]:
        """The mapped fields in their order. Raises ExpressionError naming the field, or Unresolved."""
        result = {}
        bound = bind(values, self._variables)
        known = plain(bound)
        if self.quick is not None and (found := self.quick(known)) is not UNKNOWN:
            return dict(found)
        for name, node, shortcut in self._fields:
            value = shortcut(known) if shortcut is not None else UNKNOWN
            if value is UNKNOWN:
                value = self._evaluate(name, node, bound, lookup)
            if value is not None or not self._drop_null:
                result[name] = value
        return result

    def _evaluate(self, name: str, node: Any, values: Values, lookup: Lookup | None) -> Any:
        if isinstance(node, list):
            return [self._evaluate(f"{name}[{at}]", entry, values, lookup) for at, entry in enumerate(node)]
        try:
            if isinstance(node, Expression):
                return node.evaluate(values, lookup)
            if isinstance(node, FieldMap):
                return node.apply(values, lookup)
        except ExpressionError as error:
            raise error.at(f"{name}{'.' if isinstance(node, FieldMap) else ': '}") from error
        return node


def _shortcut_of(node: Any) -> Shortcut | None:
    return node.shortcut if isinstance(node, Expression) else None


def _quick_of(nodes: Mapping[str, Any], *, drop_null: bool) -> Together | None:
    fields: list[tuple[str, Shortcut, tuple[str, ...]]] = []
    for name, node in nodes.items():
        shortcut = _quick_node(node)
        if shortcut is None:
            return None
        fields.append((name, shortcut, node.path if isinstance(node, Expression) else ()))
    return together(fields, drop_null=drop_null)


def _rows_of(nodes: Mapping[str, Any], *, drop_null: bool) -> Rows | None:
    fields: list[tuple[str, Column]] = []
    for name, node in nodes.items():
        match node:
            case Expression(path=(variable, step)):
                fields.append((name, Path(variable, step)))
            case str() | int() | float() | None:
                fields.append((name, Constant(node)))
            case _:
                return None
    return rows(fields, drop_null=drop_null)


def _quick_node(node: Any) -> Shortcut | None:
    match node:
        case Expression():
            return node.shortcut
        case FieldMap():
            return node.quick
        case list():
            return _quick_list(node)
        case _:
            return lambda _: node


def _quick_list(nodes: list[Any]) -> Shortcut | None:
    entries = [entry for node in nodes if (entry := _quick_node(node)) is not None]
    if len(entries) < len(nodes):
        return None

    def listed(values: Mapping[str, Any]) -> Any:
        found = [entry(values) for entry in entries]
        return UNKNOWN if any(value is UNKNOWN for value in found) else found

    return listed
