"""The elements that are records, by a path: a small part of XPath, matched while the document is read."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from adapters.markup.names import is_name

__all__ = ["Path", "State", "Step", "parse_path"]

State = frozenset[int]
"""Which steps the next element may take; `len(steps)` among them: the element is a record."""

_HINT: Final = "write names parted by / (* for any, // for any depth), and conditions into `when` of a rule"


class Step(Struct, frozen=True):
    """A step to an element. ``anywhere``: other elements may lie between."""

    name: str
    anywhere: bool


class Path(Struct, frozen=True):
    """A path. ``rooted``: its first step is the root itself."""

    steps: tuple[Step, ...]
    rooted: bool

    def before(self) -> State:
        """The state before the root."""
        return frozenset({0}) if self.rooted else frozenset()

    def enter(self, state: State, name: str, depth: int) -> State:
        """The state within an element, from that of the one around it; the root has depth 0."""
        if depth == 0 and not self.rooted:
            return frozenset({0})
        inner = set()
        for at in state:
            if at == len(self.steps):
                continue
            step = self.steps[at]
            if step.anywhere:
                inner.add(at)
            if step.name in ("*", name):
                inner.add(at + 1)
        return frozenset(inner)

    def matches(self, state: State) -> bool:
        """Whether the element that was entered is a record."""
        return len(self.steps) in state


def parse_path(text: str) -> Path:
    """The path. Raises ValueError for what is none, or is more than this."""
    rooted = text.startswith("/")
    parts = text.removeprefix("/").split("/")
    if not rooted and parts[0] == ".":
        parts = parts[1:]
    steps = []
    anywhere = False
    for at, part in enumerate(parts):
        if part == "" and 0 <= at < len(parts) - 1 and not anywhere:
            anywhere = True
            continue
        if part != "*" and not is_name(part):
            raise ValueError(f"{text!r} is no path of elements: {_HINT}")
        steps.append(Step(part, anywhere))
        anywhere = False
    if not steps and text != ".":
        raise ValueError(f"{text!r} is no path of elements: {_HINT}")
    return Path(tuple(steps), rooted)
