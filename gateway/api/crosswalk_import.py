"""Crosswalk rows from a CSV file: first what would change, then, when that was seen, the change."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from config.crosswalks import CrosswalkRow, parse
from gateway.api.answers import ERRORS, json
from gateway.api.crosswalks import Steward, outside, shown
from gateway.auth import hub_of
from gateway.crosswalks.importing import Change, Diff
from gateway.problems import Problem
from router.crosswalk import Row

__all__ = ["api"]

api = APIRouter(tags=["crosswalks"], responses=ERRORS)

_MOST: Final = 20_000
_CSV: Final = {
    "requestBody": {
        "required": True,
        "content": {
            "text/csv": {
                "schema": {
                    "type": "string",
                    "description": "The columns of the deployment's crosswalk files: domain, system, value, "
                    "canonical, and plant, valid_from, valid_to, status where they are needed.",
                }
            }
        },
    }
}


@api.post("/v1/crosswalks/import", summary="Import rows, or see what that would change", openapi_extra=_CSV)
async def load(
    request: Request,
    principal: Steward,
    apply: Annotated[bool, Query(description="Let it take effect; needs `hash`.")] = False,
    hash: Annotated[str, Query(max_length=64, description="Of the difference that was shown.")] = "",
    why: Annotated[str, Query(max_length=2000, description="Why; it stands in the history.")] = "",
) -> Response:
    """What the file would add, change and retire, line by line, and what is in conflict: with another row's
    time, with a file of the deployment, with whose codes they are. Rows that it does not name stay. With
    `apply` and the `hash` of the difference it takes effect, all of it or nothing; 403 when it would change
    codes that others keep, 409 when by now it would be another, or has conflicts."""
    hub = hub_of(request)
    wanted = await _rows(request)

    def refuse(row: Row) -> str:
        if row.plant and row.plant not in hub.deployment.plants:
            return f"{row.plant!r} is no plant of this deployment"
        return outside(principal, row)

    if not apply:
        diff = await hub.crosswalks.compare(wanted, by=principal.name, refuse=refuse)
        return json(_told(diff) | {"applied": False, "released": 0})
    diff, released = await hub.crosswalks.take(
        wanted, by=principal.name, expected=hash, why=why, refuse=refuse
    )
    return json(_told(diff) | {"applied": True, "released": released})


async def _rows(request: Request) -> list[CrosswalkRow]:
    """The file's rows. Raises Problem 415, 422 with every line that cannot be read."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type not in {"", "text/csv", "text/plain", "application/octet-stream"}:
        raise Problem(415, "content_type", f"the body is to be text/csv, not {content_type}")
    zones = {name: plant.timezone for name, plant in hub_of(request).deployment.plants.items()}
    rows, findings = parse(await request.body(), "the file", zones)
    if findings:
        first = findings[0]
        raise Problem(
            422,
            "invalid",
            f"{len(findings)} line(s) cannot be read; line {first.line}: {first.message}",
            errors=[(f"/{finding.line}", finding.message) for finding in findings],
        )
    if len(rows) > _MOST:
        raise Problem(413, "too_large", f"{len(rows)} rows; {_MOST} at a time, split the file")
    return rows


def _told(diff: Diff) -> dict[str, Any]:
    return {
        "hash": diff.hash,
        "counts": diff.counts,
        "added": [_change(change) for change in diff.added],
        "changed": [_change(change) for change in diff.changed],
        "retired": [_change(change) for change in diff.retired],
        "unchanged": diff.unchanged,
        "conflicts": [{"line": conflict.line, "message": conflict.message} for conflict in diff.conflicts],
    }


def _change(change: Change) -> dict[str, Any]:
    before = shown(change.before) if change.before is not None else None
    return {"line": change.line, "before": before, "after": shown(change.after)}
