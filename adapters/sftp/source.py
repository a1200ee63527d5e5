"""Files of an SFTP server in."""

from __future__ import annotations

from collections.abc import AsyncIterator

from adapters.sftp.config import MTIME_RESOLUTION_S, SftpConfig
from adapters.sftp.remote import RemoteFolder
from canonical.exchange.pickup import PickUpSource
from canonical.ports import Inbound
from canonical.spec import AdapterContext

__all__ = ["SftpSource"]


class SftpSource:
    """A source over one folder; see ``PickUpSource``."""

    def __init__(self, settings: SftpConfig, context: AdapterContext) -> None:
        rules = settings.pick_up
        makes = (rules.error,) if rules.delete else (rules.archive, rules.error)
        self._context, self._fresh_within_s = context, settings.fresh_within
        self._folder = RemoteFolder(settings, context.name, makes)
        self._pickup = PickUpSource(
            self._folder,
            rules,
            context,
            where=settings.url.rstrip("/"),
            least_age_s=MTIME_RESOLUTION_S,
            longest_pause_s=settings.max_backoff,
        )

    async def open(self) -> None:
        """Starts to look; returns at once, also when the server is away. Raises ConfigError for a bad key."""
        await self._folder.prepare()
        self._context.health.fresh_within_s = self._fresh_within_s
        await self._pickup.open()

    def receive(self) -> AsyncIterator[Inbound]:
        """Batches of files until ``close``."""
        return self._pickup.receive()

    async def close(self) -> None:
        """Moves what is acknowledged, if that goes quickly, and leaves; safe to call twice."""
        await self._pickup.close()
