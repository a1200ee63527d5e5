"""Somebody at a browser, whose page must neither complain nor ask anybody else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import Browser, ConsoleMessage, Page, Request, expect

from tests.console.site import Site

__all__ = ["Person", "person"]

PATIENCE_MS = 30_000
expect.set_options(timeout=PATIENCE_MS)


class Person:
    """A page, and what went wrong on it."""

    def __init__(self, page: Page, site: Site) -> None:
        self.page, self._site = page, site
        self.complaints: list[str] = []
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.complaints.append(f"script: {error}"))
        page.on("request", self._asked)
        page.set_default_timeout(PATIENCE_MS)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(f"{message.type}: {message.text}")

    def _asked(self, request: Request) -> None:
        if urlsplit(request.url).netloc != urlsplit(self._site.url).netloc:
            self.complaints.append(f"asked {request.url}")

    async def log_in(self, key: str) -> None:
        """As people do: paste the key, press Enter."""
        await self.page.goto(f"{self._site.url}/")
        await self.page.fill("#key", key)
        await self.page.press("#key", "Enter")
        await self.page.wait_for_url(f"{self._site.url}/")

    async def go(self, address: str) -> None:
        await self.page.goto(self._site.url + address)


@asynccontextmanager
async def person(browser: Browser, site: Site, **options: Any) -> AsyncIterator[Person]:
    """Somebody with a fresh browser; at the end nothing may have gone wrong on their pages."""
    context = await browser.new_context(**options)
    try:
        somebody = Person(await context.new_page(), site)
        yield somebody
        assert somebody.complaints == [], somebody.complaints
    finally:
        await context.close()
