"""Journals as earlier versions wrote them, as SQL text; ``load`` makes a data folder of one."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

__all__ = ["RECORDED", "WINDOW_S", "dump", "load"]

_FOLDER = Path(__file__).parent
RECORDED = sorted(int(path.stem.removeprefix("v")) for path in _FOLDER.glob("v*.sql"))
"""The schema versions of which there is a journal."""
WINDOW_S = 40 * 365 * 86400.0
"""The window of identities that they were written with, so that what they know is known until 2049."""


def dump(folder: Path) -> str:
    """The journal of a data folder that no hub uses."""
    with closing(sqlite3.connect(folder / "journal.db")) as connection:
        return "\n".join([*connection.iterdump(), ""])


def load(version: int, folder: Path) -> None:
    """Puts the journal that ``version`` wrote into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(folder / "journal.db")) as connection:
        connection.executescript((_FOLDER / f"v{version}.sql").read_text())
