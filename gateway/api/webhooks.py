"""POST /v1/webhooks/{adapter}: messages of senders who prove themselves in the adapter's own way."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from canonical.errors import Invalid, Unauthorized
from canonical.ports import Outcome, RawMessage
from gateway.api.answers import ERRORS, json
from gateway.auth import Attempts, address_of, hub_of
from gateway.problems import Problem

__all__ = ["api"]

api = APIRouter(tags=["webhooks"], responses=ERRORS)

_STATUS = {"too_large": 413, "content_type": 415}


@api.post(
    "/v1/webhooks/{adapter}",
    status_code=202,
    summary="A message for an adapter",
    openapi_extra={
        "security": [],
        "requestBody": {"content": {"*/*": {"schema": {"description": "What the adapter's format reads."}}}},
    },
)
async def webhook(request: Request, adapter: str) -> Response:
    """202 once the message is durable. The adapter's `webhook.verify` says how a sender proves itself (a
    bearer token, an HMAC, Standard Webhooks); no API key is needed. A message that its format cannot read is
    kept as a dead letter, and the answer is 422 with its number."""
    hub = hub_of(request)
    running = hub.adapters.get(adapter)
    accept = getattr(running.source, "accept", None) if running is not None else None
    if accept is None:
        raise Problem(404, "not_found", f"no adapter {adapter!r} takes webhooks")
    if hub.journal.full:
        raise Problem(
            503,
            "journal_full",
            "the journal is at its size limit: try again later",
            retryable=True,
            headers={"Retry-After": "10"},
        )
    attempts: Attempts = request.app.state.attempts
    attempts.check(address_of(request))
    body = await request.body()
    try:
        raw: RawMessage = accept(dict(request.headers), dict(request.query_params), body)
    except Unauthorized as error:
        attempts.failed(address_of(request))
        raise Problem(401, error.code, error.message, headers={"WWW-Authenticate": "Bearer"}) from error
    except Invalid as error:
        raise Problem(_STATUS.get(error.code, 400), error.code, error.message, errors=error.errors) from error
    outcomes = await hub.ingest.submit(adapter, [raw])
    return _answer(raw, outcomes[0])


def _answer(raw: RawMessage, outcome: Outcome) -> Response:
    if outcome.status == "invalid":
        raise Problem(
            422,
            "invalid_message",
            f"the message was kept as dead letter {outcome.dead_letter}: {outcome.errors[0][1]}",
            errors=outcome.errors,
            more={"dead_letter": outcome.dead_letter},
        )
    result: dict[str, Any] = {"id": raw.id, "outcome": outcome.status, "positions": outcome.positions}
    if outcome.errors:
        result["errors"] = [{"pointer": pointer, "detail": detail} for pointer, detail in outcome.errors]
        result["dead_letter"] = outcome.dead_letter
    return json({"results": [result]}, 202)
