"""Expressions: CEL behind an interface of ours, for conditions, fields and templates.

CEL (Common Expression Language) as cel-expr-python runs it: no side effects, no loops of its own, an
iteration budget (10,000 steps), at most 32 levels of nesting. What its binding does differently from
Python is kept in here: evaluation errors come back as values, exceptions of built-ins become text,
times, durations and bytes are no JSON, optionals have no plain form, references are miscounted
(``canonical.celmemory``).

Beside CEL's own functions there are its ``strings``, ``math`` and ``optional`` libraries, and built-ins
of ours (``canonical.functions``): ``sum(list)``, ``decimal(x)`` (text to double), ``unit(value, from,
to)`` (Rec 20 codes; keeps text as text), ``lookup(domain, system, value)`` (canonical code → the
system's code).
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import cache, cached_property
from typing import Any, TypeAlias

from cel_expr_python import cel
from cel_expr_python.ext import ext_math, ext_optional, ext_strings

from canonical.celmemory import make_none_immortal
from canonical.errors import CrossplantError, PermanentError
from canonical.functions import NAMES, Evaluation, Lookup, declarations
from canonical.jsontext import NUL, has_nul
from canonical.times import rfc3339
from canonical.wire import Reference, references

__all__ = [
    "EVENT_VARIABLES",
    "MESSAGE_VARIABLES",
    "Expression",
    "ExpressionError",
    "FieldMap",
    "Lookup",
    "Template",
    "Values",
    "bind",
    "compile_expression",
]

EVENT_VARIABLES = ("event", "data")
"""What routes see: the envelope (with data in it), and its data."""
MESSAGE_VARIABLES = ("payload", "message", "item")
"""What inbound rules see: the decoded body, the transport's attributes, and the element of ``each``."""


class Bound:
    """JSON values by variable, converted for CEL once, when the first expression needs that."""

    __slots__ = ("_activation", "_variables", "plain")

    def __init__(self, plain: Mapping[str, Any], variables: tuple[str, ...]) -> None:
        self.plain, self._variables = plain, variables
        self._activation: cel.Activation | None = None

    @property
    def activation(self) -> cel.Activation:
        """The values as CEL keeps them.

        Raises ExpressionError for what the binding does not survive (cel-expr-python 0.1.3): text with
        U+0000, which it cuts short without a word, and nesting of thousands of levels, which overflows
        its stack.
        """
        if self._activation is None:
            _survivable(self.plain)
            self._activation = _environment(self._variables).Activation(self.plain)
        return self._activation


Values: TypeAlias = Mapping[str, Any] | Bound
"""What expressions are evaluated on: JSON values by variable, or what ``bind`` made of them."""


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


@cache
def _environment(variables: tuple[str, ...]) -> cel.Env:
    make_none_immortal()
    return cel.NewEnv(
        variables=dict.fromkeys(variables, cel.Type.DYN),
        extensions=[ext_optional.ExtOptional(), ext_strings.ExtStrings(), ext_math.ExtMath()],
        functions=declarations(),
    )


def bind(values: Values, variables: tuple[str, ...] = EVENT_VARIABLES) -> Bound:
    """The values for several expressions. Not to be shared between threads."""
    return values if isinstance(values, Bound) else Bound(values, variables)


def _survivable(values: Mapping[str, Any]) -> None:
    try:
        nul = has_nul(values)
    except RecursionError:
        raise ExpressionError("the values nest too deeply", source="") from None
    except (TypeError, ValueError, OverflowError):
        nul = False  # no JSON: CEL itself refuses it when it reads it
    if nul:
        raise ExpressionError(f"a text {NUL}", source="")


_COMPILE_ERROR = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): (.+)")
_STATUS = re.compile(r"^(?:[A-Z_]+: )+|\s*\[[A-Z_]+\]$")
_PLAIN = frozenset({str, int, bool, type(None)})
_MAY_BE_OPTIONAL = re.compile(r"\?|\boptional\b|\b(?:first|last)\b")
_OPTIONAL = "an optional value stands where none can: end it with .orValue(…), or write {?'key': …}"
_PATH = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+", re.ASCII)
_INT64 = 2**63
_NOT_THERE = object()
_OURS = re.compile(rf"\b(?:{'|'.join(NAMES)})\b")


def _compile(source: str, variables: tuple[str, ...]) -> cel.Expression:
    try:
        return _environment(variables).compile(source)
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
        plain = _PATH.fullmatch(source) is not None and source.partition(".")[0] in variables
        self._path = tuple(source.split(".")) if plain else ()
        if self._optional:  # has no plain form, but a list of it has: empty, or its value
            self._program = _compile(f"[?({source}\n)]", variables)

    @cached_property
    def references(self) -> list[Reference]:
        """Every path that it reads (``data.lines[].item``), from the checked syntax tree."""
        return references(self._checked.serialize())

    def evaluate(self, values: Values, lookup: Lookup | None = None) -> Any:
        """The result as a JSON value: times as RFC 3339, durations in seconds, bytes as base64.

        An optional without value gives None. Raises ExpressionError, or what ``lookup`` raised.
        """
        if self._path and (value := self._walked(values)) is not _NOT_THERE:
            return value
        value = self._run(values, lookup)
        if type(value) in _PLAIN:
            return value
        if self._optional:
            value = value[0] if value else None
        try:
            return _json(value)
        except (ValueError, RecursionError) as error:
            raise self._failed(str(error)) from error

    def _walked(self, values: Values) -> Any:
        """What a mere path (``data.order``) leads to, if that is a scalar on which CEL and Python agree.

        Most fields of most mappings are paths, and this is ten times as fast; everything else, and
        every error, is CEL's.
        """
        value: Any = values.plain if isinstance(values, Bound) else values
        for step in self._path:
            if type(value) is not dict or step not in value:
                return _NOT_THERE
            value = value[step]
        kind = type(value)
        if kind is str:
            return _NOT_THERE if "\0" in value else value
        if kind is int:
            return value if -_INT64 <= value < _INT64 else _NOT_THERE
        return value if kind is bool or value is None else _NOT_THERE

    def holds(self, values: Values) -> bool:
        """Whether a condition is true. Raises ExpressionError when it gives anything but a boolean."""
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
                return _unpacked(result) if self._wary else result.plain_value()
            detail = _text_of(result)
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


def _text_of(failure: cel.Value) -> str:
    """What failed. An optional counts as a failure, too: it looks like one, and has no plain form."""
    try:
        return str(failure.plain_value())
    except TypeError:
        return _OPTIONAL


def _unpacked(result: cel.Value) -> Any:
    """The plain value of a result that may hold optionals, for which ``plain_value`` crashes the process."""
    if result.type() == cel.Type.ERROR:
        raise ValueError(_OPTIONAL)
    value = result.value()
    if isinstance(value, dict):
        return {key: _unpacked(entry) for key, entry in value.items()}
    return [_unpacked(entry) for entry in value] if isinstance(value, list) else value


def _json(value: Any) -> Any:
    """A value of CEL as a JSON value. Raises ValueError for what JSON cannot say."""
    match value:
        case str() | bool() | int() | None:
            return value
        case float():
            if not math.isfinite(value):
                raise ValueError(f"it gives {value}, which JSON has no number for")
            return value
        case list():
            return [_json(entry) for entry in value]
        case dict():
            return {_key(key): _json(entry) for key, entry in value.items()}
        case datetime():
            return rfc3339(value)
        case timedelta():
            seconds = value.total_seconds()
            return int(seconds) if seconds.is_integer() else seconds
        case bytes() | bytearray():
            return base64.b64encode(value).decode()
        case _:
            raise ValueError(f"it gives {value}, which is no JSON value")


def _key(key: Any) -> str:
    """A key of a map as text; a boolean as JSON writes it."""
    return str(key).lower() if isinstance(key, bool) else str(key)


@cache
def compile_expression(source: str, variables: tuple[str, ...] = EVENT_VARIABLES) -> Expression:
    """The compiled expression; the same text is compiled once. Raises ExpressionError."""
    return Expression(source, variables)


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
        self._fields = {name: self._compile(name, value, variables) for name, value in fields.items()}

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
        for name, node in self._fields.items():
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


class Template:
    """Text with CEL in braces, for topics, paths and headers: ``orders/{data.order}``; ``{{`` is a brace."""

    _BRACE = re.compile(r"\{\{|\}\}|[{}]")
    _INNER = re.compile(r"""[{}]|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'""", re.DOTALL)

    def __init__(self, source: str, variables: tuple[str, ...] = EVENT_VARIABLES) -> None:
        """Raises ExpressionError when a part does not compile, or a brace lacks its other half."""
        self.source = source
        self._variables = variables
        self._parts: list[str | Expression] = []
        at = 0
        while brace := self._BRACE.search(source, at):
            self._parts.append(source[at : brace.start()])
            at = brace.end()
            if len(brace.group()) == 2:
                self._parts.append(brace.group()[0])
            else:
                end = self._end(brace)
                self._parts.append(self._compile(source[at:end], at, variables))
                at = end + 1
        self._parts.append(source[at:])

    def _end(self, brace: re.Match[str]) -> int:
        """Where the part that this brace opens ends; maps and texts with braces may be in it."""
        depth = 1 if brace.group() == "{" else 0
        for token in self._INNER.finditer(self.source, brace.end()) if depth else ():
            depth += {"{": 1, "}": -1}.get(token.group(), 0)
            if not depth:
                return token.start()
        what = "is never closed" if depth else "closes nothing"
        raise ExpressionError(
            f"the brace in {self.source!r} {what}; a plain brace is written twice",
            source=self.source,
            column=brace.start() + 1,
        )

    def _compile(self, part: str, at: int, variables: tuple[str, ...]) -> Expression:
        if not part.strip():
            raise ExpressionError(
                f"nothing is between the braces in {self.source!r}", source=self.source, column=at + 1
            )
        try:
            return compile_expression(part, variables)
        except ExpressionError as error:
            raise error.at("", columns=at) from error

    @property
    def expressions(self) -> list[Expression]:
        """The compiled parts, for checking."""
        return [part for part in self._parts if isinstance(part, Expression)]

    def expand(self, values: Values) -> str:
        """The text with every part replaced; true, false and numbers as JSON writes them.

        Raises ExpressionError; a part that is empty, null, a list or a map is an error.
        """
        bound = bind(values, self._variables)
        return "".join(part if isinstance(part, str) else self._text(part, bound) for part in self._parts)

    def _text(self, part: Expression, values: Values) -> str:
        value = part.evaluate(values)
        if value is None or value == "":
            raise ExpressionError(f"{{{part.source}}} is empty in {self.source!r}", source=part.source)
        if isinstance(value, list | dict):
            raise ExpressionError(
                f"{{{part.source}}} gives a list or a map in {self.source!r}, not a text", source=part.source
            )
        return str(value).lower() if isinstance(value, bool) else str(value)
