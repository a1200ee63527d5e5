"""The built-ins of expressions beside CEL's own: ``sum``, ``decimal``, ``unit``, ``lookup``.

CEL's C++ runtime turns an exception of a built-in into a text. So the first one is kept beside, per
thread, and raised again after the evaluation: an Unresolved code must not become a mere failure.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import Any

from cel_expr_python import cel

from canonical import units

__all__ = ["NAMES", "Evaluation", "Lookup", "declarations"]

NAMES = ("decimal", "lookup", "sum", "unit")
"""What the built-ins are called."""

Lookup = Callable[[str, str, str], str]
"""(domain, system, canonical value) → the system's code; raises Unresolved."""

_DIGITS = 64  # as long as a decimal field of the catalogue may be
_EXACT = Context(prec=2 * _DIGITS + 20, traps=[InvalidOperation, Inexact])


class Evaluation:
    """What built-ins may use while it is entered, in this thread, and the first error that one raised.

    Evaluations nest: a lookup may evaluate expressions, too.
    """

    __slots__ = ("lookup", "outer", "raised")

    def __init__(self, lookup: Lookup | None) -> None:
        self.lookup = lookup
        self.raised: Exception | None = None
        self.outer: Evaluation | None = None

    def __enter__(self) -> Evaluation:
        self.outer, _current.evaluation = _current.evaluation, self
        return self

    def __exit__(self, *_: object) -> None:
        _current.evaluation = self.outer


class _Current(threading.local):
    evaluation: Evaluation | None = None


_current = _Current()


def _guarded(function: Callable[..., Any]) -> Callable[..., Any]:
    def run(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except Exception as error:
            current = _current.evaluation
            if current is not None and current.raised is None:
                current.raised = error
            raise

    return run


def _decimal(value: Any) -> Decimal:
    """The exact number; of a float the one that its shortest text shows. Raises ValueError."""
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise ValueError(f"{value!r} is not a number")
    text = str(value)
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{value!r} is not a number") from None
    if not number.is_finite() or not text.isascii() or "_" in text:
        raise ValueError(f"{value!r} is not a number")
    if abs(number.adjusted()) > _DIGITS:
        raise ValueError(f"{value!r} has more than {_DIGITS} digits")
    return number


def _sum(values: list[Any]) -> Any:
    total = Decimal(0)
    for value in values:
        total = _EXACT.add(total, _decimal(value))
    if any(isinstance(value, str) for value in values):
        return format(total, "f")
    return float(total) if any(isinstance(value, float) for value in values) else int(total)


def _double(value: Any) -> float:
    return float(_decimal(value))


def _unit(value: Any, source: str, target: str) -> Any:
    converted = units.convert(_decimal(value), source, target)
    return format(converted, "f") if isinstance(value, str) else float(converted)


def _lookup(domain: str, system: str, value: str) -> str:
    current = _current.evaluation
    if current is None or current.lookup is None:
        raise ValueError("lookup() can be used in a route's map only")
    return current.lookup(domain, system, value)


_DYN, _TEXT = cel.Type.DYN, cel.Type.STRING
_NUMBERS = (_TEXT, cel.Type.INT, cel.Type.UINT, cel.Type.DOUBLE)


def _declared(
    name: str, signatures: Iterable[Sequence[cel.Type]], result: cel.Type, impl: Callable[..., Any]
) -> Any:
    overloads = [
        cel.Overload(
            f"crossplant_{name}_{at}", return_type=result, parameters=list(types), impl=_guarded(impl)
        )
        for at, types in enumerate(signatures)
    ]
    return cel.FunctionDecl(name, overloads)


def declarations() -> list[Any]:
    """The built-ins for a CEL environment.

    A parameter of type DYN would match no value at all when it runs (cel-expr-python 0.1.3), so a
    function of numbers has an overload per kind of number.
    """
    return [
        _declared("sum", [[cel.Type.List(_DYN)]], _DYN, _sum),
        _declared("decimal", [[kind] for kind in _NUMBERS], cel.Type.DOUBLE, _double),
        _declared("unit", [[kind, _TEXT, _TEXT] for kind in _NUMBERS], _DYN, _unit),
        _declared("lookup", [[_TEXT, _TEXT, _TEXT]], _TEXT, _lookup),
    ]
