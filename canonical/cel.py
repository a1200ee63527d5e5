"""One compiled expression: evaluated by its shortcut where it has one, else by CEL."""

from __future__ import annotations

import re
from functools import cache, cached_property
from typing import Any

from cel_expr_python import cel

from canonical.binding import EVENT_VARIABLES, ExpressionError, Values, bind, environment, plain
from canonical.errors import CrossplantError
from canonical.functions import NAMES, Evaluation, Lookup
from canonical.results import failure_text, json_value, unpacked
from canonical.selection import Selection, selection
from canonical.shortcut import UNKNOWN, Equality, equality_of, path_of, shortcut
from canonical.wire import Reference, references

__all__ = ["Expression", "compile_expression"]

_COMPILE_ERROR = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): (.+)")
_STATUS = re.compile(r"^(?:[A-Z_]+: )+|\s*\[[A-Z_]+\]$")
_PLAIN = frozenset({str, int, bool, type(None)})
_MAY_BE_OPTIONAL = re.compile(r"\?|\boptional\b|\b(?:first|last)\b")
_OURS = re.compile(rf"\b(?:{'|'.join(NAMES)})\b")


def _compile(source: str, variables: tuple[str, ...]) -> cel.Expression:
    try:
        return environment(variables).compile(source)
    except (RuntimeError, TypeError) as error:
        found = _COMPILE_ERROR.search(str(error))
        line, column, text = found.groups() if found else ("1", "1", _STATUS.sub("", str(error)))
        raise ExpressionError(
            text.replace(" (in container '')", ""),
            source=source,
            line=max(1, int(line)),
            column=max(1, int(column)),
        ) from error


class Expression:
    """A compiled expression; evaluating has no effects and is safe from any thread."""

    def __init__(self, source: str, variables: tuple[str, ...]) -> None:
        """Raises ExpressionError with line and column when ``source`` does not compile."""
        self.source = source
        self._variables = variables
        self._checked = self._program = _compile(source, variables)
        self._optional = str(self._checked.return_type()).startswith("optional_type")
        self._calls_ours = _OURS.search(source) is not None
        self._wary = _MAY_BE_OPTIONAL.search(source) is not None
        self.shortcut = shortcut(self._checked.serialize())
        """The same in Python, where that is possible; it may leave a value to CEL."""
        if self._optional:  # has no plain form, but a list of it has: empty, or its value
            self._program = _compile(f"[?({source}\n)]", variables)

    @cached_property
    def selection(self) -> Selection | None:
        """The texts at one path without which it cannot be true, if it says so plainly."""
        return selection(self._checked.serialize())

    @cached_property
    def equality(self) -> Equality | None:
        """The comparison of a field with a text that it is, if that is all."""
        return equality_of(self._checked.serialize())

    @cached_property
    def references(self) -> list[Reference]:
        """Every path that it reads (``data.lines[].item``), from the checked syntax tree."""
        return references(self._checked.serialize())

    @cached_property
    def path(self) -> tuple[str, ...]:
        """The names of a mere path, ``("payload", "tag")``; empty for anything that says more."""
        return path_of(self._checked.serialize())

    def evaluate(self, values: Values, lookup: Lookup | None = None) -> Any:
        """The result as a JSON value: times as RFC 3339, durations in seconds, bytes as base64.

        An optional without value gives None. Raises ExpressionError, or what ``lookup`` raised.
        """
        if self.shortcut is not None:
            value = self.shortcut(plain(values))
            if value is not UNKNOWN:
                return value
        return self.by_cel(values, lookup)

    def by_cel(self, values: Values, lookup: Lookup | None = None) -> Any:
        """``evaluate`` without the shortcut."""
        value = self._run(values, lookup)
        if type(value) in _PLAIN:
            return value
        if self._optional:
            value = value[0] if value else None
        try:
            return json_value(value)
        except (ValueError, RecursionError) as error:
            raise self._failed(str(error)) from error

    def holds(self, values: Values) -> bool:
        """Whether a condition is true. Raises ExpressionError when it gives anything but a boolean."""
        value: Any = UNKNOWN
        if self.shortcut is not None:
            value = self.shortcut(plain(values))
        if value is UNKNOWN:
            value = self._run(values, None)
        if not isinstance(value, bool):
            raise self._failed(f"a condition must give true or false, not {value!r:.100}")
        return value

    def _run(self, values: Values, lookup: Lookup | None) -> Any:
        if not self._calls_ours:
            return self._result(values, None)
        with Evaluation(lookup) as ours:
            return self._result(values, ours)

    def _result(self, values: Values, ours: Evaluation | None) -> Any:
        cause: Exception | None = None
        try:
            result = self._program.eval(bind(values, self._variables).activation)
            if result.type() != cel.Type.ERROR:
                return unpacked(result) if self._wary else result.plain_value()
            detail = failure_text(result)
        except (TypeError, RuntimeError, ValueError, SystemError) as error:  # RuntimeError: recursion, too
            detail, cause = str(error), error
        raised = ours.raised if ours else None
        match raised:
            case CrossplantError():
                raise raised
            case Exception() | None:
                raise self._failed(str(raised or _STATUS.sub("", detail))) from raised or cause
            case _:  # an interrupt
                raise raised

    def _failed(self, detail: str) -> ExpressionError:
        return ExpressionError(f"{self.source!r}: {detail}", source=self.source)


@cache
def compile_expression(source: str, variables: tuple[str, ...] = EVENT_VARIABLES) -> Expression:
    """The compiled expression; the same text is compiled once. Raises ExpressionError."""
    return Expression(source, variables)
