"""For machines that watch: liveness, readiness, start-up, and Prometheus' metrics."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from gateway.api.answers import ERRORS, json
from gateway.auth import MONITOR, Principal, hub_of, require
from gateway.hub import Hub

__all__ = ["api"]

api = APIRouter(tags=["health"])

_OPEN: Final[dict[str, Any]] = {"security": []}
_STALLED_S: Final = 8.0
_FRESH_S: Final = 1.0


@api.get("/livez", summary="The process is alive", openapi_extra=_OPEN)
async def livez() -> Response:
    """200 as long as the event loop turns."""
    return json({"status": "alive"})


@api.get("/readyz", summary="The hub can take messages in", openapi_extra=_OPEN)
async def readyz(request: Request) -> Response:
    """503 while it starts or stops, while a commit has hung for more than 8 s, while the disk does not take
    the journal, or while that is at its size limit. Adapters that are down make it `degraded`, and 200 all
    the same: the others work."""
    checks, down = _checks(hub_of(request)), _down(hub_of(request))
    failed = [name for name, state in checks.items() if state != "ok"]
    status = "not ready" if failed else "degraded" if down else "ready"
    body = {"status": status, "checks": checks, "adapters_down": down}
    return json(body, 503 if failed else 200)


def _checks(hub: Hub) -> dict[str, str]:
    return {
        "hub": "ok" if hub.ready else "starting or stopping",
        "journal": _journal(hub),
        "space": "ok" if not hub.journal.full else "the journal is at its size limit until routes catch up",
    }


def _journal(hub: Hub) -> str:
    busy_s = hub.journal.busy_s
    if busy_s > _STALLED_S:
        return f"a commit has taken {busy_s:.0f} s: is the disk hanging?"
    return hub.journal.failure or "ok"


def _down(hub: Hub) -> int:
    """How many adapters have no connection; which ones is for those who have a key."""
    return sum(not each.health.connected for each in hub.adapters.values())


@api.get("/startupz", summary="The hub has started", openapi_extra=_OPEN)
async def startupz(request: Request) -> Response:
    """503 until it takes messages in."""
    ready = hub_of(request).ready
    return json({"status": "started" if ready else "starting"}, 200 if ready else 503)


@api.get(
    "/metrics",
    summary="Prometheus metrics",
    responses={**ERRORS, 200: {"description": "Text format.", "content": {"text/plain": {}}}},
)
async def metrics(request: Request, principal: Annotated[Principal, Depends(require(MONITOR))]) -> Response:
    """Gauges are read at the scrape, at most once a second."""
    hub = hub_of(request)
    await hub.metrics.refresh(hub, younger_than_s=_FRESH_S)
    return Response(hub.metrics.text(), media_type=CONTENT_TYPE_LATEST)
