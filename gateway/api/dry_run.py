"""What a retry would do: dead letters against today's configuration, with nothing delivered."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Depends, Path, Request
from msgspec import Meta, Struct, structs
from starlette.responses import Response

from deadletter.dryrun import Verdict
from gateway.api.answers import ERRORS, body_as, json, readable, request_body
from gateway.api.dead_letters import Chosen, chosen_filters
from gateway.api.letters import one, plants_of, seen_by
from gateway.auth import READ, Principal, hub_of, require

__all__ = ["api"]

api = APIRouter(tags=["dead letters"], responses=ERRORS)

Reader = Annotated[Principal, Depends(require(READ))]
Number = Annotated[int, Path(ge=1, lt=2**63)]
_SHOWN_BYTES: Final = 16_000


class DryMany(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Which ones. ``group`` is a fingerprint; so many as ``limit`` are told one by one."""

    filter: Chosen | None = None
    group: str | None = None
    limit: Annotated[int, Meta(ge=0, le=200)] = 20


@api.post(
    "/v1/dead-letters/dry-run",
    summary="What a retry of many would do",
    openapi_extra=request_body(DryMany),
)
async def dry_run_many(request: Request, principal: Reader) -> Response:
    """Nothing is delivered or changed. `outcomes` counts: `would_deliver` (what failed before holds now),
    `target_decides` (it can be sent, and its target refused it before), `would_park` (an unknown code),
    `would_fail`, `nothing_to_send`, `not_possible`; `reasons` has those that are alike together. The newest
    5,000 are looked at, within 10 s: `tried` of `total`."""
    wanted = await body_as(request, DryMany)
    found = await hub_of(request).dry_run.many(
        chosen_filters(wanted.filter, wanted.group),
        plants=plants_of(principal),
        sees=seen_by(principal),
        limit=wanted.limit,
    )
    reasons = msgspec.to_builtins(found.reasons)
    items = [_shown(verdict) for verdict in found.items]
    return json(structs.asdict(found) | {"reasons": reasons, "items": items})


@api.post("/v1/dead-letters/{number}/dry-run", summary="What a retry of one would do")
async def dry_run(request: Request, principal: Reader, number: Number) -> Response:
    """As of many, for one, with what would be sent: `sent` has a payload per route."""
    hub = hub_of(request)
    await one(hub, principal, number)
    return json(_shown(await hub.dry_run.one(number)))


def _shown(verdict: Verdict) -> dict[str, Any]:
    return structs.asdict(verdict) | {
        "errors": [{"pointer": pointer, "detail": detail} for pointer, detail in verdict.errors],
        "sent": [
            {"route": sent.route, "to": sent.to, "content_type": sent.content_type}
            | readable(sent.payload, _SHOWN_BYTES)
            for sent in verdict.sent
        ],
    }
