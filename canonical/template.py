"""Text with expressions in braces."""

from __future__ import annotations

import re

from canonical.binding import EVENT_VARIABLES, ExpressionError, Values, bind
from canonical.cel import Expression, compile_expression

__all__ = ["Template"]


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
        self._constant = None if self.expressions else "".join(map(str, self._parts))

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
        if self._constant is not None:
            return self._constant
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
