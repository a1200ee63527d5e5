"""Routes that aggregate: what their groups are named by, and when they end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from canonical.catalogue import EventType
from canonical.expression import EVENT_VARIABLES, ExpressionError, compile_expression
from config.document import Path
from config.expression_check import expression_findings, failed
from config.findings import Finding
from config.view import View, path_text

__all__ = ["aggregate_findings"]


def aggregate_findings(view: View, path: Path, types: Sequence[EventType]) -> Iterator[Finding]:
    """What is wrong with ``by`` and ``until``; and a warning for groups that may never end."""
    name = path_text(path)
    by = view.root.find(*path, "aggregate", "by")
    if by is not None and isinstance(by.value, str) and not by.unresolved:
        yield from expression_findings(f"{name}.aggregate.by", by, types)
    until = view.root.find(*path, "aggregate", "until")
    if until is None or not isinstance(until.value, dict):
        return
    when = until.find("when")
    if when is not None and isinstance(when.value, str) and not when.unresolved:
        try:
            compile_expression(when.value, (*EVENT_VARIABLES, "items"))
        except ExpressionError as error:
            yield failed(f"{name}.aggregate.until.when", when, error)
    if until.find("within") is None and until.value:
        yield view.place(*path, "aggregate", "until").finding(
            f"{name}.aggregate.until: without `within` a group that is never complete waits for ever",
            warning=True,
        )
