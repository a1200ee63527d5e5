"""The places of the company on disk, for one run: mailboxes of partners, folders and shares of plants."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

__all__ = ["Premises"]

_BRNO: Final = "brno-mes"


class Premises:
    """Everything that files are exchanged in, below one temporary folder, from ``open`` to ``close``."""

    def __init__(self, partners: Sequence[str], within: Path | None = None) -> None:
        """``within``: a folder to be in, which must be there; else that of the system for temporary files."""
        self._within = within
        self._root = (within or Path(tempfile.gettempdir())) / f"crossplant-company-{secrets.token_hex(8)}"
        self.mailboxes = {name: self._root / "partners" / name for name in partners}
        self.brno, self.coventry = self._root / _BRNO, self._root / "coventry"

    @property
    def accounts(self) -> dict[str, Path]:
        """SFTP user → what it sees."""
        return {**self.mailboxes, _BRNO: self.brno}

    def open(self) -> None:
        """Makes the folders, for nobody else to look into."""
        self._root.mkdir(mode=0o700)
        mailboxes = [box / name for box in self.mailboxes.values() for name in ("in", "out")]
        files = [self.brno / "orders", self.brno / "stock", self.coventry / "lab", self.coventry / "mes"]
        for folder in (*mailboxes, *files):
            folder.mkdir(parents=True)

    def close(self) -> None:
        """Removes everything, and the folder that it was in if that is empty then."""
        shutil.rmtree(self._root, ignore_errors=True)
        if self._within is not None:
            with suppress(OSError):
                self._within.rmdir()
