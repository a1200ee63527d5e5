"""The outermost layer: headers that every answer has, and an answer to what nobody foresaw."""

from __future__ import annotations

from typing import Final

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from canonical.spec import Log
from gateway.problems import response_of, trace_id, unexpected

__all__ = ["Outermost"]

_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'none'",
}
_ALWAYS: Final = [(name.lower().encode(), value.encode()) for name, value in _HEADERS.items()]
_OVER_TLS: Final = [*_ALWAYS, (b"strict-transport-security", b"max-age=31536000")]
_NAMES: Final = frozenset(name for name, _ in _OVER_TLS)
Headers = list[tuple[bytes, bytes]]


def _with(own: Headers, added: Headers) -> Headers:
    """The answer's own headers, and those that it does not name."""
    named = {name.lower() for name, _ in own}
    if named.isdisjoint(_NAMES):
        return [*own, *added]
    return [*own, *(each for each in added if each[0] not in named)]


class Outermost:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, *, log: Log) -> None:
        self._app, self._log = app, log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def send_with_headers(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                added = _OVER_TLS if scope["scheme"] == "https" else _ALWAYS
                message["headers"] = _with(message["headers"], added)
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except ClientDisconnect:
            return  # nobody is there any more
        except Exception as error:  # noqa: BLE001 - told to nobody but the log
            self._log.error(
                "request_failed",
                method=scope["method"],
                path=scope["path"],
                trace_id=trace_id(scope),
                error=repr(error),
                exc_info=error,
            )
            if not begun:
                await response_of(unexpected(), scope)(scope, receive, send_with_headers)
