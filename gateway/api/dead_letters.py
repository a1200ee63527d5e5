"""Dead letters: looked at, retried, discarded; one, or all that a filter selects."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Query, Request
from msgspec import Struct, structs
from starlette.responses import Response

from canonical.errors import CrossplantError
from deadletter.entry import DeadLetter
from gateway.api.answers import (
    ERRORS,
    Cursor,
    Limit,
    body_as,
    json,
    listed,
    position_cursor,
    readable,
    request_body,
)
from gateway.api.letters import act_on_each, event_of, full_type, one, seen, summary
from gateway.api.reasons import Because, because, checked
from gateway.auth import OPERATE, READ, Principal, forbidden, hub_of, require
from gateway.problems import Problem

__all__ = ["Chosen", "api", "chosen_filters"]

api = APIRouter(tags=["dead letters"], responses=ERRORS)

Reader = Annotated[Principal, Depends(require(READ))]
Operator = Annotated[Principal, Depends(require(OPERATE))]
Number = Annotated[int, Path(ge=1, lt=2**63)]
_Text = Annotated[str | None, Query(max_length=1024)]

_ACT_S: Final = 20.0


class Chosen(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Open dead letters with these values; at least one is needed."""

    kind: str | None = None
    route: str | None = None
    adapter: str | None = None
    plant: str | None = None
    type: str | None = None
    code: str | None = None
    fingerprint: str | None = None


class Discarding(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why it is given up; it stands in the audit."""

    reason: str


class RetryMany(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which ones, and why. ``group`` is a fingerprint."""

    filter: Chosen | None = None
    group: str | None = None
    reason: str = ""


class DiscardMany(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which ones, and why they are given up."""

    reason: str
    filter: Chosen | None = None
    group: str | None = None


@api.get("/v1/dead-letters", summary="Dead letters, newest first")
async def dead_letters(
    request: Request,
    principal: Reader,
    status: _Text = None,
    kind: _Text = None,
    route: _Text = None,
    adapter: _Text = None,
    plant: _Text = None,
    type: _Text = None,
    code: _Text = None,
    fingerprint: _Text = None,
    position: Annotated[int | None, Query(ge=1, lt=2**63)] = None,
    message_id: _Text = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """Whatever their status: `open`, `retrying`, `recovered`, `discarded`; `status=open` gives what waits for
    a person. `kind` is `message` (refused on its way in) or `delivery` (one route could not deliver it)."""
    wanted = {
        "status": status,
        "kind": kind,
        "route": route,
        "adapter": adapter,
        "plant": plant,
        "code": code,
        "type": full_type(type),
        "fingerprint": fingerprint,
        "position": position,
        "message_id": message_id,
    }
    filters = {name: value for name, value in wanted.items() if value is not None}
    if plant is not None and not principal.sees(plant):
        raise forbidden(f"the key is not for plant {plant!r}")
    found = await seen(hub_of(request), principal, filters, position_cursor(cursor), limit + 1)
    return listed(request, found, limit, summary, lambda last: str(last.id))


@api.get("/v1/dead-letters/{number}", summary="One dead letter with its original bytes")
async def dead_letter(request: Request, principal: Reader, number: Number) -> Response:
    """`body` as text, or `body_base64` where it is none; cut after 64,000 bytes."""
    letter = await one(hub_of(request), principal, number)
    return json(summary(letter) | readable(letter.body) | {"event": event_of(letter)})


@api.post(
    "/v1/dead-letters/retry", summary="Retry all that a filter selects", openapi_extra=request_body(RetryMany)
)
async def retry_many(request: Request, principal: Operator) -> Response:
    """Takes the newest 500 that are open now, the oldest of them first, each with a result of its own.
    `remaining`: so many are left, at least. The reason, if there is one, goes into the audit of each."""
    wanted = await body_as(request, RetryMany)
    reason = checked(wanted.reason)
    service = hub_of(request).dead_letters
    return await _each(
        request,
        principal,
        wanted.filter,
        wanted.group,
        lambda number: service.retry(number, by=principal.name, reason=reason),
    )


@api.post(
    "/v1/dead-letters/discard",
    summary="Discard all that a filter selects",
    openapi_extra=request_body(DiscardMany),
)
async def discard_many(request: Request, principal: Operator) -> Response:
    """As with retry; the reason goes into the audit of each."""
    wanted = await body_as(request, DiscardMany)
    _reason(wanted.reason)
    service = hub_of(request).dead_letters
    return await _each(
        request,
        principal,
        wanted.filter,
        wanted.group,
        lambda number: service.discard(number, by=principal.name, reason=wanted.reason),
    )


@api.post(
    "/v1/dead-letters/{number}/retry",
    summary="Retry one",
    openapi_extra=request_body(Because, required=False),
)
async def retry(request: Request, principal: Operator, number: Number) -> Response:
    """A message is taken in again; a delivery is tried in the background (`retrying`, later `recovered` or
    `open`). 409 when it is not open."""
    reason = await because(request)
    await one(hub_of(request), principal, number)
    return json(summary(await hub_of(request).dead_letters.retry(number, by=principal.name, reason=reason)))


@api.post(
    "/v1/dead-letters/{number}/discard",
    summary="Give one up for good",
    openapi_extra=request_body(Discarding),
)
async def discard(request: Request, principal: Operator, number: Number) -> Response:
    """What waited behind it is delivered. 409 when it is not open."""
    reason = _reason((await body_as(request, Discarding)).reason)
    await one(hub_of(request), principal, number)
    letter = await hub_of(request).dead_letters.discard(number, by=principal.name, reason=reason)
    return json(summary(letter))


def _reason(reason: str) -> str:
    if not reason.strip() or len(reason) > 2000:
        detail = "discarding needs a reason of 1 to 2000 characters, for those who will ask later"
        raise Problem(422, "invalid", detail, errors=[("/reason", detail)])
    return reason


async def _each(
    request: Request,
    principal: Principal,
    chosen: Chosen | None,
    group: str | None,
    act: Callable[[int], Awaitable[DeadLetter]],
) -> Response:
    """One result each."""
    filters = chosen_filters(chosen, group)
    results, left = await act_on_each(hub_of(request), principal, filters, act, within_s=_ACT_S)
    return json({"results": [_result(*result) for result in results], "remaining": left})


def chosen_filters(chosen: Chosen | None, group: str | None) -> dict[str, object]:
    """What a body selects, by column. Raises Problem 422 for nothing."""
    filters: dict[str, object] = (
        {name: value for name, value in structs.asdict(chosen).items() if value} if chosen else {}
    )
    if group is not None:
        filters["fingerprint"] = group
    if not filters:
        detail = "needs a filter with at least one value, or a group"
        raise Problem(422, "invalid", detail, errors=[("/filter", detail)])
    if "type" in filters:
        filters["type"] = full_type(str(filters["type"]))
    return filters


def _result(number: int, came: DeadLetter | CrossplantError) -> dict[str, Any]:
    if isinstance(came, CrossplantError):
        return {"id": number, "status": None, "code": came.code, "error": came.message}
    return {"id": number, "status": came.status, "error": came.error if came.status == "open" else ""}
