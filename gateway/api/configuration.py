"""The configuration that runs: its version, what is written now, and taking that over."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from msgspec import to_builtins
from starlette.responses import Response

from config.findings import ConfigErrors, Finding
from config.written import Change
from gateway import versions
from gateway.api.answers import ERRORS, Cursor, Limit, json, moment, next_link, position_cursor
from gateway.auth import PUBLISH, READ, Principal, forbidden, hub_of, require
from gateway.problems import Problem
from gateway.versions import Version

__all__ = ["api"]

api = APIRouter(tags=["configuration"], responses=ERRORS)

Integrator = Annotated[Principal, Depends(require(PUBLISH))]
_MOST = 1000


@api.get("/v1/configuration", summary="The configuration that runs, and those before it")
async def configuration(
    request: Request,
    principal: Annotated[Principal, Depends(require(READ))],
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Response:
    """Each load has a `number`, and a `hash` of what is written: the same text has the same hash on every
    hub. `versions` are those loaded, newest first; what each changed stands in the audit."""
    hub, before = hub_of(request), position_cursor(cursor)
    found = await hub.journal.read(lambda t: versions.page(t, before=before, limit=limit + 1))
    following = str(found[limit - 1].number) if len(found) > limit else None
    running = hub.configuration.version
    told = {
        "version": None if running is None else _version(running),
        "versions": [_version(one) for one in found[:limit]],
        "next": following,
    }
    return json(told, headers={} if following is None else {"Link": next_link(request, following)})


@api.post("/v1/configuration/check", summary="What is wrong with what is written now, and what it changes")
async def check(request: Request, principal: Integrator) -> Response:
    """Looks at the files that the hub was started with, and changes nothing. `errors` counts the findings
    that keep them from being loaded; `changes` is against what runs, without any secret. 409 for a hub that
    was not started from a file."""
    _everywhere(principal)
    found = await hub_of(request).configuration.check()
    errors = sum(one.severity == "error" for one in found.findings)
    told = {"errors": errors, "findings": [_finding(one) for one in found.findings]}
    return json(told | {"changes": [_change(one) for one in found.changes[:_MOST]]})


@api.post("/v1/configuration/reload", summary="Take over what is written now, or nothing of it")
async def reload(request: Request, principal: Integrator) -> Response:
    """What did not change keeps its session, buffers and place. 422 `configuration_refused` with every
    `finding` by file, line and column when it is not sound, needs a restart, or something in it cannot be
    opened; what ran goes on. Both are in the audit."""
    _everywhere(principal)
    try:
        loaded = await hub_of(request).configuration.reload(by=principal.name)
    except ConfigErrors as error:
        raise _refusal(error) from error
    return json(
        {
            "version": _version(loaded.version),
            "adapters": loaded.adapters,
            "routes": loaded.routes,
            "changes": [_change(one) for one in loaded.changes[:_MOST]],
        }
    )


def _refusal(error: ConfigErrors) -> Problem:
    wrong = [found for found in error.findings if found.severity == "error"]
    rest = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
    return Problem(
        422,
        "configuration_refused",
        f"the configuration is refused, the one before it goes on: {wrong[0]}{rest}",
        errors=[(f"{found.file}:{found.line}:{found.column}", found.message) for found in wrong],
        more={"findings": [_finding(found) for found in error.findings]},
    )


def _everywhere(principal: Principal) -> None:
    if not principal.everywhere:
        raise forbidden("the configuration is loaded by integrators of all plants and domains")


def _version(version: Version) -> dict[str, Any]:
    return {
        "number": version.number,
        "hash": version.hash,
        "loaded_at": moment(version.at),
        "by": version.actor,
    }


def _finding(found: Finding) -> Any:
    return to_builtins(found)


def _change(change: Change) -> dict[str, Any]:
    return {"key": change.key, "before": change.before, "after": change.after, "behind": change.behind}
