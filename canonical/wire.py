"""Which paths a checked CEL expression reads, from its serialized syntax tree.

The binding gives the tree only as a ``google.protobuf.Any`` around ``cel.expr.CheckedExpr``. Field
numbers are those of cel-spec's ``proto/cel/expr/checked.proto`` and ``syntax.proto``.
"""

from __future__ import annotations

from msgspec import Struct

from canonical.protowire import fields, message, messages, number, text

__all__ = ["Reference", "references"]


class Reference(Struct, frozen=True):
    """A path from a variable (``data.lines[].item``) and its offset in the expression, in characters.

    A name that is no identifier stands in brackets: ``message["header.x-id"]``.

    ``optional``: read by ``.?field`` or tested by ``has()``, so it may be missing.
    """

    path: str
    offset: int
    optional: bool = False


Path = tuple[str, bool]
"""A path, and whether it, or what it is reached by, may be missing."""
Scope = dict[str, Path | None]
"""The variables that macros bind: the path that each stands for, or None where that is not known."""

_ELEMENT = "[]"


def references(serialized: bytes) -> list[Reference]:
    """All paths read, longest form only, in tree order."""
    checked = message(serialized, 2)
    offsets = {}
    for field, entry in fields(message(checked, 5)):
        if field == 4 and isinstance(entry, bytes):
            offsets[number(entry, 1)] = number(entry, 2)
    found: list[Reference] = []
    _Walk(offsets, found).visit(message(checked, 4), {})
    return found


class _Walk:
    def __init__(self, offsets: dict[int, int], found: list[Reference]) -> None:
        self.offsets, self.found = offsets, found

    def visit(self, expr: bytes, scope: Scope) -> None:
        path = self.path(expr, scope)
        if path is not None:
            if path[0]:
                self.found.append(Reference(path[0], self.offsets.get(number(expr, 2), 0), path[1]))
            return
        for field, body in fields(expr):
            if isinstance(body, bytes):
                self.descend(field, body, scope)

    def descend(self, field: int, body: bytes, scope: Scope) -> None:
        match field:
            case 5:  # select over something that is no path
                self.visit(message(body, 1), scope)
            case 6:
                self.children(body, {1, 3}, scope)
            case 7:
                self.children(body, {1}, scope)
            case 8:
                for part, entry in fields(body):
                    if part == 2 and isinstance(entry, bytes):
                        self.children(entry, {3, 4}, scope)
            case 9:
                self.comprehension(body, scope)
            case _:
                pass  # constants, and the identifiers that path() knows

    def children(self, body: bytes, numbers: set[int], scope: Scope) -> None:
        for field, value in fields(body):
            if field in numbers and isinstance(value, bytes):
                self.visit(value, scope)

    def comprehension(self, body: bytes, scope: Scope) -> None:
        self.visit(message(body, 2), scope)
        self.visit(message(body, 4), scope)
        self.children(body, {5, 6, 7}, self.bound(body, scope))

    def bound(self, body: bytes, scope: Scope) -> Scope:
        """The scope inside a comprehension: its element, and its accumulator.

        ``optMap`` is a comprehension, too: over nothing, with the optional's value as accumulator.
        """
        init = message(message(body, 4), 6)
        return {
            **scope,
            text(body, 1): self.elements(message(body, 2), scope),
            text(body, 3): self.path(message(init, 1), scope) if text(init, 2) == "value" else None,
        }

    def elements(self, expr: bytes, scope: Scope) -> Path | None:
        """The path of the elements of a list, be it a field or what ``map`` or ``filter`` makes of one."""
        path = self.path(expr, scope)
        if path is not None:
            return (f"{path[0]}{_ELEMENT}", path[1]) if path[0] else None
        call, comprehension = message(expr, 6), message(expr, 9)
        if text(call, 2) == "orValue":
            return self.elements(message(call, 1), scope)
        if comprehension:
            return self.appended(message(comprehension, 6), self.bound(comprehension, scope))
        return None

    def appended(self, step: bytes, scope: Scope) -> Path | None:
        """The path of what a loop step appends to its list: ``accu + [x]``, with or without a condition."""
        call = message(step, 6)
        match text(call, 2), messages(call, 3):
            case "_?_:_", [_, taken, _]:
                return self.appended(taken, scope)
            case "_+_", [_, addition]:
                return self.path(message(message(addition, 7), 1), scope)
            case _:
                return None

    def path(self, expr: bytes, scope: Scope) -> Path | None:
        """(path, optional) of a variable with selections; ("", …) for a macro's own that has no path."""
        for field, body in fields(expr):
            if not isinstance(body, bytes):
                continue
            match field:
                case 4:
                    name = text(body, 1)
                    return scope[name] or ("", False) if name in scope else (name, False)
                case 5:
                    inner = self.path(message(body, 1), scope)
                    if inner is None:
                        return None
                    optional = inner[1] or bool(number(body, 3))
                    return (f"{inner[0]}.{text(body, 2)}" if inner[0] else "", optional)
                case 6:
                    return self.selection(body, scope)
                case _:
                    pass  # no path by itself
        return None

    def selection(self, body: bytes, scope: Scope) -> Path | None:
        """``a.?b``, ``a[0]`` and ``a["b"]`` are paths too."""
        function = text(body, 2)
        arguments = messages(body, 3)
        if function not in {"_?._", "_[_]", "_[?_]"} or len(arguments) != 2:
            return None
        inner = self.path(arguments[0], scope)
        constant = message(arguments[1], 3)
        if inner is None or not constant:
            return None
        name = text(constant, 6)
        step = f".{name}" if name.isidentifier() else f'["{name}"]' if name else _ELEMENT
        return (f"{inner[0]}{step}" if inner[0] else "", inner[1] or "?" in function)
