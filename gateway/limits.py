"""What a request may cost: bytes, time and place in memory, counted before anything is decoded.

Slow headers and silent sockets never reach an application; ``gateway.serving`` closes those.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.deadlines import Deadlines
from gateway.problems import Problem, response_of

__all__ = ["BODY_BYTES", "BODY_S", "EVENTS", "JSON_DEPTH", "PAGE", "Limits", "UnderWay"]

BODY_BYTES: Final = 16_000_000
BODY_S: Final = 30.0
"""Within so many seconds a request's body must be here."""
BODIES_BYTES: Final = 256_000_000
"""All bodies under way together."""
EVENTS: Final = 1000
"""Events of one batch."""
PAGE: Final = 1000
"""Entries of one page."""
JSON_DEPTH: Final = 64

_CLOSE: Final = {"Connection": "close"}


class UnderWay:
    """The bytes of all bodies that are under way."""

    size = 0


class Limits:
    """ASGI middleware: 413 for a body too large, 408 for one too slow, 415 for a packed one, 503 when
    too many bodies are under way at once."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        body_bytes: int = BODY_BYTES,
        body_s: float = BODY_S,
        bodies_bytes: int = BODIES_BYTES,
        under_way: UnderWay | None = None,
    ) -> None:
        """``under_way``: to be counted together with those of others."""
        self._app = app
        self._body_bytes, self._body_s, self._bodies_bytes = body_bytes, body_s, bodies_bytes
        self._under_way = under_way or UnderWay()
        self._deadlines = Deadlines[_Body](body_s, _Body.end)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refused = self._refused(dict(scope["headers"]))
        if refused is not None:
            await response_of(refused, scope)(scope, receive, send)
            return
        body = _Body(self, receive)
        self._deadlines.add(body)
        try:
            await self._app(scope, body.receive, send)
        finally:
            self.whole(body)
            self._under_way.size -= body.seen

    def whole(self, body: _Body) -> None:
        """It has no deadline any more."""
        self._deadlines.discard(body)

    def _refused(self, headers: Mapping[bytes, bytes]) -> Problem | None:
        """What the headers alone say."""
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > self._body_bytes:
            return self._too_large()
        if headers.get(b"content-encoding", b"identity").strip().lower() not in {b"", b"identity"}:
            detail = "packed bodies are not taken: send it without Content-Encoding"
            return Problem(415, "content_encoding", detail, headers={**_CLOSE, "Accept-Encoding": "identity"})
        return None

    def _too_large(self) -> Problem:
        return Problem(
            413, "too_large", f"a body may have {self._body_bytes:,} bytes at most", headers=_CLOSE
        )

    def took(self, size: int, seen: int) -> None:
        """Counts bytes of a body. Raises Problem."""
        self._under_way.size += size
        if seen > self._body_bytes:
            raise self._too_large()
        if self._under_way.size > self._bodies_bytes:
            raise Problem(
                503,
                "busy",
                "too many large requests at once: try again",
                retryable=True,
                headers={**_CLOSE, "Retry-After": "2"},
            )

    def too_slow(self) -> Problem:
        """For a body whose deadline has passed."""
        return Problem(
            408,
            "too_slow",
            f"the body was not here within {self._body_s:g} s",
            retryable=True,
            headers=_CLOSE,
        )


class _Body:
    """One request's body as it comes in."""

    __slots__ = ("_late", "_limits", "_receive", "_waiting", "_whole", "seen")

    def __init__(self, limits: Limits, receive: Receive) -> None:
        self._limits, self._receive = limits, receive
        self._waiting: asyncio.Task[Any] | None = None
        self._whole = self._late = False
        self.seen = 0

    def end(self) -> None:
        """It is too late: who waits for more is told."""
        self._late = True
        if self._waiting is not None:
            self._waiting.cancel()

    async def receive(self) -> Message:
        if self._whole:  # what comes now is the end of the connection, however late
            return await self._receive()
        message = await self._in_time()
        if message["type"] == "http.request":
            size = len(message.get("body", b""))
            if not message.get("more_body", False):
                self._whole = True
                self._limits.whole(self)
            self.seen += size
            self._limits.took(size, self.seen)
        return message

    async def _in_time(self) -> Message:
        """The next part. Raises Problem 408 after the deadline."""
        if self._late:
            raise self._limits.too_slow()
        self._waiting = task = asyncio.current_task()
        try:
            return await self._receive()
        except asyncio.CancelledError:
            if self._ended(task):
                raise self._limits.too_slow() from None
            raise
        finally:
            self._waiting = None

    def _ended(self, task: asyncio.Task[Any] | None) -> bool:
        """Whether it is the deadline, and nothing else, that cancelled."""
        return self._late and task is not None and task.uncancel() == 0
