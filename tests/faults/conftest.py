"""What the tests of faults may ask for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.faults.rig import Plant


@pytest.fixture
async def plant(tmp_path: Path, free_port: Callable[[], int]) -> AsyncIterator[Plant]:
    """A hub that is not configured yet; ended after the test, whatever happened."""
    built = Plant(tmp_path, free_port())
    yield built
    await built.hub.end()
