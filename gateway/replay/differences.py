"""Where two payloads differ, field by field, and how that adds up. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from gateway.comparing import MISSING

__all__ = ["Difference", "Field", "Tally", "differing"]

_MOST_FIELDS: Final = 1000
_EXAMPLES: Final = 5
_LONGEST: Final = 500
OTHERS: Final = "(other fields)"


class Difference(Struct, frozen=True, kw_only=True):
    """One place (``lines[0].item``); MISSING on the side where there is nothing."""

    path: str
    before: Any
    after: Any

    @property
    def field(self) -> str:
        """The place without its numbers: ``lines[].item``."""
        parts = self.path.split("[")
        return parts[0] + "".join(f"[{part[part.index(']') :]}" for part in parts[1:])


def differing(before: Any, after: Any, path: str = "") -> Iterator[Difference]:
    """Every place where they differ. 5 and 5.0 are the same number; 5 and "5", 1 and true are not."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in dict.fromkeys([*before, *after]):
            where = f"{path}.{name}" if path else str(name)
            yield from differing(before.get(name, MISSING), after.get(name, MISSING), where)
    elif isinstance(before, list | tuple) and isinstance(after, list | tuple):
        for index in range(max(len(before), len(after))):
            one = before[index] if index < len(before) else MISSING
            other = after[index] if index < len(after) else MISSING
            yield from differing(one, other, f"{path}[{index}]")
    elif isinstance(before, bool) != isinstance(after, bool) or before != after:
        yield Difference(path=path, before=before, after=after)


class Field(Struct, kw_only=True):
    """What a field came to: in how many events it differs, and the first few of them."""

    events: int = 0
    examples: list[dict[str, Any]] = []


class Tally:
    """How many events differ in which field; bounded, whatever the payloads are."""

    def __init__(self) -> None:
        self.fields: dict[str, Field] = {}

    def add(self, position: int, found: list[Difference]) -> None:
        """One event's differences."""
        first: dict[str, Difference] = {}
        for difference in found:
            name = difference.field
            if name not in self.fields and len(self.fields) >= _MOST_FIELDS:
                name = OTHERS
            first.setdefault(name, difference)
        for name, difference in first.items():
            field = self.fields.setdefault(name, Field())
            field.events += 1
            if len(field.examples) < _EXAMPLES:
                field.examples = [*field.examples, {"position": position, **shown(difference)}]


def shown(difference: Difference) -> dict[str, Any]:
    """The difference as JSON; a side that has nothing is left out, a long text is cut."""
    told = {"field": difference.path}
    for name, value in (("before", difference.before), ("after", difference.after)):
        if value is not MISSING:
            told[name] = _cut(value)
    return told


def _cut(value: Any) -> Any:
    if isinstance(value, str) and len(value) > _LONGEST:
        return f"{value[:_LONGEST]}…"
    if isinstance(value, Mapping | list | tuple):
        text = msgspec.json.encode(value).decode()
        return value if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    return value
