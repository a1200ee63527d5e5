"""Login and logout: a key becomes a session, in a cookie that no script and no other site gets."""

from __future__ import annotations

import hmac
import secrets
from typing import Final

from fastapi import Request
from starlette.responses import RedirectResponse, Response

from canonical.errors import CrossplantError
from gateway.auth import READ, cookie_name, hub_of, principal_of, prove, session_of, token_of
from gateway.console.guard import room
from gateway.console.pages import bare
from gateway.console.visitor import Acting, fields_of, lacking, theme_of
from gateway.keys import Key
from gateway.problems import Problem
from gateway.sessions import LONGEST_S, Sessions

__all__ = ["api"]

api = room()

_YEAR_S: Final = 365 * 86400


def inside(target: str) -> str:
    """The way back after the login: a path of this hub, else the first page."""
    plain = target.startswith("/") and not target.startswith(("//", "/\\")) and target.isprintable()
    return target if plain and "\\" not in target else "/"


@api.get("/login")
async def form(request: Request, next: str = "/") -> Response:
    """The form; for somebody who is logged in, the way on."""
    if session_of(request) is not None:
        return RedirectResponse(inside(next), 303)
    return _form(request, next)


def _form(request: Request, next: str, *, status: int = 200, wrong: str = "") -> Response:
    """The form with a token of its own: nobody is to be logged in by another site's form either."""
    token = secrets.token_urlsafe(24)
    told = bare(
        "login.html",
        status=status,
        theme=theme_of(request),
        token=token,
        next=inside(next),
        wrong=wrong,
        company=hub_of(request).deployment.company,
    )
    _cookie(request, told, "login", token, 3600)
    return told


def _cookie(request: Request, answer: Response, what: str, value: str, age_s: int) -> None:
    answer.set_cookie(
        cookie_name(request, what),
        value,
        max_age=age_s,
        path="/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )


@api.post("/login")
async def login(request: Request) -> Response:
    """Proves the key, counts what fails as the API does, and opens a session."""
    fields = await fields_of(request)
    sent, kept = fields.get("token", ""), request.cookies.get(cookie_name(request, "login"), "")
    if not kept or not hmac.compare_digest(sent.encode(), kept.encode()):
        raise Problem(403, "csrf", "this login form is too old, or cookies are off: load the page again")
    back = fields.get("next", "/")
    try:
        key = await prove(request, fields.get("key", "").strip())
    except Problem as problem:  # too many failures
        return _form(request, back, status=problem.status, wrong=problem.detail)
    if key is None:
        return _form(request, back, status=401, wrong="This key is unknown, revoked or expired.")
    principal = principal_of(key)
    if not principal.may(READ):
        return _form(request, back, status=403, wrong=lacking(principal, READ))
    sessions: Sessions = request.app.state.sessions
    sessions.end(token_of(request))
    token, _ = sessions.open(key)
    await _note(request, key, "session.open")
    answer = RedirectResponse(inside(back), 303)
    _cookie(request, answer, "session", token, int(LONGEST_S))
    answer.delete_cookie(cookie_name(request, "login"), path="/")
    return answer


@api.post("/logout")
async def logout(visitor: Acting) -> Response:
    """Ends the session."""
    request = visitor.request
    sessions: Sessions = request.app.state.sessions
    sessions.end(token_of(request))
    await _note(request, visitor.session.key, "session.end")
    answer = RedirectResponse("/login", 303)
    answer.delete_cookie(cookie_name(request), path="/")
    return answer


async def _note(request: Request, key: Key, act: str) -> None:
    """Audits it; a store that cannot be written to keeps nobody from looking at it."""
    hub = hub_of(request)
    try:
        await hub.journal.write(
            lambda t: hub.audit.record(t, key.name, act, f"key/{key.id}", {"name": key.name})
        )
    except CrossplantError as error:
        hub.log.error("audit_failed", act=act, error=error.message)


@api.post("/theme")
async def theme(visitor: Acting) -> Response:
    """Light, dark, or as the system has it."""
    chosen = visitor.fields.get("theme", "")
    answer = RedirectResponse(inside(visitor.fields.get("next", "/")), 303)
    if chosen in {"light", "dark"}:
        answer.set_cookie(
            "crossplant-theme", chosen, max_age=_YEAR_S, path="/", httponly=True, samesite="lax"
        )
    else:
        answer.delete_cookie("crossplant-theme", path="/")
    return answer
