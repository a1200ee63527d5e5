"""What tests of both sides ask for."""

from __future__ import annotations

import pytest


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Failed polls are tried again at once."""
    monkeypatch.setattr("adapters.rest.poll._FIRST_RETRY_S", 0.02)
