"""The hub as the simulator sees it: its HTTP API, with the key that it was given."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import aiohttp
from yarl import URL

from simulator.moments import rfc3339

__all__ = ["Hub", "HubError"]

_REQUEST_S: Final = 10.0
_PAGE: Final = 500
_PAGES: Final = 10_000


class HubError(Exception):
    """The hub did not answer as its API says; the message says what happened where."""


class Hub:
    """Reads events, dead letters and lanes, page by page."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url.rstrip("/")
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=_REQUEST_S), headers={"Authorization": f"Bearer {key}"}
        )

    async def close(self) -> None:
        """Ends its connections."""
        await self._session.close()

    async def events(self, since: datetime, after: int) -> AsyncIterator[Sequence[Mapping[str, Any]]]:
        """The events recorded since then at positions behind ``after``, in pages. Raises HubError."""
        query = {"since": rfc3339(since), "limit": str(_PAGE), "cursor": str(after)}
        async for page in self._pages("/v1/events", query):
            yield page

    async def exceptions(self) -> str:
        """Everything that the hub says about dead letters and lanes, as one text. Raises HubError."""
        found = []
        for path in ("/v1/dead-letters", "/v1/lanes"):
            async for page in self._pages(path, {"limit": str(_PAGE)}):
                found += [str(entry) for entry in page]
        return "\n".join(found)

    async def _pages(self, path: str, query: Mapping[str, str]) -> AsyncIterator[Sequence[Mapping[str, Any]]]:
        """Pages as their ``Link`` header with rel=next joins them."""
        url: URL | None = URL(self.url + path).with_query(query)
        for _ in range(_PAGES):
            if url is None:
                return
            url, page = await self._page(url)
            yield page
        raise HubError(f"{path} has no end: {_PAGES} pages")

    async def _page(self, url: URL) -> tuple[URL | None, Sequence[Mapping[str, Any]]]:
        try:
            async with self._session.get(url) as response:
                if response.status != 200:
                    raise HubError(f"{url.path} answered {response.status}: {(await response.text())[:200]}")
                body = await response.json(content_type=None)
                link = response.links.get("next")
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise HubError(f"{url.path}: {type(error).__name__} {error}") from error
        page = body.get("items") if isinstance(body, dict) else body
        if not isinstance(page, list) or not all(isinstance(entry, dict) for entry in page):
            raise HubError(f"{url.path} gave no list of items")
        return (URL(str(link["url"])) if link else None), page
