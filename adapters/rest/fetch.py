"""One page over HTTP: bounded, unpacked, redirected only within its own origin."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import aiohttp
from msgspec import Struct
from yarl import URL

from adapters.rest.body import excerpt, read, read_some
from adapters.rest.client import redacted, secrets
from adapters.rest.config import RestConfig
from adapters.rest.outcome import judge
from canonical.errors import Rejected
from canonical.ports import Failed

__all__ = ["Fetched", "fetch"]

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 5
_REASON_BYTES = 4096


class Fetched(Struct, frozen=True, kw_only=True):
    """A page as the server sent it; ``next`` is what its Link header names as rel=next."""

    body: bytes
    content_type: str
    next: str | None
    etag: str
    last_modified: str


async def fetch(
    session: aiohttp.ClientSession,
    settings: RestConfig,
    url: URL,
    conditions: Mapping[str, str],
    *,
    now: datetime,
) -> Fetched | None:
    """The page at ``url``; None when the server says that it did not change.

    Raises the error of ``outcome.judge`` for other answers, Rejected for a redirect to another
    origin, Invalid for a body beyond its bounds, and what aiohttp raises when there is no answer.
    """
    for _ in range(_MOST_REDIRECTS):
        found = await _ask(session, settings, url, conditions, now)
        if not isinstance(found, URL):
            return found
        if found.origin() != url.origin():
            raise Rejected(f"redirects to {found.origin()}; other hosts are not followed: correct the url")
        url = found
    raise Rejected(f"redirects more than {_MOST_REDIRECTS} times")


async def _ask(
    session: aiohttp.ClientSession,
    settings: RestConfig,
    url: URL,
    conditions: Mapping[str, str],
    now: datetime,
) -> Fetched | URL | None:
    poll = settings.poll
    assert poll is not None
    async with session.request(
        poll.method,
        url,
        headers={"Accept-Encoding": "gzip", **conditions},
        json=poll.body,
        allow_redirects=False,
    ) as response:
        if response.status == 304 and conditions:
            return None
        if response.status in _REDIRECTS and "Location" in response.headers:
            return _location(url, response.headers["Location"])
        if not 200 <= response.status < 300:
            reason = redacted(await read_some(response, _REASON_BYTES), secrets(settings))
            outcome = judge(response.status, response.headers, reason, now=now)
            assert isinstance(outcome, Failed)
            raise outcome.error
        return Fetched(
            body=await read(response, poll.max_body),
            content_type=response.headers.get("Content-Type", ""),
            next=_next(response),
            etag=response.headers.get("ETag", ""),
            last_modified=response.headers.get("Last-Modified", ""),
        )


def _location(url: URL, text: str) -> URL:
    try:
        return url.join(URL(text))
    except ValueError as error:
        raise Rejected(f"redirects to what is no URL: {excerpt(text.encode())}") from error


def _next(response: aiohttp.ClientResponse) -> str | None:
    """The target of a Link header's rel=next (RFC 8288)."""
    try:
        link = response.links.get("next")
    except ValueError as error:
        raise Rejected(f"the Link header cannot be read: {error}") from error
    return str(link["url"]) if link and "url" in link else None
