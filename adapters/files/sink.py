"""Files of a folder out."""

from __future__ import annotations

from adapters.files.config import FilesConfig
from adapters.files.local import LocalFolder
from canonical.exchange.delivery import FolderSink
from canonical.spec import AdapterContext

__all__ = ["files_sink"]


def files_sink(settings: FilesConfig, context: AdapterContext) -> FolderSink:
    """A sink into one folder; see ``FolderSink``."""
    folder = LocalFolder(settings.path, context.name, stall_s=settings.timeout)
    return FolderSink(folder, context, where=str(settings.path))
