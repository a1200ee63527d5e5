"""The API's own pages: its OpenAPI document, and a listing of it that loads nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Request
from starlette.responses import HTMLResponse, Response

from gateway import openapi
from gateway.auth import Principal, authenticated, principal_of, session_of
from gateway.console.assets import address
from gateway.console.guard import to_login
from gateway.console.pages import HEADERS

__all__ = ["api"]

api = APIRouter(include_in_schema=False)

_HEAD = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
)


async def _somebody(request: Request) -> Principal:
    """By a key, or a browser by its session. Raises Problem 401, 429."""
    session = None if "authorization" in request.headers else session_of(request)
    return await authenticated(request) if session is None else principal_of(session.key)


Anybody = Annotated[Principal, Depends(_somebody)]


@api.get("/openapi.json")
async def described(request: Request, principal: Anybody) -> Response:
    """The OpenAPI document."""
    return Response(_document(request)[0], media_type="application/json")


@api.get("/docs")
async def docs(request: Request) -> Response:
    """The same for people; a browser without a session is sent to the login."""
    if "authorization" not in request.headers and session_of(request) is None and _browser(request):
        return to_login(request)
    await _somebody(request)
    return HTMLResponse(_document(request)[1], headers=HEADERS)


def _browser(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")


def _document(request: Request) -> tuple[bytes, str]:
    """(JSON, HTML), made once per app."""
    state = request.app.state
    if state.document is None:
        made = openapi.document(request.app)
        state.document = msgspec.json.encode(made), "".join(_listing(made))
    kept: tuple[bytes, str] = state.document
    return kept


def _listing(document: dict[str, Any]) -> Iterator[str]:
    info = document["info"]
    title = escape(f"{info['title']} {info['version']}")
    yield f'{_HEAD}<title>{title}</title><link rel="icon" href="{address("icon.svg")}">'
    yield f'<link rel="stylesheet" href="{address("console.css")}">'
    yield f'<main class="reference"><p><a href="/">Console</a></p><h1>{title}</h1>'
    yield f"<p>{escape(info.get('description', ''))}</p><ul>"
    paths = sorted(document["paths"].items())
    for path, operations in paths:
        for method, operation in operations.items():
            name = f"{method.upper()} {path}"
            place, told = escape(operation["operationId"]), escape(operation.get("summary", ""))
            yield f'<li><a href="#{place}">{escape(name)}</a> {told}</li>'
    yield "</ul>"
    for path, operations in paths:
        for method, operation in operations.items():
            yield from _operation(f"{method.upper()} {path}", operation)
    yield "</main></html>"


def _operation(name: str, operation: dict[str, Any]) -> Iterator[str]:
    yield f'<h2 id="{escape(operation["operationId"])}">{escape(name)}</h2>'
    yield f"<p>{escape(operation.get('description', operation.get('summary', '')))}</p>"
    parameters = operation.get("parameters", [])
    if parameters:
        yield "<dl>"
        for each in parameters:
            needed = ", required" if each.get("required") else ""
            yield f"<dt><code>{escape(each['name'])}</code> ({escape(each['in'])}{needed})</dt>"
            yield f"<dd>{escape(each.get('description', ''))}</dd>"
        yield "</dl>"
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        shown = content.get("example") or content.get("schema", {})
        text = msgspec.json.format(msgspec.json.encode(shown), indent=2).decode()
        yield f'<p>Body, <code>{escape(kind)}</code>:</p><pre tabindex="0">{escape(text)}</pre>'
