"""One poll: from where the last one ended, page by page, to what is newest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from datetime import datetime

import aiohttp
from msgspec import Struct
from yarl import URL

from adapters.rest.client import address
from adapters.rest.config import PollConfig, RestConfig
from adapters.rest.fetch import fetch
from adapters.rest.pages import Element, Page, next_page, read_page
from adapters.rest.progress import Progress
from canonical.errors import Invalid

__all__ = ["Step", "resource", "walk"]

_OFF_LOOP_BYTES = 262_144  # a larger page is read in a thread


class Step(Struct, frozen=True, kw_only=True):
    """What one page brought, and how far it leads."""

    elements: Sequence[Element]
    content_type: str
    path: str
    faults: Sequence[str]
    progress: Progress


def resource(settings: RestConfig) -> URL:
    """What is polled, without the cursor."""
    assert settings.poll is not None
    return URL(address(settings.url or "", settings.poll.path)).update_query(settings.poll.query)


async def walk(
    session: aiohttp.ClientSession,
    settings: RestConfig,
    progress: Progress,
    clock: Callable[[], datetime],
) -> AsyncGenerator[Step]:
    """Steps from ``progress`` on, at most ``max_pages``; none when nothing changed.

    Raises what ``fetch`` and ``read_page`` raise, and Invalid for pages that go round in circles.
    """
    poll = settings.poll
    assert poll is not None
    url = _start(settings, poll, progress)
    alone = progress.next is None  # a single page, so far: only then it tells whether anything changed
    seen: set[URL] = set()
    for _ in range(poll.max_pages):
        conditions = progress.conditions(str(url)) if alone else {}
        fetched = await fetch(session, settings, url, conditions, now=clock())
        if fetched is None or (alone and progress.unchanged(str(url), fetched.body)):
            return
        page = await _page(poll, fetched.body)
        following = _following(url, page.next or fetched.next, seen)
        alone = alone and following is None
        progress = progress.passed(page.cursor, str(following) if following else None)
        progress = progress.validated(str(url), fetched) if alone else progress.unvalidated()
        yield Step(
            elements=page.elements,
            content_type="application/json" if poll.items is not None else fetched.content_type,
            path=url.path,
            faults=page.faults,
            progress=progress,
        )
        if following is None:
            return
        url = following


def _start(settings: RestConfig, poll: PollConfig, progress: Progress) -> URL:
    url = resource(settings)
    if progress.next:
        return next_page(url, progress.next)
    value = (progress.cursor or poll.cursor.initial) if poll.cursor else None
    return url.update_query({poll.cursor.query: value}) if poll.cursor and value else url


def _following(url: URL, link: str | None, seen: set[URL]) -> URL | None:
    seen.add(url)
    following = next_page(url, link) if link else None
    if following in seen:
        raise Invalid(f"the pages go round in circles at {following.path_qs[:200]!r}", code="next")
    return following


async def _page(poll: PollConfig, body: bytes) -> Page:
    if len(body) > _OFF_LOOP_BYTES:
        return await asyncio.to_thread(read_page, poll, body)
    return read_page(poll, body)
