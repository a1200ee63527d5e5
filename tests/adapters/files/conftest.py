"""What the tests of folders share."""

from __future__ import annotations

from pathlib import Path

import pytest
from watchdog.observers.inotify_c import InotifyFD

from tests.canonical.exchange.shelf import TellingHub


@pytest.fixture
def hub(tmp_path: Path) -> TellingHub:
    """A hub without a past, whose log can be read."""
    return TellingHub(tmp_path / "hub")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder that is picked up from, or delivered to."""
    folder = tmp_path / "exchange"
    folder.mkdir()
    return folder


@pytest.fixture(autouse=True)
def reading() -> None:
    """watchdog has one thread per process that reads the kernel's events and stays: it is not ours."""
    InotifyFD.get_instance()
