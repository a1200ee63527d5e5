"""The outline of a message: how deep each of its segments stands, and which group it belongs to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from msgspec import Struct

from adapters.edi.edifact.structure import Node, grammar
from adapters.edi.interchange import Interchange, Message, Standard
from adapters.edi.segment import Segment

__all__ = ["Outlined", "outline", "segments"]

_HEADS: Final[dict[Standard, frozenset[str]]] = {
    "edifact": frozenset({"LIN", "CPS", "UCM"}),
    "x12": frozenset({"PO1", "LIN", "IT1", "POC", "W01", "AK2", "OTI", "CLP", "ENT"}),
}
"""What begins a group of its own, where no table of the message says so."""
_ENDS: Final = frozenset({"UNS", "CNT", "UNT", "CTT", "SE", "TDS", "AK9", "ISS"})
"""What stands behind all groups."""
_INNER: Final = frozenset({"N2", "N3", "N4", "PER", "CTA", "COM"})
"""What belongs to the party before it."""
_PARTIES: Final = frozenset({"N1", "NAD"})


class Outlined(Struct, frozen=True):
    """A segment, how deep it stands (0 is the message itself), and its groups: ``CPS 1 > PAC 1``."""

    segment: Segment
    depth: int
    path: str


def segments(interchange: Interchange, message: Message, size: int) -> Iterator[Segment]:
    """The segments of a message of a file of ``size`` bytes; of one that has no trailer, what was counted."""
    if message.end > message.start:
        yield from interchange.tokens(message)
        return
    whole = Message(
        type=message.type,
        version=message.version,
        reference=message.reference,
        place=message.place,
        start=message.start,
        end=size,
        position=message.position,
    )
    for segment in interchange.tokens(whole):
        if segment.position >= message.position + max(message.segments, 1):
            return
        yield segment


def outline(interchange: Interchange, message: Message, size: int) -> Iterator[Outlined]:
    """Every segment of a message with its place in the message's groups.

    By the UN directory where there is a table of the message; else by what usually begins a group.
    """
    table = grammar(message.type, message.version) if interchange.standard == "edifact" else None
    follow: Any = _ByTable(table) if table else _ByHabit(interchange.standard)
    counted: Counter[tuple[str, ...]] = Counter()
    heads: list[tuple[str, int]] = []
    for segment in segments(interchange, message, size):
        depth, head = follow.take(segment)
        del heads[depth:]
        if head:
            above = tuple(f"{tag} {number}" for tag, number in heads)
            counted[(*above, segment.tag)] += 1
            heads.append((segment.tag, counted[(*above, segment.tag)]))
        yield Outlined(segment, depth, " > ".join(f"{tag} {number}" for tag, number in heads))


class _ByTable:
    """Follows the UN directory's table; what it does not know stands where the segment before it does."""

    def __init__(self, root: Node) -> None:
        self._stack: list[tuple[Node, int]] = [(root, 0)]

    def take(self, segment: Segment) -> tuple[int, bool]:
        """(depth, whether it begins a group); the head of a group stands outside of what it opens."""
        for level in reversed(range(len(self._stack))):
            node, at = self._stack[level]
            for index in range(at, len(node.children)):
                child = node.children[index]
                if child.tag == segment.tag:
                    del self._stack[level + 1 :]
                    self._stack[level] = (node, index)
                    if child.children:
                        self._stack.append((child, 1))
                    return level, bool(child.children)
        return len(self._stack) - 1, False


class _ByHabit:
    """Follows HL levels, and the usual heads of groups."""

    def __init__(self, standard: Standard) -> None:
        self._heads = _HEADS[standard]
        self._levels: dict[str, int] = {}
        self._base = 0
        self._party = False

    def take(self, segment: Segment) -> tuple[int, bool]:
        """(depth, whether it begins a group)."""
        if segment.tag == "HL":
            depth = self._levels.get(segment.text(2), -1) + 1
            self._levels[segment.text(1)] = depth
            self._base, self._party = depth + 1, False
            return depth, True
        if segment.tag in _ENDS:
            self._base, self._party = 0, False
            return 0, False
        if segment.tag in self._heads and not self._levels:
            self._base, self._party = 1, False
            return 0, True
        if segment.tag in _PARTIES:
            self._party = True
            return self._base, True
        if segment.tag in _INNER and self._party:
            return self._base + 1, False
        self._party = False
        return self._base, False
