"""What a request may cost: bytes, time and place in memory, counted before anything is decoded.

Slow headers and silent sockets never reach an application; ``gateway.serving`` closes those.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

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

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refused = self._refused(dict(scope["headers"]))
        if refused is not None:
            await response_of(refused, scope)(scope, receive, send)
            return
        body = _Body(self, receive)
        try:
            await self._app(scope, body.receive, send)
        finally:
            self._under_way.size -= body.seen

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

    async def in_time(self, receive: Receive, deadline: float) -> Message:
        """The next part of a body. Raises Problem 408 after the deadline."""
        try:
            async with asyncio.timeout_at(deadline):
                return await receive()
        except TimeoutError:
            raise Problem(
                408,
                "too_slow",
                f"the body was not here within {self._body_s:g} s",
                retryable=True,
                headers=_CLOSE,
            ) from None

    @property
    def body_s(self) -> float:
        """Seconds that a body may take."""
        return self._body_s


class _Body:
    """One request's body as it comes in."""

    __slots__ = ("_deadline", "_limits", "_receive", "_whole", "seen")

    def __init__(self, limits: Limits, receive: Receive) -> None:
        self._limits, self._receive = limits, receive
        self._deadline = asyncio.get_running_loop().time() + limits.body_s
        self._whole = False
        self.seen = 0

    async def receive(self) -> Message:
        if self._whole:  # what comes now is the end of the connection, however late
            return await self._receive()
        message = await self._limits.in_time(self._receive, self._deadline)
        if message["type"] == "http.request":
            self._whole = not message.get("more_body", False)
            size = len(message.get("body", b""))
            self.seen += size
            self._limits.took(size, self.seen)
        return message
