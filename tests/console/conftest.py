"""A site with its console, and browsers."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, async_playwright

from tests.console.site import Site, site_of
from tests.gateway.hubs import Gate, opened
from tests.servers.required import program, requires_server


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """A hub with its console on loopback."""
    async with site_of(tmp_path / "data") as running:
        yield running


@pytest.fixture
async def chromium() -> AsyncIterator[Browser]:
    """Debian's chromium, without a window."""
    requires_server("chromium")
    root = ["--no-sandbox"] if os.geteuid() == 0 else []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program("chromium"), args=root)
        yield browser
        await browser.close()


@pytest.fixture
async def gate(tmp_path: Path) -> AsyncIterator[Gate]:
    """A hub with its API in process."""
    async with opened(tmp_path / "data") as running:
        yield running
