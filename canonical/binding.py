"""Values as CEL keeps them, converted once for several expressions and only when one needs that.

cel-expr-python's environments, with the libraries and built-ins that expressions have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeAlias

from cel_expr_python import cel
from cel_expr_python.ext import ext_math, ext_optional, ext_strings

from canonical.celmemory import make_none_immortal
from canonical.errors import PermanentError
from canonical.event import Event, to_json
from canonical.functions import declarations
from canonical.jsontext import NUL, has_nul

__all__ = [
    "ENRICHED_PART_VARIABLES",
    "ENRICHED_VARIABLES",
    "EVENT_VARIABLES",
    "MESSAGE_VARIABLES",
    "PART_VARIABLES",
    "Bound",
    "ExpressionError",
    "Values",
    "bind",
    "environment",
    "plain",
]

EVENT_VARIABLES = ("event", "data")
"""What routes see: the envelope (with data in it), and its data."""
PART_VARIABLES = (*EVENT_VARIABLES, "item", "number")
"""What routes that split see for each part: also the element, and its place from 1."""
ENRICHED_VARIABLES = (*EVENT_VARIABLES, "enrich")
ENRICHED_PART_VARIABLES = (*PART_VARIABLES, "enrich")
"""The same on routes that enrich: also what the read models know, by the name of the enrichment."""
MESSAGE_VARIABLES = ("payload", "message", "item")
"""What inbound rules see: the decoded body, the transport's attributes, and the element of ``each``."""


class ExpressionError(PermanentError):
    """An expression that does not compile, or failed on a value. ``line``, ``column``: 1-based in it."""

    code = "expression"

    def __init__(self, message: str, *, source: str, line: int = 1, column: int = 1) -> None:
        super().__init__(message, context={"expression": source})
        self.source, self.line, self.column = source, line, column

    def at(self, prefix: str, *, columns: int = 0) -> ExpressionError:
        """The same, told of a place: ``prefix`` before the text, the column moved on its first line."""
        column = self.column + (columns if self.line == 1 else 0)
        return ExpressionError(prefix + self.message, source=self.source, line=self.line, column=column)


Narrowed = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""The values without what no expression reads, since CEL converts all that it is given."""


class Bound:
    """Values by variable, converted for CEL once, when the first expression needs that.

    JSON values, and ``Event``, which CEL sees as JSON, too.
    """

    __slots__ = ("_activation", "_narrowed", "_variables", "plain")

    def __init__(
        self, plain: Mapping[str, Any], variables: tuple[str, ...], narrowed: Narrowed | None = None
    ) -> None:
        self.plain, self._variables, self._narrowed = plain, variables, narrowed
        self._activation: cel.Activation | None = None

    @property
    def activation(self) -> cel.Activation:
        """The values as CEL keeps them.

        Raises ExpressionError for what the binding does not survive (cel-expr-python 0.1.3): text with
        U+0000, which it cuts short without a word, and nesting of thousands of levels, which overflows
        its stack.
        """
        if self._activation is None:
            values = self.plain if self._narrowed is None else self._narrowed(self.plain)
            as_json = {
                name: to_json(value) if isinstance(value, Event) else value for name, value in values.items()
            }
            _survivable(as_json)
            self._activation = environment(self._variables).Activation(as_json)
        return self._activation


Values: TypeAlias = Mapping[str, Any] | Bound
"""What expressions are evaluated on: JSON values by variable, or what ``bind`` made of them."""


def plain(values: Values) -> Mapping[str, Any]:
    """The JSON values by variable."""
    return values.plain if isinstance(values, Bound) else values


def bind(
    values: Values, variables: tuple[str, ...] = EVENT_VARIABLES, narrowed: Narrowed | None = None
) -> Bound:
    """The values for several expressions. Not to be shared between threads."""
    return values if isinstance(values, Bound) else Bound(values, variables, narrowed)


@cache
def environment(variables: tuple[str, ...]) -> cel.Env:
    """What expressions over these variables are compiled in."""
    make_none_immortal()
    return cel.NewEnv(
        variables=dict.fromkeys(variables, cel.Type.DYN),
        extensions=[ext_optional.ExtOptional(), ext_strings.ExtStrings(), ext_math.ExtMath()],
        functions=declarations(),
    )


def _survivable(values: Mapping[str, Any]) -> None:
    try:
        nul = has_nul(values)
    except RecursionError:
        raise ExpressionError("the values nest too deeply", source="") from None
    except (TypeError, ValueError, OverflowError):
        nul = False  # no JSON: CEL itself refuses it when it reads it
    if nul:
        raise ExpressionError(f"a text {NUL}", source="")
