"""How far a polling source has come: what it keeps with its messages, and finds after a restart; pure."""

from __future__ import annotations

from typing import Self

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from adapters.rest.fetch import Fetched
from adapters.rest.pages import digest
from canonical.spec import AdapterContext

__all__ = ["Progress", "restored", "stored"]


class Progress(Struct, frozen=True, omit_defaults=True):
    """``cursor`` is where the last complete walk over all pages ended. During a walk ``next`` is the
    page to go on with and ``reached`` the cursor so far: asking with it now would shift the pages.

    ``url``, ``etag``, ``last_modified`` and ``digest`` are of the last answer, if it was the only page.
    """

    cursor: str | None = None
    next: str | None = None
    reached: str | None = None
    url: str = ""
    etag: str = ""
    last_modified: str = ""
    digest: str = ""

    def passed(self, cursor: str | None, following: str | None) -> Self:
        """After a page that gave ``cursor``, with ``following`` as the next one."""
        reached = cursor or self.reached
        if following is not None:
            return replace(self, next=following, reached=reached)
        return replace(self, cursor=reached or self.cursor, next=None, reached=None)

    def restarted(self) -> Self:
        """As before the walk that is under way."""
        return replace(self, next=None, reached=None)

    def validated(self, url: str, fetched: Fetched) -> Self:
        """With what tells whether the answer changes."""
        return replace(
            self,
            url=url,
            etag=fetched.etag,
            last_modified=fetched.last_modified,
            digest=digest(fetched.body),
        )

    def unvalidated(self) -> Self:
        """Without it: of several pages any could change."""
        return replace(self, url="", etag="", last_modified="", digest="")

    def conditions(self, url: str) -> dict[str, str]:
        """The headers that ask for the page only if it changed (RFC 9110 13.1)."""
        if url != self.url:
            return {}
        headers = {"If-None-Match": self.etag, "If-Modified-Since": self.last_modified}
        return {name: value for name, value in headers.items() if value}

    def unchanged(self, url: str, body: bytes) -> bool:
        """Whether ``body`` is what the same request gave last time."""
        return url == self.url and digest(body) == self.digest


def stored(progress: Progress) -> bytes:
    """As kept with the messages."""
    return msgspec.json.encode(progress)


def restored(context: AdapterContext) -> Progress:
    """What was kept; a fresh start, with a warning, when it cannot be read: messages keep their ids."""
    if context.state is None:
        return Progress()
    try:
        return msgspec.json.decode(context.state, type=Progress)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        context.log.warning("poll_state_unreadable", adapter=context.name, detail=str(error)[:200])
        return Progress()
