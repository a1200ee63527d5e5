"""History through a route again: to see what another configuration would make of it, or to deliver it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path as FilePath
from typing import Annotated, Any, Final, Literal

import msgspec
from fastapi import APIRouter, Depends, Path, Query, Request
from msgspec import Struct, structs
from starlette.responses import Response, StreamingResponse

from gateway import recipes
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
from gateway.auth import PUBLISH, Principal, hub_of, require
from gateway.problems import Problem
from gateway.replay.store import Asked, Replay
from router.crosswalk import Row

__all__ = ["api"]

api = APIRouter(tags=["replays"], responses=ERRORS)

Integrator = Annotated[Principal, Depends(require(PUBLISH))]
Number = Annotated[int, Path(ge=1, lt=2**63)]
_RATE: Final = 10.0
_WHAT: Final = "replays"
_COLUMNS: Final = ("position", "id", "source", "type", "plant", "kind", "field", "before", "after", "error")


class Begin(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which events, and what is to be done with them. ``since`` and ``until`` are when they were taken in.

    ``recipe`` and ``crosswalk``: another configuration's route and code tables, for a dry run. ``as_new``:
    under idempotency keys of its own. ``rate``: deliveries a second, at most.
    """

    route: str
    since: datetime
    until: datetime | None = None
    dry_run: bool = False
    recipe: recipes.Written | None = None
    crosswalk: list[Row] | None = None
    as_new: bool = False
    rate: float = _RATE


@api.post(
    "/v1/replays", status_code=202, summary="Begin a replay, or a dry run", openapi_extra=request_body(Begin)
)
async def begin(request: Request, principal: Integrator) -> Response:
    """Of the key's plants and domains, up to what the route has settled by now.

    A dry run delivers nothing: it holds what `recipe` (by default the running configuration) makes of each
    event against what was delivered then, made again by the version that was in force. Otherwise the events
    are delivered again, in order per key, under the same idempotency keys, so that a target that keeps them
    ignores what it has; cursors stay, and what waits in lanes or was discarded is passed over. `Location`
    has its progress."""
    wanted = await body_as(request, Begin)
    if not wanted.dry_run and (wanted.recipe is not None or wanted.crosswalk is not None):
        raise _invalid("/recipe", "another configuration is for dry runs; load it to deliver with it")
    if any(at is not None and at.tzinfo is None for at in (wanted.since, wanted.until)):
        raise _invalid("/since", "times need their zone: 2026-03-02T06:00:00Z")
    asked = Asked(
        dry_run=wanted.dry_run,
        since=wanted.since.timestamp(),
        until=None if wanted.until is None else wanted.until.timestamp(),
        as_new=wanted.as_new,
        rate=wanted.rate,
        changed=wanted.recipe is not None,
        plants=None if principal.plants is None else sorted(principal.plants),
        domains=None if principal.domains is None else sorted(principal.domains),
    )
    try:
        replay = await hub_of(request).replays.begin(
            wanted.route, asked, by=principal.name, recipe=wanted.recipe, rows=wanted.crosswalk
        )
    except ValueError as error:
        raise _invalid("", str(error)) from error
    return json(_shown(replay), 202, {"Location": f"/v1/replays/{replay.id}"})


@api.get("/v1/replays", summary="Replays, newest first")
async def replays(
    request: Request, principal: Integrator, limit: Limit = 100, cursor: Cursor = None
) -> Response:
    """For keys of all plants and domains, since a replay may span them."""
    everywhere(principal, _WHAT)
    found = await hub_of(request).replays.page(before=position_cursor(cursor), limit=limit + 1)
    return listed(request, found, limit, _shown, lambda last: str(last.id))


@api.get("/v1/replays/{number}", summary="How far a replay is, and what came of it")
async def replay(request: Request, principal: Integrator, number: Number) -> Response:
    """`reached` of `first` to `last` are positions. `result.counts` of a dry run: `unchanged`, `changed`,
    `added` (was not delivered, would be), `removed`, `failing` (its mapping would fail), `unknown` (cannot be
    made again); `result.fields` names what differs, in how many events, with examples. Of a replay:
    `delivered`, `left_out` by the route's condition, `passed_over`, `failed`, `held_back` behind these."""
    return json(_shown(await _one(request, principal, number)))


@api.get("/v1/replays/{number}/failures", summary="What a replay could not deliver")
async def failures(
    request: Request, principal: Integrator, number: Number, limit: Limit = 100, cursor: Cursor = None
) -> Response:
    """By position, with the reason; `held_back` are those behind one with their key."""
    await _one(request, principal, number)
    after = position_cursor(cursor) or 0
    found = await hub_of(request).replays.failures(number, after=after, limit=limit + 1)
    return listed(request, found, limit, lambda row: row, lambda last: str(last["position"]))


@api.get(
    "/v1/replays/{number}/differences",
    summary="What differs, event by event",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/x-ndjson": {}, "text/csv": {}}}},
)
async def differences(
    request: Request,
    principal: Integrator,
    number: Number,
    format: Annotated[
        Literal["ndjson", "csv"], Query(description="An event a line, or a field a row.")
    ] = "ndjson",
) -> Response:
    """Of a dry run that has ended. 404 when there are none, or they were removed: the newest 20 are kept."""
    found = await _one(request, principal, number)
    if found.state == "running":
        raise Problem(409, "running", f"replay {number} is not at its end yet", retryable=True)
    path = hub_of(request).replays.file(number)
    lines = _csv(path) if format == "csv" else _lines(path)
    return StreamingResponse(lines, media_type="text/csv" if format == "csv" else "application/x-ndjson")


@api.post("/v1/replays/{number}/stop", summary="Go no further for now")
async def stop(request: Request, principal: Integrator, number: Number) -> Response:
    """A dry run is over with it; 409 when it is not running."""
    await _one(request, principal, number)
    return json(_shown(await hub_of(request).replays.stop(number, by=principal.name)))


@api.post("/v1/replays/{number}/resume", summary="Go on where it stopped")
async def resume(request: Request, principal: Integrator, number: Number) -> Response:
    """409 when it is not stopped, or a dry run."""
    await _one(request, principal, number)
    return json(_shown(await hub_of(request).replays.resume(number, by=principal.name)))


async def _one(request: Request, principal: Principal, number: int) -> Replay:
    return seen_by_beginner(principal, await hub_of(request).replays.show(number), _WHAT)


def _invalid(pointer: str, detail: str) -> Problem:
    return Problem(422, "invalid", detail, errors=[(pointer, detail)])


def _shown(found: Replay) -> dict[str, Any]:
    asked = structs.asdict(found.asked)
    times = {"since": moment(found.asked.since), "until": moment(found.asked.until)}
    return structs.asdict(found) | {
        "asked": asked | times,
        "at": moment(found.at),
        "ended_at": moment(found.ended_at),
    }


def _lines(path: FilePath) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from file


def _csv(path: FilePath) -> Iterator[str]:
    """Values as JSON, so that none of them is a formula."""
    yield _row(_COLUMNS)
    for line in _lines(path):
        one = msgspec.json.decode(line)
        event = [one.get(name) for name in _COLUMNS[:6]]
        for field in one.get("fields") or [one | {"field": ""}]:
            sides = [_text(field.get(side)) if side in field else "" for side in ("before", "after")]
            yield _row([*event, field["field"], *sides, one.get("error", "")])


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _row(values: Any) -> str:
    out = io.StringIO()
    csv.writer(out).writerow(values)
    return out.getvalue()
