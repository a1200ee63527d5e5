"""The port to a folder, what lies in it, and what can go wrong there."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from typing import Literal, Protocol

from msgspec import Struct

from canonical.errors import CrossplantError, PermanentError, TransientError, Unauthorized

__all__ = ["Denied", "Entry", "Exists", "Folder", "Kind", "NotFound", "is_connection_failure", "kind_of"]

Kind = Literal["file", "link", "other"]


class Entry(Struct, frozen=True, kw_only=True):
    """One name in a folder. ``mtime_ns``: last change by the folder's own clock, in its own resolution."""

    name: str
    size_bytes: int
    mtime_ns: int
    kind: Kind = "file"

    def same_version(self, other: Entry | None) -> bool:
        """Whether nothing was written since, as far as size and time tell; the name may differ."""
        return other is not None and (self.size_bytes, self.mtime_ns) == (other.size_bytes, other.mtime_ns)


def kind_of(mode: int) -> Kind:
    """What a POSIX file mode says."""
    return "file" if stat.S_ISREG(mode) else "link" if stat.S_ISLNK(mode) else "other"


class NotFound(TransientError):
    """The folder or file is not there. A missing folder is an outage: nothing can go through it."""

    code = "not_found"

    def __init__(self, message: str) -> None:
        super().__init__(message, outage=True)


class Denied(Unauthorized):
    """We may not do this there; whoever runs the folder has to change its permissions."""

    code = "permission_denied"


class Exists(PermanentError):
    """Something has this name already, and it was not overwritten."""

    code = "exists"


class Folder(Protocol):
    """A folder that a peer or another system shares with us.

    Paths are relative to it, with ``/`` between parts, or absolute. Raises ``NotFound``, ``Denied``,
    or a TransientError with ``outage`` when the folder cannot be reached; the next call tries anew.
    Calls come one after the other.
    """

    async def entries(self) -> Sequence[Entry]:
        """What lies directly in it, in any order; makes the folders that files are moved to."""
        ...

    async def stat(self, path: str) -> Entry | None:
        """What has this name, links not followed; None when nothing has."""
        ...

    async def read(self, path: str, limit_bytes: int) -> bytes:
        """The content, cut after ``limit_bytes`` + 1 bytes; links are not followed."""
        ...

    async def write(self, path: str, content: bytes) -> None:
        """Writes the whole content under this name, replacing what had it; durable as far as one can ask."""
        ...

    async def move(self, path: str, to: str, *, replace: bool = False) -> None:
        """Renames at once, not by copying. Raises Exists when ``to`` is taken and not to be replaced."""
        ...

    async def remove(self, path: str) -> None:
        """Removes a file; nothing when it is gone already."""
        ...

    async def close(self) -> None:
        """Ends what is open; within a deadline, also when nothing answers. Safe to call twice."""
        ...


def is_connection_failure(error: CrossplantError) -> bool:
    """Whether the folder as a whole could not be reached, so that it is unknown what happened there."""
    return isinstance(error, TransientError) and error.outage and not isinstance(error, NotFound)
