"""Whether a message's segments stand where the UN directory of its release has them.

The tables in ``grammar/`` are written by ``scripts/edifact_grammar.py``, which says how to read them. Private
segments and those of agreements are usual, so that all of this is told, and only strict partners' messages
are refused for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import Final

from msgspec import Struct, field

from adapters.edi.finding import Findings, Place, Severity
from adapters.edi.interchange import Message

__all__ = ["RELEASES", "Node", "Structure", "grammar"]

RELEASES: Final = ("D.96A", "D.97A", "D.01B")
"""The releases of which there are tables."""


class Node(Struct):
    """A segment by its tag, or a group, whose tag is that of its first segment, with what is in it."""

    tag: str
    mandatory: bool
    most: int
    number: int = 0
    children: list[Node] = field(default_factory=list)

    @property
    def name(self) -> str:
        """How people know it."""
        return f"segment group {self.number} ({self.tag})" if self.number else self.tag


class _Frame(Struct):
    """How far a message has come in one repetition of a group: the child it is at, and how often."""

    node: Node
    at: int = 0
    times: int = 0


@cache
def _table(release: str) -> dict[str, str]:
    name = f"{release.lower().replace('.', '')}.txt"
    text = (resources.files("adapters.edi.edifact") / "grammar" / name).read_text(encoding="utf-8")
    rows = (line.partition(" ") for line in text.splitlines() if line and not line.startswith("#"))
    return {message: structure for message, _, structure in rows}


@cache
def grammar(message: str, release: str) -> Node | None:
    """The structure of a message, or None where there is no table."""
    if release not in RELEASES:
        return None
    text = _table(release).get(message)
    return None if text is None else _parsed(text)


def _parsed(text: str) -> Node:
    root = Node(tag="", mandatory=True, most=1)
    open_groups, count = [root], 0
    for word in text.replace(")", " )").split():
        if word == ")":
            group = open_groups.pop()
            group.tag = group.children[0].tag
        elif word.startswith("("):
            count += 1
            mandatory, most = _status(word[1:])
            group = Node(tag="", mandatory=mandatory, most=most, number=count)
            open_groups[-1].children.append(group)
            open_groups.append(group)
        else:
            mandatory, most = _status(word[3:])
            open_groups[-1].children.append(Node(tag=word[:3], mandatory=mandatory, most=most))
    return root


def _status(text: str) -> tuple[bool, int]:
    return text.startswith("!"), int(text.lstrip("!") or 1)


class Structure:
    """Follows one message through its structure, segment by segment."""

    def __init__(self, message: Message, findings: Findings, *, strict: bool) -> None:
        self._findings = findings
        self._severity: Severity = "error" if strict else "warning"
        self._root = grammar(message.type, message.version)
        self._stack = [_Frame(self._root)] if self._root else []
        self._tags = set(_tags(self._root)) if self._root else set()
        if self._root is None:
            text = (
                f"the structure of {message.type} {message.version} is not checked: there is no table of it"
            )
            findings.info("structure_unchecked", text, message.place)

    def take(self, place: Place) -> None:
        """Takes the next segment, and notes it when it should not be here."""
        if not self._stack:
            return
        if place.tag not in self._tags:
            self._note("segment_unknown", f"{place.tag} is no segment of this message", place)
            return
        inwards = range(len(self._stack))
        for depth, used_up in [(depth, False) for depth in reversed(inwards)] + [
            (depth, True) for depth in inwards
        ]:
            at = self._find(self._stack[depth], place.tag, used_up=used_up)
            if at is not None:
                self._missing(depth, at, place)
                del self._stack[depth + 1 :]
                self._enter(self._stack[depth], at, place)
                return
        self._note("segment_misplaced", f"{place.tag} should not stand here", place)

    @staticmethod
    def _find(frame: _Frame, tag: str, *, used_up: bool) -> int | None:
        """Which child of a group a segment begins, from the present one on."""
        children = frame.node.children
        for at in range(frame.at, len(children)):
            if children[at].tag == tag:
                again = at == frame.at and frame.times >= children[at].most
                if used_up or not again:
                    return at
        return None

    def _enter(self, frame: _Frame, at: int, place: Place) -> None:
        child = frame.node.children[at]
        frame.times = frame.times + 1 if at == frame.at else 1
        frame.at = at
        if frame.times == child.most + 1:
            self._note("segment_repeated", f"{child.name} may come {child.most} times at most", place)
        if child.children:
            self._stack.append(_Frame(child, 0, 1))

    def _missing(self, depth: int, at: int, place: Place) -> None:
        """Notes what is mandatory and was passed over: in the groups that end here, and up to the place."""
        for frame in self._stack[:depth:-1]:
            self._passed(frame, len(frame.node.children), place)
        self._passed(self._stack[depth], at, place)

    def _passed(self, frame: _Frame, until: int, place: Place) -> None:
        first = frame.at + 1 if frame.times else frame.at
        for child in frame.node.children[first:until]:
            if child.mandatory:
                self._note("segment_missing", f"{child.name} is mandatory before {place.tag}", place)

    def _note(self, code: str, message: str, place: Place) -> None:
        self._findings.add(self._severity, code, message, place)


def _tags(node: Node) -> Iterator[str]:
    for child in node.children:
        yield child.tag
        yield from _tags(child)
