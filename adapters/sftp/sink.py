"""Files of an SFTP server out."""

from __future__ import annotations

from collections.abc import Sequence

from adapters.sftp.config import SftpConfig
from adapters.sftp.remote import RemoteFolder
from canonical.exchange.delivery import FolderSink
from canonical.ports import Accepted, Delivery, Failed, SinkOutcome
from canonical.spec import AdapterContext

__all__ = ["SftpSink"]


class SftpSink:
    """A sink into one folder; see ``FolderSink``."""

    def __init__(self, settings: SftpConfig, context: AdapterContext) -> None:
        self._folder = RemoteFolder(settings, context.name)
        self._sink = FolderSink(self._folder, context, where=settings.url.rstrip("/"))

    async def open(self) -> None:
        """Connects with the first delivery. Raises ConfigError for a key that cannot be used."""
        await self._folder.prepare()
        await self._sink.open()

    async def send(self, deliveries: Sequence[Delivery]) -> Sequence[SinkOutcome]:
        """One outcome per delivery, in order."""
        return await self._sink.send(deliveries)

    async def lookup(self, delivery: Delivery) -> Accepted | Failed | None:
        """Whether an earlier attempt arrived."""
        return await self._sink.lookup(delivery)

    async def close(self) -> None:
        """Ends the connection; safe to call twice."""
        await self._sink.close()
