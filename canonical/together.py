"""Several simple expressions in one loop, for those who evaluate the same ones over thousands of events.

A field that is a mere path of two steps, ``data.order``, is read right here, since a call costs as much as
all the rest; the others are shortcuts. ``tests/canonical/test_together.py`` holds both against each other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import Any, Final

from canonical.event import Event
from canonical.shortcut import TEXTS, UNKNOWN, Shortcut, clean

__all__ = ["Together", "together"]

Together = Callable[[Mapping[str, Any]], Any]
"""Values by variable → a mapping of all fields, or ``UNKNOWN`` when CEL has to be asked for one."""

_INT64: Final = 2**63


def together(  # noqa: C901 - one loop, since a call costs as much as all the rest
    fields: Sequence[tuple[str, Shortcut, tuple[str, ...]]], *, drop_null: bool = False
) -> Together:
    """What gives all fields, in their order. Of each: its name, its shortcut, and its path if it is one."""
    rows = [(name, shortcut, *_two(path)) for name, shortcut, path in fields]

    def all_fields(values: Mapping[str, Any]) -> Any:  # noqa: C901 - as above
        result: dict[str, Any] = {}
        for name, shortcut, variable, step, is_text in rows:
            owner = values.get(variable)
            if type(owner) is dict:
                value = owner.get(step, UNKNOWN)
            elif is_text and type(owner) is Event:
                value = getattr(owner, step) or UNKNOWN  # CEL is asked for an empty one, too
            else:
                value = shortcut(values)
                if value is UNKNOWN:
                    return UNKNOWN
                if value is not None or not drop_null:
                    result[name] = value
                continue
            kind = type(value)
            if kind is str:
                if not ((value.isascii() and "\0" not in value) or clean(value)):
                    return UNKNOWN
            elif kind is float:
                if not isfinite(value):
                    return UNKNOWN
            elif kind is int:
                if not -_INT64 <= value < _INT64:
                    return UNKNOWN
            elif value is None:
                if drop_null:
                    continue
            elif kind is not bool:
                return UNKNOWN
            result[name] = value
        return result

    return all_fields


def _two(path: tuple[str, ...]) -> tuple[str, str, bool]:
    """Variable and field of a path of two steps, and whether the field is an event's text, if it is one's.

    For other paths a variable that there is not.
    """
    return (path[0], path[1], path[1] in TEXTS) if len(path) == 2 else ("", "", False)
