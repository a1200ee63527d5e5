"""What a route has taken and not settled: the cursor may go up to the oldest of it, and no further.

Events are taken by the run. A run whose events all go well is settled as a whole; only when one of them
does not are its events counted one by one.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence

from canonical.event import Event
from canonical.ports import Recorded

__all__ = ["Part", "Window"]


class Part:
    """Events that were taken together, in order, one at least."""

    __slots__ = ("_left", "_recorded", "_window")

    def __init__(self, window: Window, recorded: Sequence[Recorded]) -> None:
        self._window, self._recorded = window, recorded
        self._left: OrderedDict[int, Event] | None = None

    def settle(self) -> None:
        """All of it is done."""
        self._window.open -= len(self)
        self._recorded, self._left = (), None
        self._window.advance()

    def settle_one(self, position: int) -> None:
        """One event is done; again, nothing happens."""
        if self._left is None:
            self._left = OrderedDict((item.position, item.event) for item in self._recorded)
            self._recorded = ()
        if self._left.pop(position, None) is not None:
            self._window.open -= 1
            if not self._left:
                self._window.advance()

    def __len__(self) -> int:
        return len(self._recorded) if self._left is None else len(self._left)

    def __iter__(self) -> Iterator[tuple[int, Event]]:
        """Positions and events of what is open, oldest first."""
        if self._left is None:
            return iter([(item.position, item.event) for item in self._recorded])
        return iter(list(self._left.items()))

    @property
    def oldest(self) -> tuple[int, Event]:
        """The first of it. Raises StopIteration when nothing is open."""
        if self._left is None:
            return self._recorded[0].position, self._recorded[0].event
        return next(iter(self._left.items()))


class Window:
    """The parts that are open, oldest first. ``open`` counts events."""

    def __init__(self) -> None:
        self._parts: deque[Part] = deque()
        self.open = 0

    def take(self, recorded: Sequence[Recorded]) -> Part:
        """Opens a part; it comes after all earlier ones."""
        part = Part(self, recorded)
        self._parts.append(part)
        self.open += len(recorded)
        return part

    def advance(self) -> None:
        """Forgets what is done at the front."""
        while self._parts and not self._parts[0]:
            self._parts.popleft()

    @property
    def oldest(self) -> tuple[int, Event] | None:
        """Position and event of the oldest that is open."""
        return self._parts[0].oldest if self._parts else None

    def events(self) -> Iterator[Event]:
        """What is open, oldest first."""
        for part in list(self._parts):
            for _, event in part:
                yield event
