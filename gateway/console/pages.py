"""How a page is made: its template, its headers, and what every page knows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse

from gateway.auth import ADMIN
from gateway.console import assets, drawing, times, words
from gateway.console.addresses import code_address
from gateway.console.visitor import Visitor

__all__ = ["HEADERS", "bare", "page"]

HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
"""Nothing inline, nothing from elsewhere; the rest is added by ``gateway.outermost``."""

ROOMS: Final[tuple[tuple[str, str, str], ...]] = (
    ("/", "Overview", "o"),
    ("/dead-letters", "Dead letters", "d"),
    ("/exceptions", "Exceptions", "e"),
    ("/codes", "Codes", "c"),
    ("/lanes", "Lanes", "l"),
    ("/service-levels", "Service levels", "s"),
    ("/adapters", "Adapters", "a"),
    ("/routes", "Routes", "r"),
    ("/audit", "Audit", "u"),
)
"""(address, name, the key after ``g``)."""


@cache
def _templates() -> Environment:
    folder = str(files("gateway.console").joinpath("templates"))
    made = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters |= {
        "duration": times.duration,
        "number": words.number,
        "bytes": words.size,
        "type_title": words.type_title,
        "text": words.text,
        "value": words.value,
    }
    made.globals |= {
        "asset": assets.address,
        "code_address": code_address,
        "shape": drawing.shape,
        "sparkline": drawing.sparkline,
    }
    return made


def page(
    visitor: Visitor, template: str, *, room: str = "", status: int = 200, **values: Any
) -> HTMLResponse:
    """A page for somebody who is logged in. ``room``: the address that the navigation marks."""
    now = visitor.hub.clock()

    def when(at: datetime | float | None, plant: str | None = None, **how: Any) -> Markup:
        return times.when(at, visitor.zone(plant), now, **how)

    def lasting(since: datetime | float, plant: str | None = None) -> Markup:
        return times.lasting(since, visitor.zone(plant), now)

    def exact(at: datetime | float, plant: str | None = None) -> str:
        moment = at if isinstance(at, datetime) else datetime.fromtimestamp(at, UTC)
        return times.exact(moment, visitor.zone(plant))

    shared = {
        "visitor": visitor,
        "rooms": [each for each in ROOMS if each[0] != "/audit" or _audits(visitor)],
        "room": room,
        "now": now,
        "when": when,
        "exact": exact,
        "lasting": lasting,
        "theme": visitor.theme,
        "company": visitor.hub.deployment.company,
        "q": "",
        "here": visitor.here,
    }
    return _answer(template, {**shared, **values}, status)


def _audits(visitor: Visitor) -> bool:
    return visitor.may(ADMIN) and visitor.principal.everywhere


def bare(template: str, *, status: int = 200, theme: str = "", **values: Any) -> HTMLResponse:
    """A page for somebody who is not logged in."""
    return _answer(template, {"theme": theme, **values}, status)


def _answer(template: str, values: Mapping[str, Any], status: int) -> HTMLResponse:
    text = _templates().get_template(template).render(values)
    return HTMLResponse(text, status, headers=HEADERS)
