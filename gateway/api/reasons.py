"""Why somebody acts, where nobody has to say it: in the body of an act, and from there in the audit."""

from __future__ import annotations

from typing import Final

from fastapi import Request
from msgspec import Struct

from gateway.api.answers import body_as
from gateway.problems import Problem

__all__ = ["Because", "because", "checked"]

_LONGEST: Final = 2000


class Because(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why; it stands in the audit."""

    reason: str = ""


async def because(request: Request) -> str:
    """The reason in the body of an act, empty for none. Raises Problem 415, 422."""
    return checked((await body_as(request, Because, empty=Because())).reason)


def checked(reason: str) -> str:
    """The reason without space around it. Raises Problem 422 for one that is too long."""
    if len(reason) > _LONGEST:
        detail = f"the reason has more than {_LONGEST} characters"
        raise Problem(422, "invalid", detail, errors=[("/reason", detail)])
    return reason.strip()
