"""What a page's handler may raise becomes a page: the way to the login, or what is wrong in words."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import quote

import apsw
from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.responses import RedirectResponse, Response

from canonical.errors import CrossplantError
from gateway.console.pages import bare
from gateway.console.visitor import LoginNeeded, theme_of
from gateway.problems import Problem, problem_of, trace_id
from router.journal import JournalCorrupt

__all__ = ["room", "to_login"]

_WRONG = (Problem, CrossplantError, RequestValidationError, LookupError, JournalCorrupt, apsw.Error)


class _Route(APIRoute):
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            try:
                return await handle(request)
            except LoginNeeded:
                return to_login(request)
            except _WRONG as error:
                return _shown(request, problem_of(error))

        return guarded


def room() -> APIRouter:
    """A router for pages."""
    return APIRouter(include_in_schema=False, route_class=_Route)


def to_login(request: Request) -> Response:
    """The way to the login and back again."""
    if request.headers.get("sec-fetch-site") == "cross-site" and request.method == "GET":
        # A link from a mail: the browser has withheld the cookie (SameSite=Strict), and sends it when the
        # page itself asks again.
        return bare("again.html", theme=theme_of(request))
    url = request.url
    back = url.path + (f"?{url.query}" if url.query else "") if request.method == "GET" else "/"
    target = "/login" if back == "/" else f"/login?next={quote(back, safe='')}"
    if "hx-request" in request.headers:  # a fragment cannot hold a login: the whole page goes there
        return Response(status_code=401, headers={"HX-Redirect": target})
    return RedirectResponse(target, 303)


def _shown(request: Request, problem: Problem) -> Response:
    answer = bare(
        "problem.html",
        status=problem.status,
        theme=theme_of(request),
        problem=problem,
        trace=trace_id(request.scope),
    )
    answer.headers.update(problem.headers)
    return answer
