"""Style sheets and scripts: ours and the vendored ones, from the package, never from elsewhere."""

from __future__ import annotations

from functools import cache
from hashlib import blake2b
from importlib.resources import files
from typing import Final

from fastapi import APIRouter, Request
from msgspec import Struct
from starlette.responses import Response

from gateway.problems import Problem

__all__ = ["address", "api"]

api = APIRouter(include_in_schema=False)

_FILES: Final = {
    "console.css": "text/css; charset=utf-8",
    "console.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "vendor/htmx.min.js": "text/javascript; charset=utf-8",
    "vendor/uplot.min.js": "text/javascript; charset=utf-8",
    "vendor/uplot.min.css": "text/css; charset=utf-8",
}
_FOR_EVER: Final = "public, max-age=31536000, immutable"


class _Asset(Struct, frozen=True):
    body: bytes
    version: str


@cache
def _asset(name: str) -> _Asset:
    body = files("gateway.console").joinpath("static", name).read_bytes()
    return _Asset(body, blake2b(body, digest_size=6).hexdigest())


def address(name: str) -> str:
    """Where pages find it; the address changes with the content, so browsers may keep it for ever."""
    return f"/static/{name}?v={_asset(name).version}"


@api.get("/static/{name:path}")
async def asset(request: Request, name: str, v: str = "") -> Response:
    """One file; without a login, since the login page needs them."""
    if name not in _FILES:
        raise Problem(404, "not_found", "there is no such file")
    found = _asset(name)
    caching = _FOR_EVER if v == found.version else "no-cache"
    return Response(found.body, media_type=_FILES[name], headers={"Cache-Control": caching})
