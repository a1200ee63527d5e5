"""Who gets an event, without asking everybody: routes that select by a text are found by that text.

Two hundred routes, each for one line of a plant, are one look-up and not two hundred conditions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

from canonical.ports import Recorded
from canonical.selection import Selection
from canonical.shortcut import Shortcut

__all__ = ["Audience"]

T = TypeVar("T")
_FEW = 2
"""Fewer routes that read one path evaluate their conditions for themselves."""


class Audience(Generic[T]):
    """Who may want events of one type and plant."""

    def __init__(self, members: Sequence[tuple[T, Selection | None]]) -> None:
        """``members`` with what they select by; those without a selection get every event."""
        by_path: dict[str, list[tuple[T, Selection]]] = {}
        for member, selection in members:
            if selection is not None:
                by_path.setdefault(selection.path, []).append((member, selection))
        chosen = {path: those for path, those in by_path.items() if len(those) >= _FEW}
        self._choices = [_Choice(those) for those in chosen.values()]
        self._always = [
            one for one, selection in members if selection is None or selection.path not in chosen
        ]

    def hand_out(self, recorded: Sequence[Recorded], wanted: dict[T, list[Recorded]]) -> None:
        """Adds the events to the lists of those who may want them, in order."""
        for member in self._always:
            wanted.setdefault(member, []).extend(recorded)
        for choice in self._choices:
            choice.hand_out(recorded, wanted)


class _Choice(Generic[T]):
    """Members that select by the text at one path."""

    def __init__(self, members: Sequence[tuple[T, Selection]]) -> None:
        self._read: Shortcut = members[0][1].read
        self._by_text: dict[str, list[T]] = {}
        for member, selection in members:
            for text in selection.texts:
                self._by_text.setdefault(text, []).append(member)
        self._all = [member for member, _ in members]

    def hand_out(self, recorded: Sequence[Recorded], wanted: dict[T, list[Recorded]]) -> None:
        """An event without a text there goes to all: what their conditions say of it is theirs."""
        read, by_text = self._read, self._by_text
        for item in recorded:
            text = read({"event": item.event, "data": item.event.data})
            for member in by_text.get(text, ()) if type(text) is str else self._all:
                wanted.setdefault(member, []).append(item)
