"""From the task that asks to the taker: one batch at a time, so that the taker sets the pace."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from canonical.ports import Inbound

__all__ = ["Handoff"]


class Handoff:
    """Holds one batch. For one giver and one taker."""

    def __init__(self) -> None:
        self._batch: Inbound | None = None
        self._ended = False
        self._changed = asyncio.Condition()

    async def give(self, batch: Inbound) -> None:
        """Returns once the batch before it was taken."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._batch is None)
            self._batch = batch
            self._changed.notify_all()

    async def end(self) -> None:
        """Nothing comes any more; what was not taken is gone."""
        async with self._changed:
            self._batch, self._ended = None, True
            self._changed.notify_all()

    async def take(self) -> AsyncIterator[Inbound]:
        """All batches until the end."""
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: self._batch is not None or self._ended)
                batch, self._batch = self._batch, None
                self._changed.notify_all()
            if batch is None:
                return
            yield batch
