"""Edits of dead letters: proposed by one person, approved by another; the original stays."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Depends, Path, Request
from msgspec import Struct
from starlette.responses import Response

from deadletter.edits import Edit, Edits, SamePerson
from deadletter.entry import DeadLetter
from gateway.api.answers import ERRORS, body_as, json, moment, readable, request_body
from gateway.api.letters import one
from gateway.auth import OPERATE, READ, Principal, forbidden, hub_of, require
from gateway.keys import Role
from gateway.problems import Problem

__all__ = ["APPROVE", "api"]

api = APIRouter(tags=["dead letters"], responses=ERRORS)

APPROVE: Final = frozenset[Role]({"approver", "admin"})
Reader = Annotated[Principal, Depends(require(READ))]
Operator = Annotated[Principal, Depends(require(OPERATE))]
Approver = Annotated[Principal, Depends(require(APPROVE))]
Whoever = Annotated[Principal, Depends(require(OPERATE | APPROVE))]
Number = Annotated[int, Path(ge=1, lt=2**63, description="The dead letter.")]
Which = Annotated[int, Path(ge=1, lt=2**63, description="The edit.")]


class Proposal(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The new content, one of the three, and why. Of a message `body`, or `body_base64`; of a delivery
    `data`, the event's data."""

    reason: str
    body: str | None = None
    body_base64: str | None = None
    data: dict[str, Any] | None = None


@api.post(
    "/v1/dead-letters/{number}/edit",
    status_code=201,
    summary="Propose other content",
    openapi_extra=request_body(Proposal),
)
async def propose(request: Request, principal: Operator, number: Number) -> Response:
    """The content is checked as if it came in now (422 with all JSON pointers). It takes effect once another
    person with the role approver or admin has approved it; where `gateway.second_person` is false, at once.
    409 when the dead letter is not open."""
    wanted = await body_as(request, Proposal)
    letter = await one(hub_of(request), principal, number)
    content = _content(wanted, letter)
    edit = await _edits(request).propose(number, content, by=principal.name, reason=wanted.reason)
    return json(_shown(edit), 201, {"Location": f"/v1/dead-letters/{number}/edits"})


@api.get("/v1/dead-letters/{number}/edits", summary="Its edits, newest first")
async def edits(request: Request, principal: Reader, number: Number) -> Response:
    """`state` is `proposed`, `applied` or `withdrawn`; `changes` tells each difference, at a JSON pointer or
    a line."""
    await one(hub_of(request), principal, number)
    return json({"items": [_shown(edit) for edit in await _edits(request).of(number)], "next": None})


@api.post("/v1/dead-letters/{number}/edits/{edit}/approve", summary="Let an edit take effect")
async def approve(request: Request, principal: Approver, number: Number, edit: Which) -> Response:
    """The dead letter is retried with it. 403 for its own author, 409 when it was decided already."""
    await _one(request, principal, number, edit)
    try:
        return json(_shown(await _edits(request).approve(edit, by=principal.name)))
    except SamePerson as error:
        raise forbidden(error.message) from error


@api.post("/v1/dead-letters/{number}/edits/{edit}/withdraw", summary="Give an edit up")
async def withdraw(request: Request, principal: Whoever, number: Number, edit: Which) -> Response:
    """The dead letter stays as it is. 409 when it was decided already."""
    await _one(request, principal, number, edit)
    return json(_shown(await _edits(request).withdraw(edit, by=principal.name)))


def _edits(request: Request) -> Edits:
    return hub_of(request).edits


async def _one(request: Request, principal: Principal, number: int, edit: int) -> Edit:
    await one(hub_of(request), principal, number)
    found: Edit = await _edits(request).show(edit)
    if found.dead_letter != number:
        raise LookupError(f"dead letter {number} has no edit {edit}")
    return found


def _content(wanted: Proposal, letter: DeadLetter) -> bytes:
    given = [name for name in ("body", "body_base64", "data") if getattr(wanted, name) is not None]
    fits = ["data"] if letter.kind == "delivery" else ["body", "body_base64"]
    if len(given) != 1 or given[0] not in fits:
        detail = f"the edit of a {letter.kind} needs {' or '.join(fits)}, and nothing else"
        raise Problem(422, "invalid", detail, errors=[("", detail)])
    if wanted.data is not None:
        return msgspec.json.encode(wanted.data)
    if wanted.body is not None:
        return wanted.body.encode()
    try:
        return base64.b64decode(wanted.body_base64 or "", validate=True)
    except (binascii.Error, ValueError) as error:
        detail = f"is no base64: {error}"
        raise Problem(422, "invalid", detail, errors=[("/body_base64", detail)]) from error


def _shown(edit: Edit) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(edit) | readable(edit.content)
    del told["content"]
    return told | {"at": moment(edit.at), "decided_at": moment(edit.decided_at)}
