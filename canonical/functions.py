"""The built-ins of expressions beside CEL's own: ``sum``, ``decimal``, ``unit``, ``lookup``, ``local``.

CEL's C++ runtime turns an exception of a built-in into a text. So the first one is kept beside, per
thread, and raised again after the evaluation: an Unresolved code must not become a mere failure. An
error that CEL absorbs (``fails || true``) stays absorbed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Context, Decimal, Inexact, InvalidOperation
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

from cel_expr_python import cel

from canonical import units
from canonical.celmemory import callback, fresh, give_back

__all__ = ["NAMES", "Evaluation", "Lookup", "declarations"]

NAMES = ("decimal", "local", "lookup", "sum", "unit")
"""What the built-ins are called."""

Lookup = Callable[[str, str, str], str]
"""(domain, system, canonical value) → the system's code; raises Unresolved.

In domain ``package`` (item, ``CT/EA``) → how many EA are in one CT of it, as a fraction: ``12``, ``1/12``."""

_FAILED = object()
"""What a built-in that failed returns: CEL refuses it as no value of its own, which makes an error there."""
_DIGITS = 64  # as long as a decimal field of the catalogue may be
_ROUNDED = Context(prec=34)
_EXACT = Context(prec=2 * _DIGITS + 20, traps=[InvalidOperation, Inexact])


class Evaluation:
    """What built-ins may use while it is entered, in this thread, and the first error that one raised.

    Evaluations nest: a lookup may evaluate expressions, too.
    """

    __slots__ = ("calls", "lookup", "outer", "raised")

    def __init__(self, lookup: Lookup | None) -> None:
        self.lookup = lookup
        self.raised: BaseException | None = None
        self.outer: Evaluation | None = None
        self.calls: list[Any] = []

    def __enter__(self) -> Evaluation:
        self.outer, _current.evaluation = _current.evaluation, self
        return self

    def __exit__(self, *_: object) -> None:
        _current.evaluation = self.outer
        give_back(self.calls)


class _Current(threading.local):
    evaluation: Evaluation | None = None


_current = _Current()


def _guarded(name: str, function: Callable[..., Any]) -> Any:
    def run(arguments: tuple[Any, ...]) -> Any:
        current = _current.evaluation or Evaluation(None)
        try:
            result, own = fresh(function(*arguments))
        except BaseException as error:  # noqa: BLE001 - the evaluation raises it once it is back in Python
            current.raised = current.raised or error
            result, own = _FAILED, False
        current.calls.append(arguments)
        if own:
            current.calls.append(result)
        answer = [result]
        del arguments, result  # see give_back
        return answer.pop()

    return callback(name, run)


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


def _unit(value: Any, source: str, target: str, item: str = "") -> Any:
    number = _decimal(value)
    if item and source != target:
        # What is in the item's packages is a lookup, too: as a fraction, so that nothing is rounded before.
        exact = Fraction(number) * Fraction(_lookup("package", item, f"{source}/{target}"))
        converted = _ROUNDED.divide(Decimal(exact.numerator), Decimal(exact.denominator))
    else:
        converted = units.convert(number, source, target)
    return format(converted, "f") if isinstance(value, str) else float(converted)


def _local(at: Any, zone: str, pattern: str = "") -> str:
    """The time on the clocks of a zone: RFC 3339 with its offset, or as strftime writes it."""
    moment = at if isinstance(at, datetime) else datetime.fromisoformat(at)
    if moment.tzinfo is None:
        raise ValueError(f"{at!r} says no zone of its own: write Z, or an offset")
    try:
        there = moment.astimezone(ZoneInfo(zone))
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{zone!r} is not an IANA time zone; write one like Europe/Berlin") from None
    return there.strftime(pattern) if pattern else there.isoformat()


def _lookup(domain: str, system: str, value: str) -> str:
    current = _current.evaluation
    if current is None or current.lookup is None:
        raise ValueError("lookup() can be used in a route's map only")
    return current.lookup(domain, system, value)


_DYN, _TEXT, _DOUBLE = cel.Type.DYN, cel.Type.STRING, cel.Type.DOUBLE
_MOMENT = cel.Type.TIMESTAMP
_NUMBERS = (cel.Type.INT, cel.Type.UINT, _DOUBLE)


def _declared(name: str, impl: Callable[..., Any], *overloads: tuple[cel.Type, Sequence[cel.Type]]) -> Any:
    """A function with its overloads, each as (result, parameters)."""
    guarded = _guarded(name, impl)
    return cel.FunctionDecl(
        name,
        [
            cel.Overload(f"crossplant_{name}_{at}", return_type=result, parameters=list(types), impl=guarded)
            for at, (result, types) in enumerate(overloads)
        ],
    )


def declarations() -> list[Any]:
    """The built-ins for a CEL environment.

    A parameter of type DYN would match no value at all when it runs (cel-expr-python 0.1.3), so a
    function of numbers has an overload per kind of number.
    """
    return [
        _declared("sum", _sum, (_DYN, [cel.Type.List(_DYN)])),
        _declared("decimal", _double, *((_DOUBLE, [kind]) for kind in (_TEXT, *_NUMBERS))),
        _declared(
            "unit",
            _unit,
            (_TEXT, [_TEXT, _TEXT, _TEXT]),
            *((_DOUBLE, [kind, _TEXT, _TEXT]) for kind in _NUMBERS),
            (_TEXT, [_TEXT, _TEXT, _TEXT, _TEXT]),
            *((_DOUBLE, [kind, _TEXT, _TEXT, _TEXT]) for kind in _NUMBERS),
        ),
        _declared(
            "local",
            _local,
            *((_TEXT, [kind, _TEXT]) for kind in (_TEXT, _MOMENT)),
            *((_TEXT, [kind, _TEXT, _TEXT]) for kind in (_TEXT, _MOMENT)),
        ),
        _declared("lookup", _lookup, (_TEXT, [_TEXT, _TEXT, _TEXT])),
    ]
