"""Codes as people read them: the canonical one, and beside it what the source said.

One shape everywhere: a field that holds a code has the canonical code, and ``source_<field>`` the source's
own; of a list of codes both are lists. The canonical code is null where the crosswalk has no row for it at
the event's time; ``unresolved`` then names the missing row. Nothing is ever defaulted. A source for which
the configuration names no ``codes`` speaks canonical codes: both are the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

from msgspec import Struct

from canonical import catalogue
from canonical.errors import Unresolved
from gateway.projections.services.entry import Origin
from router.crosswalk import Crosswalk
from router.routes import Codes

__all__ = ["SOURCE", "Coding", "Missing"]

SOURCE = "source_"


class Missing(Struct, frozen=True, kw_only=True):
    """A code without a canonical one: the crosswalk row that would mend it."""

    pointer: str
    domain: str
    system: str
    plant: str | None
    value: str
    at: datetime


class Node(Struct, frozen=True):
    """Where codes are below a value: here (``domain``), in its fields, or in its elements."""

    domain: str = ""
    translated: bool = False
    fields: Mapping[str, Node] = {}
    each: Node | None = None


class Coding:
    """The crosswalks as they are now, applied as of each event's time."""

    def __init__(self, inbound: Mapping[str, Codes], crosswalk: Crosswalk) -> None:
        self._inbound, self._crosswalk = inbound, crosswalk

    def shown(
        self, cells: Mapping[str, Any], origins: Sequence[Origin]
    ) -> tuple[dict[str, Any], list[Missing]]:
        """A view's cells as plain JSON, and what could not be resolved."""
        missing: list[Missing] = []
        return self._record(cells, origins, "", missing), missing

    def codes(self, domain: str, canonical: str) -> frozenset[str]:
        """What the sources may call it, wherever and whenever."""
        systems = {codes.system for codes in self._inbound.values()}
        known = (self._crosswalk.codes(domain, system, canonical) for system in systems)
        return frozenset({canonical}.union(*known))

    def _record(
        self, cells: Mapping[str, Any], origins: Sequence[Origin], at: str, missing: list[Missing]
    ) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for name, cell in cells.items():
            if len(cell) != 3 or not isinstance(cell[1], int):  # a list of things, not [value, origin, path]
                out[name] = [
                    self._record(each, origins, f"{at}/{name}/{index}", missing)
                    for index, each in enumerate(cell)
                ]
                continue
            value, number, path = cell
            if number < 0 or not path:
                out[name] = value
                continue
            origin = origins[number]
            node = _node(origin.type, path, self._inbound.get(origin.source))
            _put(out, name, value, node, _Place(self, origin, at, missing))
        return out

    def canonical(self, domain: str, value: str, origin: Origin, pointer: str, missing: list[Missing]) -> Any:
        """The canonical code, or None and a note of what is missing."""
        codes = self._inbound[origin.source]
        moment = datetime.fromtimestamp(origin.at, UTC)
        try:
            return self._crosswalk.canonical(
                domain=domain, system=codes.system, plant=origin.plant or "", value=value, at=moment
            )
        except Unresolved:
            missing.append(
                Missing(
                    pointer=pointer,
                    domain=domain,
                    system=codes.system,
                    plant=origin.plant,
                    value=value,
                    at=moment,
                )
            )
            return None


class _Place(Struct, frozen=True):
    """Where a value is put, and what it comes from."""

    coding: Coding
    origin: Origin
    pointer: str
    missing: list[Missing]

    def below(self, step: str | int) -> _Place:
        return _Place(self.coding, self.origin, f"{self.pointer}/{step}", self.missing)

    def code(self, node: Node, value: Any) -> Any:
        if not node.translated or not isinstance(value, str):
            return value
        return self.coding.canonical(node.domain, value, self.origin, self.pointer, self.missing)


def _put(out: dict[str, Any], name: str, value: Any, node: Node | None, place: _Place) -> None:
    """Sets a field, with what the source said beside it where it holds codes."""
    here = place.below(name)
    if node is None:
        out[name] = value
    elif node.domain:
        out[name], out[SOURCE + name] = here.code(node, value), value
    elif node.each is not None and node.each.domain and isinstance(value, list):
        out[name] = [here.below(index).code(node.each, each) for index, each in enumerate(value)]
        out[SOURCE + name] = value
    else:
        out[name] = _inner(value, node, here)


def _inner(value: Any, node: Node, place: _Place) -> Any:
    if isinstance(value, list) and node.each is not None:
        each = node.each
        return [_inner(inner, each, place.below(index)) for index, inner in enumerate(value)]
    if isinstance(value, dict):
        out: dict[str, Any] = {}
        for name, inner in value.items():
            _put(out, name, inner, node.fields.get(name), place)
        return out
    return value


@cache
def _node(type_: str, path: str, codes: Codes | None) -> Node | None:
    """Where codes are at and below a path of a type's events, from a source with these codes."""
    translated = set() if codes is None else {field for field, _ in codes.domains(type_)}
    known = dict(catalogue.code_fields(type_))
    domain = catalogue.code_domain(type_, path)
    if domain is not None:
        return Node(domain=domain, translated=path in translated)
    below = {
        field[len(path) :]: (domain, field in translated)
        for field, domain in known.items()
        if field.startswith((f"{path}.", f"{path}[]"))
    }
    return _tree(below) if below else None


def _tree(paths: Mapping[str, tuple[str, bool]]) -> Node:
    """The nodes of paths such as ``[].item`` and ``.quantity.uom``."""
    if "" in paths:
        return Node(*paths[""])
    fields: dict[str, dict[str, tuple[str, bool]]] = {}
    each: dict[str, tuple[str, bool]] = {}
    for path, what in paths.items():
        if path.startswith("[]"):
            each[path[2:]] = what
        else:
            name, rest = _step(path)
            fields.setdefault(name, {})[rest] = what
    return Node(
        fields={name: _tree(inner) for name, inner in fields.items()}, each=_tree(each) if each else None
    )


def _step(path: str) -> tuple[str, str]:
    """``.quantity.uom`` as ("quantity", ".uom")."""
    text = path[1:]
    ends = [at for at in (text.find("."), text.find("[")) if at >= 0]
    end = min(ends, default=len(text))
    return text[:end], text[end:]
