"""YAML text → a tree of values with their places: YAML 1.2's core schema, duplicate keys refused.

PyYAML's scanner, parser and composer are used; its resolver and constructor, which are YAML 1.1's
(``on`` is true, ``12:30`` is 750, ``2026-01-01`` a date), are not.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import yaml
from yaml.composer import Composer
from yaml.nodes import MappingNode, ScalarNode, SequenceNode
from yaml.parser import Parser
from yaml.reader import Reader
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner

from config.document import Entry, Mark, Node, Scalar, Text, Written
from config.findings import Finding
from config.references import resolve

__all__ = ["compose"]

_TAG = "tag:yaml.org,2002:"
_MERGE = "<<"


class _Loader(Reader, Scanner, Parser, Composer, BaseResolver):
    def __init__(self, stream: str) -> None:
        Reader.__init__(self, stream)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        BaseResolver.__init__(self)


# YAML 1.2.2, 10.3.2 tag resolution of the core schema.
for _name, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
):
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(f"(?:{_pattern})$"), _first)


def compose(
    text: Text, folder: Path, environment: Mapping[str, str] = os.environ
) -> tuple[Node | None, list[Finding]]:
    """(tree, findings) of one document; no tree when it is no YAML. An empty file is an empty mapping."""
    start = text.mark(0)
    try:
        root = _Loader(text.content).get_single_node()
    except yaml.MarkedYAMLError as error:
        return None, [_broken(text, error)]
    except yaml.reader.ReaderError as error:
        place = text.mark(error.position)
        return None, [place.finding(f"a character that YAML does not allow: U+{error.character:04X}")]
    if root is None:
        return Node(value={}, mark=start), []
    builder = _Builder(text, folder, environment)
    return builder.node(root), builder.findings


def _broken(text: Text, error: yaml.MarkedYAMLError) -> Finding:
    """Where the parser gave up, and in which line began what it was reading."""
    mark = error.problem_mark or error.context_mark
    place = text.mark(min(mark.index, len(text.content)) if mark else 0)
    began = text.mark(error.context_mark.index).line if error.context_mark else place.line
    context = f"{error.context} that begins in line {began}" if began < place.line else error.context
    detail = ", ".join(part for part in (context, error.problem) if part)
    return place.finding(f"this is not YAML: {detail}")


class _Builder:
    def __init__(self, text: Text, folder: Path, environment: Mapping[str, str]) -> None:
        self.text, self.folder, self.environment = text, folder, environment
        self.findings: list[Finding] = []
        self.open: set[int] = set()

    def node(self, node: yaml.Node) -> Node:
        mark = self.mark(node)
        if id(node) in self.open:
            self.findings.append(mark.finding("this alias stands inside its own anchor"))
            return Node(value=None, mark=mark, unresolved=True)
        if isinstance(node, ScalarNode):
            return self.scalar(node, mark)
        if node.tag not in (_TAG + "map", _TAG + "seq"):
            self.findings.append(mark.finding(f"the tag {node.tag!r} does not belong here; leave it out"))
        self.open.add(id(node))
        try:
            if isinstance(node, MappingNode):
                return Node(value=self.mapping(node), mark=mark)
            assert isinstance(node, SequenceNode)
            return Node(value=[self.node(entry) for entry in node.value], mark=mark)
        finally:
            self.open.discard(id(node))

    def mark(self, node: yaml.Node) -> Mark:
        return self.text.mark(node.start_mark.index)

    def mapping(self, node: MappingNode) -> dict[str, Entry]:
        entries: dict[str, Entry] = {}
        merged: dict[str, Entry] = {}
        for key, value in node.value:
            mark = self.mark(key)
            if not isinstance(key, ScalarNode):
                self.findings.append(mark.finding("a key must be plain text"))
            elif key.value == _MERGE and not key.style:
                for name, entry in self.merge(value):
                    merged.setdefault(name, entry)
            elif key.value in entries:
                first = entries[key.value].mark
                self.findings.append(
                    mark.finding(f"the key {key.value!r} is given twice; first in line {first.line}")
                )
            else:
                entries[key.value] = Entry(mark=mark, node=self.node(value))
        return {**merged, **entries}

    def merge(self, node: yaml.Node) -> Iterator[tuple[str, Entry]]:
        """The entries that ``<<: *anchor`` or ``<<: [*one, *two]`` brings in."""
        for source in node.value if isinstance(node, SequenceNode) else [node]:
            built = self.node(source)
            if isinstance(built.value, dict):
                yield from built.value.items()
            elif not built.unresolved:
                self.findings.append(built.mark.finding("<< takes a mapping (an alias), or a list of them"))

    def scalar(self, node: ScalarNode, mark: Mark) -> Node:
        written = Written(
            text=self.text,
            start=node.start_mark.index,
            end=node.end_mark.index,
            value=node.value,
            style=node.style,
        )
        if node.tag != _TAG + "str":
            return Node(value=self.typed(node, mark), mark=mark, written=written)
        resolved = resolve(node.value, self.folder, self.environment)
        self.findings += [written.mark(offset).finding(fault) for offset, fault in resolved.faults]
        return Node(
            value=resolved.value,
            mark=mark,
            written=written if resolved.value == node.value else None,
            references=resolved.references,
            template=node.value if resolved.references else "",
            hidden=resolved.hidden,
            unresolved=bool(resolved.faults),
        )

    def typed(self, node: ScalarNode, mark: Mark) -> Scalar:
        text: str = node.value
        try:
            return _TYPED[str(node.tag).removeprefix(_TAG)](text)
        except (KeyError, ValueError):
            self.findings.append(mark.finding(f"the tag {node.tag!r} does not belong here; leave it out"))
            return None


_BOOLEANS = {"true": True, "false": False}
_TYPED: dict[str, Callable[[str], Scalar]] = {
    "null": lambda text: None,
    "bool": lambda text: _BOOLEANS[text.lower()],
    "int": lambda text: int(text, 10 if text.lstrip("+-").isdigit() else 0),
    "float": lambda text: float(re.sub(r"\.(?=[iInN])", "", text)),
}
