"""The short way of ``POST /v1/events``: past the web framework, whose layers cost more than the taking in.

The same handler, checks and answers as through FastAPI, which keeps the operation for its description and
everything else for its routes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import FastAPI
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.api.publish import PATH, published
from gateway.auth import PUBLISH, require
from gateway.problems import problem_of, response_of

__all__ = ["Direct", "Gateway"]

_permitted = require(PUBLISH)


class Direct:
    """ASGI application: the answer to a request to publish."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        try:
            principal = await _permitted(request)
            answer = await published(request, _body_of(receive), principal)
        except Exception as error:  # noqa: BLE001 - what is no problem is raised again
            answer = response_of(problem_of(error), scope)
        await answer(scope, receive, send)


def _body_of(receive: Receive) -> Callable[[], Awaitable[bytes]]:
    async def body() -> bytes:
        """The whole of it. Raises ClientDisconnect."""
        parts: list[bytes] = []
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            parts.append(message.get("body", b""))
            if not message.get("more_body", False):
                return parts[0] if len(parts) == 1 else b"".join(parts)

    return body


class Gateway(FastAPI):
    """The application, with ``direct`` (and what is to stand around it) in front of its routes."""

    direct: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == PATH and scope["method"] == "POST":
            scope["app"] = self
            await self.direct(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)
