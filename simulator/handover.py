"""A folder to hand files over in: complete when they appear, safe when somebody has taken them away."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Final

from simulator.ledger import Fact, Ledger
from simulator.shift import Shift

__all__ = ["Handover"]

_LOOK_S: Final = 0.25
_SETTLE_S: Final = 15.0


class Handover:
    """Files are written as ``NAME.part`` and renamed. Whoever takes one moves it into another folder."""

    def __init__(self, folder: Path, ledger: Ledger) -> None:
        self._folder, self._ledger = folder, ledger
        self._waiting: dict[str, tuple[Fact, ...]] = {}
        self._fetched = False

    @property
    def waiting(self) -> int:
        """How many files lie there still."""
        return len(self._waiting)

    def put(self, name: str, content: bytes, *facts: Fact) -> None:
        """Hands over a file that tells these facts."""
        for fact in facts:
            self._ledger.record_sent(fact)
        part = self._folder / f"{name}.part"
        part.write_bytes(content)
        part.rename(self._folder / name)
        self._waiting[name] = facts

    def look(self) -> None:
        """Books what was taken since."""
        for name in [one for one in self._waiting if not (self._folder / one).exists()]:
            self._fetched = True
            for fact in self._waiting.pop(name):
                self._ledger.record_safe(fact)

    async def watch(self, shift: Shift) -> None:
        """Looks until the shift has ended and everything is taken, within a bound.

        Where nobody has ever taken anything nobody is waited for.
        """
        while await shift.pause(_LOOK_S):
            self.look()
        deadline = time.monotonic() + _SETTLE_S
        self.look()
        while self._waiting and self._fetched and time.monotonic() < deadline:
            await asyncio.sleep(_LOOK_S)
            self.look()
