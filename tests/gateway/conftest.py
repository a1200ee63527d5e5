"""Hubs for the tests of the gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.gateway.hubs import Gate, Served, opened, served


@pytest.fixture
async def gate(tmp_path: Path) -> AsyncIterator[Gate]:
    """A hub with its API in process."""
    async with opened(tmp_path / "data") as running:
        yield running


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[Served]:
    """A hub with its API on loopback."""
    async with served(tmp_path / "data") as running:
        yield running
