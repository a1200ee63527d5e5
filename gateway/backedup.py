"""That somebody made a backup of a data folder, as its audit keeps it, whether its hub runs or not."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path

from msgspec import Struct, structs

from canonical.ports import Store
from deadletter.service import Audit
from gateway import atrest

__all__ = ["BackedUp", "Noted", "note", "noting", "of_file"]


_ACT = "backup.make"


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


def note(data_dir: Path, made: BackedUp, by: str) -> None:
    """Writes ``backup.make`` into the audit of a folder that no hub holds. Raises CrossplantError."""
    atrest.note(data_dir, by, _ACT, _subject(made), structs.asdict(made))


def noting(store: Store, audit: Audit) -> Noted:
    """Writes ``backup.make`` into this audit."""

    async def noted(made: BackedUp, by: str) -> None:
        details = structs.asdict(made)
        await store.write(lambda t: audit(t, by, _ACT, _subject(made), details))

    return noted


def _subject(made: BackedUp) -> str:
    return f"backup/{made.file}"
