"""Broken deployments: a folder each, with the lines that ``crossplant check`` must say."""

from __future__ import annotations

import difflib
from pathlib import Path

import pytest

from config.load import check

FOLDERS = sorted(folder for folder in (Path(__file__).parent / "broken").iterdir() if folder.is_dir())


@pytest.mark.parametrize("folder", FOLDERS, ids=[folder.name for folder in FOLDERS])
def test_a_broken_deployment_is_told_line_by_line(folder: Path) -> None:
    file = folder / "deployment.yaml"
    found = [str(finding).replace(f"{folder}/", "") for finding in check(file if file.exists() else folder)]
    expected = (folder / "expected").read_text(encoding="utf-8").splitlines()
    difference = difflib.unified_diff(expected, found, "expected", "found", lineterm="")
    assert found == expected, "\n".join(difference)
