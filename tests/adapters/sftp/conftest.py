"""What the SFTP tests share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.adapters.sftp.peer import Peer, peer
from tests.canonical.exchange.shelf import TellingHub


@pytest.fixture
def hub(tmp_path: Path) -> TellingHub:
    """A hub without a past, whose log can be read."""
    return TellingHub(tmp_path / "hub")


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Peer]:
    """An SFTP server in this process."""
    folder = tmp_path / "served"
    folder.mkdir()
    async with peer(folder) as running:
        yield running
