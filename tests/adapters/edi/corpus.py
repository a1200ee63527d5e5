"""Where the corpus of public interchanges is. It is not part of the repository."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest

__all__ = ["directories", "manifest", "require"]

_ROOT = Path(__file__).resolve().parents[3]
_CORPORA = Path(os.environ.get("CROSSPLANT_CORPORA", _ROOT.parent / "shared" / "corpora"))


def require(folder: str) -> Path:
    """The folder of a corpus; where it is missing the test is reported as *not run*, with the reason."""
    found = _CORPORA / folder
    if not found.is_dir():
        pytest.skip(
            f"not run: the corpus {folder} is not there (CROSSPLANT_CORPORA names the folder around it)"
        )
    return found


def manifest() -> list[dict[str, str]]:
    """The rows of the corpus's manifest; none where it is missing."""
    path = _CORPORA / "edi" / "MANIFEST.tsv"
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines, delimiter="\t"))


def directories() -> list[Path]:
    """The archives of the UN directories; none where they are missing."""
    return sorted((_CORPORA / "untdid").glob("*.zip"))
