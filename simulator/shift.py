"""The working time of the company: producers ask it whether to go on."""

from __future__ import annotations

import asyncio

__all__ = ["Shift"]


class Shift:
    """Begins once, ends once. A producer works while ``pause`` says so."""

    def __init__(self) -> None:
        self._begun = asyncio.Event()
        self._ended = asyncio.Event()

    @property
    def running(self) -> bool:
        """Whether the company produces now."""
        return self._begun.is_set() and not self._ended.is_set()

    def begin(self) -> None:
        """Producers start; a second call, or one after the end, changes nothing."""
        self._begun.set()

    def end(self) -> None:
        """Producers stop at their next step, and those that never began end too."""
        self._ended.set()
        self._begun.set()

    async def started(self) -> bool:
        """Waits for the beginning; False when the shift ended before it began."""
        await self._begun.wait()
        return not self._ended.is_set()

    async def pause(self, seconds: float) -> bool:
        """Waits, at most until the end; True when work goes on afterwards."""
        try:
            async with asyncio.timeout(max(seconds, 0.0)):
                await self._ended.wait()
        except TimeoutError:
            return True
        return False
