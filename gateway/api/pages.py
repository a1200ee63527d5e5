"""The API's own pages: what this is, its OpenAPI document, and a listing of it that loads nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Request
from starlette.responses import HTMLResponse, Response

from gateway import openapi
from gateway.auth import Principal, authenticated

__all__ = ["api"]

api = APIRouter(include_in_schema=False)

Anybody = Annotated[Principal, Depends(authenticated)]

_HEAD = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
)
_START = (
    f"{_HEAD}<title>Crossplant</title><h1>Crossplant</h1>"
    "<p>This is the gateway of an integration hub. Its HTTP API is below <code>/v1</code>; it takes API "
    "keys: <code>Authorization: Bearer KEY</code>.</p>"
    "<p>On the hub's own machine <code>crossplant keys create NAME --role viewer --data DIR</code> makes "
    'one. With it, <a href="/docs">/docs</a> lists the API and <a href="/openapi.json">/openapi.json</a> '
    'describes it for programs. <a href="/readyz">/readyz</a> tells whether the hub is ready.</p></html>'
)


@api.get("/")
async def start() -> Response:
    """A page for whoever comes by."""
    return HTMLResponse(_START)


@api.get("/openapi.json")
async def described(request: Request, principal: Anybody) -> Response:
    """The OpenAPI document."""
    return Response(_document(request)[0], media_type="application/json")


@api.get("/docs")
async def docs(request: Request, principal: Anybody) -> Response:
    """The same for people."""
    return HTMLResponse(_document(request)[1])


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
    yield f"{_HEAD}<title>{title}</title><h1>{title}</h1>"
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
    yield "</html>"


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
        yield f"<p>Body, <code>{escape(kind)}</code>:</p><pre>{escape(text)}</pre>"
