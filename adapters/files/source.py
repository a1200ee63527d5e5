"""Files of a folder in: the scan is the truth, the operating system's events only make it come sooner."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from adapters.files.config import FilesConfig
from adapters.files.local import LocalFolder
from adapters.files.watch import Watch
from canonical.exchange.pickup import PickUpSource
from canonical.ports import Inbound
from canonical.spec import AdapterContext

__all__ = ["FilesSource"]


class FilesSource:
    """A source over one folder; see ``PickUpSource``."""

    def __init__(self, settings: FilesConfig, context: AdapterContext) -> None:
        self._context, self._fresh_within_s = context, settings.fresh_within
        rules = settings.pick_up
        self._watch = Watch(self._changed, context.name, context.log) if settings.watch else None
        folder = LocalFolder(
            settings.path,
            context.name,
            stall_s=settings.timeout,
            makes=(rules.error,) if rules.delete else (rules.archive, rules.error),
            watch=self._watch,
        )
        self._pickup = PickUpSource(
            folder, rules, context, where=str(settings.path), longest_pause_s=settings.max_backoff
        )

    async def open(self) -> None:
        """Starts to look; returns at once, also when the folder is not there."""
        self._context.health.fresh_within_s = self._fresh_within_s
        if self._watch is not None:
            self._watch.bind(asyncio.get_running_loop())
        await self._pickup.open()

    def receive(self) -> AsyncIterator[Inbound]:
        """Batches of files until ``close``."""
        return self._pickup.receive()

    async def close(self) -> None:
        """Moves what is acknowledged and ends; safe to call twice."""
        await self._pickup.close()

    def _changed(self) -> None:
        self._pickup.look_now()
