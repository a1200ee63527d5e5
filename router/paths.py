"""Reading and replacing values at catalogue paths: ``data.lines[].item``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["Replace", "replace_at"]

Replace = Callable[[str, str], str]
"""(value, its place as an RFC 6901 pointer below data) → the value to put there."""


def replace_at(data: Any, path: str, replace: Replace) -> Any:
    """``data`` with every text at ``path`` replaced; what is not touched is shared, nothing is changed.

    Missing parts, nulls and values that are not text are left as they are. ``path`` may begin
    with ``data.``.
    """
    steps = [step for part in path.removeprefix("data.").split(".") for step in _split(part)]
    return _walk(data, steps, replace, "")


def _split(part: str) -> list[str]:
    name, brackets, _ = part.partition("[]")
    return [name, "[]"] if brackets else [name]


def _walk(value: Any, steps: list[str], replace: Replace, place: str) -> Any:
    if not steps:
        return replace(value, place) if isinstance(value, str) else value
    step, rest = steps[0], steps[1:]
    if step == "[]":
        if not isinstance(value, list):
            return value
        return [_walk(entry, rest, replace, f"{place}/{index}") for index, entry in enumerate(value)]
    if not isinstance(value, dict) or step not in value:
        return value
    return {**value, step: _walk(value[step], rest, replace, f"{place}/{step}")}
