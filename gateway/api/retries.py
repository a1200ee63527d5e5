"""Groups of dead letters, and the retry of many: frozen, at a rate, with progress, stoppable."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Query, Request
from msgspec import Struct, structs
from starlette.responses import Response

from deadletter.bulk import Progress
from gateway.api.answers import (
    ERRORS,
    Cursor,
    Limit,
    body_as,
    json,
    listed,
    moment,
    position_cursor,
    request_body,
)
from gateway.api.begun import everywhere, seen_by_beginner
from gateway.api.dead_letters import Chosen, chosen_filters
from gateway.api.letters import full_type, plants_of, seen_by
from gateway.api.reasons import Because, because, checked
from gateway.auth import OPERATE, READ, Principal, hub_of, require
from gateway.problems import Problem

__all__ = ["RETRIES", "api"]

api = APIRouter(tags=["dead letters"], responses=ERRORS)

Reader = Annotated[Principal, Depends(require(READ))]
Operator = Annotated[Principal, Depends(require(OPERATE))]
Number = Annotated[int, Path(ge=1, lt=2**63)]
_Text = Annotated[str | None, Query(max_length=1024)]
_RATE: Final = 10.0
RETRIES: Final = "retries"


class Begin(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which ones, how many a second, at most, and why. ``group`` is a fingerprint."""

    filter: Chosen | None = None
    group: str | None = None
    rate: float = _RATE
    reason: str = ""


@api.get("/v1/dead-letters/groups", summary="What failed alike, the most first")
async def groups(
    request: Request,
    principal: Reader,
    kind: _Text = None,
    route: _Text = None,
    adapter: _Text = None,
    plant: _Text = None,
    type: _Text = None,
    code: _Text = None,
    limit: Limit = 100,
) -> Response:
    """What is open, by `fingerprint`: place, code and error text without its quoted parts and numbers.
    `trend` counts what arrived in each of the last 24 hours, oldest first; `error` is the newest one's."""
    wanted = {"kind": kind, "route": route, "adapter": adapter, "plant": plant, "code": code}
    filters = {
        name: value for name, value in {**wanted, "type": full_type(type)}.items() if value is not None
    }
    found = await hub_of(request).dead_letters.groups(
        filters, plants=plants_of(principal), sees=seen_by(principal), limit=limit
    )
    items = [
        structs.asdict(group) | {"first_at": moment(group.first_at), "last_at": moment(group.last_at)}
        for group in found
    ]
    return json({"items": items, "next": None})


@api.get("/v1/dead-letters/retries", summary="Retries of many, newest first")
async def retries(request: Request, principal: Reader, limit: Limit = 100, cursor: Cursor = None) -> Response:
    """For keys of all plants and domains, since a retry may span them."""
    everywhere(principal, RETRIES)
    found = await hub_of(request).retries.page(before=position_cursor(cursor), limit=limit + 1)
    return listed(request, found, limit, _shown, lambda last: str(last.id))


@api.post(
    "/v1/dead-letters/retries",
    status_code=202,
    summary="Retry many at a rate",
    openapi_extra=request_body(Begin),
)
async def begin(request: Request, principal: Operator) -> Response:
    """Freezes what the filter or group selects now, of the key's plants and domains, and tries each once, the
    oldest first; those of one key or adapter keep their order. What fails anew, or arrives meanwhile, is
    counted and not tried. Goes on after a restart. `Location` has its progress."""
    wanted = await body_as(request, Begin)
    reason = checked(wanted.reason)
    try:
        progress = await hub_of(request).retries.begin(
            chosen_filters(wanted.filter, wanted.group),
            by=principal.name,
            rate=wanted.rate,
            reason=reason,
            plants=plants_of(principal),
            sees=seen_by(principal),
        )
    except ValueError as error:
        raise Problem(422, "invalid", str(error), errors=[("/rate", str(error))]) from error
    return json(_shown(progress), 202, {"Location": f"/v1/dead-letters/retries/{progress.id}"})


@api.get("/v1/dead-letters/retries/{number}", summary="How far a retry is")
async def retry(request: Request, principal: Reader, number: Number) -> Response:
    """`waiting` are not tried yet, `under_way` are, `recovered` ended well, `failed` are open again,
    `passed_over` were not open any more or could not be tried; `arrived` came since and are not tried."""
    return json(_shown(await _one(request, principal, number)))


@api.post(
    "/v1/dead-letters/retries/{number}/stop",
    summary="Try nothing more for now",
    openapi_extra=request_body(Because, required=False),
)
async def stop(request: Request, principal: Operator, number: Number) -> Response:
    """What is under way ends; 409 when it is not running."""
    await _one(request, principal, number)
    reason = await because(request)
    return json(_shown(await hub_of(request).retries.stop(number, by=principal.name, reason=reason)))


@api.post(
    "/v1/dead-letters/retries/{number}/resume",
    summary="Go on with what was not tried yet",
    openapi_extra=request_body(Because, required=False),
)
async def resume(request: Request, principal: Operator, number: Number) -> Response:
    """409 when it is not stopped."""
    await _one(request, principal, number)
    reason = await because(request)
    return json(_shown(await hub_of(request).retries.resume(number, by=principal.name, reason=reason)))


async def _one(request: Request, principal: Principal, number: int) -> Progress:
    return seen_by_beginner(principal, await hub_of(request).retries.show(number), RETRIES)


def _shown(progress: Progress) -> dict[str, Any]:
    return structs.asdict(progress) | {"at": moment(progress.at), "ended_at": moment(progress.ended_at)}
