"""Whether a value holds what is expected of it, and where it does not. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

__all__ = ["MISSING", "Difference", "Text", "differences"]


class _Missing:
    """Stands for what is not there."""

    def __repr__(self) -> str:
        return "nothing"


MISSING: Final = _Missing()
_LONGEST: Final = 200


class Difference(Struct, frozen=True, kw_only=True):
    """One place (``lines[0].item``) where a value is not as expected; MISSING where there is nothing."""

    path: str
    expected: Any
    actual: Any

    def __str__(self) -> str:
        where = f"{self.path}: " if self.path else ""
        return f"{where}expected {_shown(self.expected)}, got {_shown(self.actual)}"


def differences(expected: Any, actual: Any, path: str = "") -> Iterator[Difference]:
    """Where ``actual`` lacks what is ``expected``.

    A mapping may hold more keys than expected; a list has to be as long, each entry holding what is expected
    of it. 5 and 5.0 are the same number, 5 and "5" are not. In a ``Text`` an expected text, or each of a
    list, has to be found.
    """
    match expected:
        case Mapping():
            yield from _mapping(expected, actual, path)
        case str() if isinstance(actual, Text):
            if expected.strip() not in actual.text:
                yield Difference(path=path, expected=expected, actual=actual.text)
        case str() | bytes():
            if expected != actual:
                yield Difference(path=path, expected=expected, actual=actual)
        case Sequence():
            yield from _list(expected, actual, path)
        case _:
            if expected != actual or isinstance(expected, bool) != isinstance(actual, bool):
                yield Difference(path=path, expected=expected, actual=actual)


class Text(Struct, frozen=True):
    """What was written in a format that is no JSON."""

    text: str


def _mapping(expected: Mapping[str, Any], actual: Any, path: str) -> Iterator[Difference]:
    if not isinstance(actual, Mapping):
        yield Difference(path=path, expected=expected, actual=actual)
        return
    for name, value in expected.items():
        where = f"{path}.{name}" if path else str(name)
        if name in actual:
            yield from differences(value, actual[name], where)
        else:
            yield Difference(path=where, expected=value, actual=MISSING)


def _list(expected: Sequence[Any], actual: Any, path: str) -> Iterator[Difference]:
    if isinstance(actual, Text):
        for value in expected:
            yield from differences(value, actual, path)
        return
    if not isinstance(actual, Sequence) or isinstance(actual, str | bytes):
        yield Difference(path=path, expected=expected, actual=actual)
        return
    for index, value in enumerate(expected):
        where = f"{path}[{index}]"
        if index < len(actual):
            yield from differences(value, actual[index], where)
        else:
            yield Difference(path=where, expected=value, actual=MISSING)
    for index in range(len(expected), len(actual)):
        yield Difference(path=f"{path}[{index}]", expected=MISSING, actual=actual[index])


def _shown(value: Any) -> str:
    if value is MISSING:
        return "nothing"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
