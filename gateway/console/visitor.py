"""Who looks at a page, what they may do there, and proof that a form was ours."""

from __future__ import annotations

import hmac
from datetime import UTC, tzinfo
from typing import Annotated, Final
from urllib.parse import parse_qsl

from fastapi import Depends, Request
from msgspec import Struct

from gateway.api.reasons import checked
from gateway.auth import READ, Principal, forbidden, hub_of, principal_of, session_of
from gateway.hub import Hub
from gateway.keys import Role
from gateway.problems import Problem
from gateway.sessions import Session

__all__ = ["BY_ITSELF", "Acting", "LoginNeeded", "Looking", "Visitor", "fields_of", "theme_of"]

BY_ITSELF: Final = "x-crossplant-live"
"""The header of what a page fetches by itself: it does not keep a session open."""
_FORM_BYTES: Final = 100_000
_FIELDS: Final = 1000


class LoginNeeded(Exception):
    """Nobody is logged in."""


class Visitor(Struct, kw_only=True):
    """Somebody who is logged in, with what they sent: ``fields`` are those of a form."""

    request: Request
    hub: Hub
    principal: Principal
    session: Session
    fields: dict[str, str]

    @property
    def csrf(self) -> str:
        """What every form of theirs must carry."""
        return self.session.csrf

    @property
    def theme(self) -> str:
        """``light``, ``dark``, or empty: as the system has it."""
        return theme_of(self.request)

    @property
    def here(self) -> str:
        """The address of this page with its question."""
        url = self.request.url
        return f"{url.path}?{url.query}" if url.query else url.path

    @property
    def reason(self) -> str:
        """Why they act, where they need not say it. Raises Problem 422 for one that is too long."""
        return checked(self.fields.get("reason", ""))

    def zone(self, plant: str | None) -> tzinfo:
        """The plant's zone; UTC for none."""
        known = self.hub.deployment.plants.get(plant or "")
        return UTC if known is None else known.timezone

    def may(self, roles: frozenset[Role]) -> bool:
        """Whether one of the roles is theirs."""
        return self.principal.may(roles)

    def need(self, roles: frozenset[Role]) -> None:
        """Raises Problem 403 unless one of the roles is theirs."""
        if not self.may(roles):
            raise forbidden(lacking(self.principal, roles))

    def why_not(self, roles: frozenset[Role]) -> str:
        """Why an action is not there for them; empty when it is."""
        return "" if self.may(roles) else lacking(self.principal, roles)


def lacking(principal: Principal, roles: frozenset[Role]) -> str:
    """Which role is missing, in words."""
    needed = " or ".join([*sorted(roles - {"admin"}), "admin"])
    return (
        f"this needs the role {needed}; your key “{principal.name}” has {', '.join(sorted(principal.roles))}"
    )


def theme_of(request: Request) -> str:
    """What the browser's cookie says."""
    chosen = request.cookies.get("crossplant-theme", "")
    return chosen if chosen in {"light", "dark"} else ""


async def _visitor(request: Request) -> Visitor:
    session = session_of(request, touch=BY_ITSELF not in request.headers)
    if session is None:
        raise LoginNeeded
    principal = principal_of(session.key)
    if not principal.may(READ):
        raise forbidden(lacking(principal, READ))
    return Visitor(request=request, hub=hub_of(request), principal=principal, session=session, fields={})


async def _acting(request: Request) -> Visitor:
    """Raises Problem 403 for a form that is not one of this session's."""
    found = await _visitor(request)
    found.fields = await fields_of(request)
    given = found.fields.pop("csrf", "") or request.headers.get("x-csrf-token", "")
    if not hmac.compare_digest(given.encode(), found.csrf.encode()):
        raise Problem(403, "csrf", "this form is not of your session any more: load the page again")
    return found


async def fields_of(request: Request) -> dict[str, str]:
    """The fields of a form; of several with one name, the last. Raises Problem 413, 415, 422."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type not in {"", "application/x-www-form-urlencoded"}:
        raise Problem(415, "content_type", "a form is to be application/x-www-form-urlencoded")
    body = await request.body()
    if len(body) > _FORM_BYTES:
        raise Problem(413, "too_large", f"a form may have {_FORM_BYTES:,} bytes at most")
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_FIELDS))
    except ValueError as error:
        raise Problem(422, "invalid", "the form cannot be read") from error


Looking = Annotated[Visitor, Depends(_visitor)]
"""Somebody who looks. Raises LoginNeeded."""
Acting = Annotated[Visitor, Depends(_acting)]
"""Somebody who sent a form of ours."""
