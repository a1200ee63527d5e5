"""That somebody made a backup of a running hub, as its audit keeps it."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path

from msgspec import Struct, structs

from canonical.ports import Store
from deadletter.service import Audit

__all__ = ["BackedUp", "Noted", "noting", "of_file"]


class BackedUp(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A backup: its file and the hash of that. ``head``: the newest position in it."""

    file: str
    sha256: str
    size_bytes: int
    head: int


Noted = Callable[[BackedUp, str], Awaitable[None]]
"""(backup, by): writes it into the audit."""


def of_file(file: Path, head: int) -> BackedUp:
    """What the audit keeps of a backup that was made."""
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return BackedUp(file=file.name, sha256=digest, size_bytes=file.stat().st_size, head=head)


def noting(store: Store, audit: Audit) -> Noted:
    """Writes ``backup.make`` into this audit."""

    async def noted(made: BackedUp, by: str) -> None:
        details = structs.asdict(made)
        await store.write(lambda t: audit(t, by, "backup.make", f"backup/{made.file}", details))

    return noted
