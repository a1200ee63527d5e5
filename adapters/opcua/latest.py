"""When each item's last value was so, put together only when somebody asks."""

from __future__ import annotations

from typing import Final

__all__ = ["Latest"]

_MOST: Final = 32


class Latest:
    """Source times by handle, 100 ns since 1601. A message about the same items takes the place of the one
    before, so that what is asked for once in a while costs next to nothing per value."""

    def __init__(self) -> None:
        self._ticks: dict[int, int] = {}
        self._messages: list[tuple[list[int], list[int]]] = []

    def add(self, handles: list[int], ticks: list[int]) -> None:
        """Takes a message in, whose lists stay as they are."""
        if self._messages and self._messages[-1][0] == handles:
            self._messages.pop()
        self._messages.append((handles, ticks))
        if len(self._messages) > _MOST:
            self.ticks()

    def ticks(self) -> dict[int, int]:
        """The last of each handle; a copy."""
        for handles, ticks in self._messages:
            self._ticks.update(zip(handles, ticks, strict=True))
        self._messages.clear()
        return dict(self._ticks)
