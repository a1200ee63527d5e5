"""The records of a document: each element as the JSON-like value that rules read, made one by one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from adapters.markup.config import XmlOptions
from adapters.markup.names import is_nil, namer
from adapters.markup.parser import Parser
from adapters.markup.path import State, parse_path
from canonical.errors import Invalid

__all__ = ["Found", "records"]


class Found(Struct, frozen=True):
    """A record, and the line on which its element begins."""

    line: int
    value: Any


class _Open(Struct):
    """An element that is not closed yet."""

    name: str
    members: dict[str, Any]
    nil: bool
    text: list[str] = []


def records(body: bytes, options: XmlOptions) -> Iterator[Found | Invalid]:
    """The records in order, of a document that ``check_document`` accepts; what is too large is Invalid.

    An element is a mapping of ``@attribute``, children (a list where there are several of a name) and
    ``#text``; one that has only text is that text, an empty one null. Raises Invalid.
    """
    reading = _Reading(body, options)
    for _ in reading.parser.pieces():
        yield from reading.taken()


class _Reading:
    """One document: where it is, and what is complete."""

    def __init__(self, body: bytes, options: XmlOptions) -> None:
        self.parser = Parser(body, options)
        self.parser.handlers.StartElementHandler = self._start
        self.parser.handlers.EndElementHandler = self._end
        self.parser.handlers.CharacterDataHandler = self._text
        self._path, self._options = parse_path(options.records), options
        self._name, self._lists = namer(options.namespaces), frozenset(options.lists)
        self._states: list[State] = [self._path.before()]
        self._open: list[_Open] = []
        self._inside, self._line, self._count = 0, 0, 0
        self._done: list[Found | Invalid] = []

    def taken(self) -> list[Found | Invalid]:
        """What was completed since the last call."""
        done, self._done = self._done, []
        return done

    def _start(self, reported: str, attributes: dict[str, str]) -> None:
        name = self._name(reported)
        if not self._inside:
            state = self._path.enter(self._states[-1], name, len(self._states) - 1)
            self._states.append(state)
            if not self._path.matches(state):
                return
            self._line, self._count = self.parser.line, 0
        self._inside += 1
        self._count += 1 + len(attributes)
        if self._count > self._options.max_elements:
            self._open.clear()  # it is told when the record ends; until then nothing more is kept of it
            return
        members = {f"@{self._name(each)}": value for each, value in attributes.items()}
        self._open.append(_Open(name, members, is_nil(attributes), []))

    def _text(self, text: str) -> None:
        if self._open:
            self._open[-1].text.append(text)

    def _end(self, reported: str) -> None:
        if not self._inside:
            self._states.pop()
            return
        self._inside -= 1
        if self._count > self._options.max_elements:
            if not self._inside:
                self._done.append(self._too_large())
        else:
            closed = self._open.pop()
            if self._inside:
                self._add(self._open[-1].members, closed.name, self._value(closed))
            else:
                self._done.append(Found(self._line, self._value(closed)))
        if not self._inside:
            self._states.pop()

    def _value(self, element: _Open) -> Any:
        """What an element is in its record."""
        if element.nil:
            return None
        members, text = element.members, "".join(element.text)
        if self._options.trim or not text.strip():
            text = text.strip()
        if not members:
            return text or None
        if text:
            members["#text"] = text
        return members

    def _add(self, members: dict[str, Any], name: str, value: Any) -> None:
        """Puts a child in; several of a name, and those of ``lists``, are a list."""
        if name not in members:
            members[name] = [value] if name in self._lists else value
        elif isinstance(members[name], list):
            members[name].append(value)
        else:
            members[name] = [members[name], value]

    def _too_large(self) -> Invalid:
        most = self._options.max_elements
        where = f"line {self._line}"
        detail = f"the record has more than {most:,} elements and attributes"
        return Invalid(f"{where}: {detail}", code="too_large", errors=[(where, detail)])
