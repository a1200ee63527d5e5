"""Every folder of testcases: what is read, and what is told of what cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.adapters.tabular.golden import decoded, expected, folders

CASES = folders(Path(__file__).parent)


@pytest.mark.parametrize("folder", CASES, ids=lambda folder: folder.name)
def test_the_input_is_read_as_expected(folder: Path) -> None:
    assert decoded(folder) == expected(folder)


def test_there_are_cases() -> None:
    assert len(CASES) >= 10
