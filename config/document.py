"""What is written in the configuration's files, as a tree in which every value knows its place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from config.findings import Finding
from config.scalar import offsets

__all__ = ["Entry", "Location", "Mark", "Node", "Path", "Scalar", "Text", "spell"]

Scalar = str | int | float | bool | None
Location = Sequence[str | int]
"""A way through the tree: keys and list positions, as pydantic gives them."""
Path = tuple[str | int, ...]


class Text:
    """One file as read, and which line and column an index into it is."""

    def __init__(self, file: str, content: str) -> None:
        self.file, self.content = file, content

    def mark(self, index: int) -> Mark:
        """The place of ``content[index]``; one behind the end is allowed."""
        before = self.content.rfind("\n", 0, index) + 1
        return Mark(file=self.file, line=self.content.count("\n", 0, index) + 1, column=index - before + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A place in a file, 1-based."""

    file: str
    line: int
    column: int

    def finding(self, message: str, *, warning: bool = False) -> Finding:
        """A finding at this place."""
        return Finding(
            file=self.file,
            line=self.line,
            column=self.column,
            severity="warning" if warning else "error",
            message=message,
        )


@dataclass(frozen=True, kw_only=True)
class Written:
    """How a scalar stands in its file."""

    text: Text
    start: int
    end: int
    value: str
    style: str | None

    @cached_property
    def _offsets(self) -> list[int]:
        return offsets(self.text.content, self.start, self.end, self.value, self.style)

    def mark(self, offset: int) -> Mark:
        """The place of ``value[offset]``."""
        return self.text.mark(self._offsets[max(0, min(offset, len(self.value)))])


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A key of a mapping with its place, and its value."""

    mark: Mark
    node: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A value. ``references`` are what stood in it (``${env:X}``), ``hidden`` what they stand for,
    ``template`` is its text with them.

    ``unresolved``: a reference in it led nowhere, which has been said already.
    """

    value: Scalar | dict[str, Entry] | list[Node] = field(repr=False)
    mark: Mark
    written: Written | None = None
    references: tuple[str, ...] = ()
    template: str = ""
    unresolved: bool = False
    hidden: tuple[str, ...] = field(default=(), repr=False)

    @property
    def plain(self) -> Any:
        """The value as Python data."""
        match self.value:
            case dict():
                return {name: entry.node.plain for name, entry in self.value.items()}
            case list():
                return [node.plain for node in self.value]
            case _:
                return self.value

    def child(self, step: str | int) -> Node | None:
        """The value of key or position ``step``, None when there is none."""
        if isinstance(self.value, dict):
            entry = self.value.get(str(step))
            return entry.node if entry else None
        if isinstance(self.value, list) and isinstance(step, int) and 0 <= step < len(self.value):
            return self.value[step]
        return None

    def key(self, step: str | int) -> Mark | None:
        """Where the key ``step`` stands."""
        entry = self.value.get(str(step)) if isinstance(self.value, dict) else None
        return entry.mark if entry else None

    def find(self, *path: str | int) -> Node | None:
        """The value at ``path``, None when nothing is written there."""
        node: Node | None = self
        for step in path:
            node = node.child(step) if node else None
        return node

    def trace(self, location: Location) -> tuple[Path, Node, Mark]:
        """(path, node, place) of the deepest value on ``location`` that is written.

        Steps that are no keys here (pydantic's labels of union members and the like) are passed over.
        The place is the key's when there is one and the value is a mapping or list, else the value's.
        """
        path: Path = ()
        node, place = self, self.mark
        for step in location:
            child = node.child(step)
            if child is None:
                continue
            key = node.key(step)
            place = key if key and isinstance(child.value, dict | list) else child.mark
            path, node = (*path, step), child
        return path, node, place

    def scalars(self, path: Path = ()) -> Iterator[tuple[Path, Node]]:
        """All values in it that are neither mapping nor list, with their paths."""
        match self.value:
            case dict():
                for name, entry in self.value.items():
                    yield from entry.node.scalars((*path, name))
            case list():
                for index, node in enumerate(self.value):
                    yield from node.scalars((*path, index))
            case _:
                yield path, self

    def place(self, offset: int = 0) -> Mark:
        """Where the character ``offset`` of a text stands; its start when it comes from a reference."""
        return self.mark if self.written is None or self.references else self.written.mark(offset)


def spell(path: Location) -> str:
    """A path as people write it: ``adapters.line1.events[0].type``."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text
