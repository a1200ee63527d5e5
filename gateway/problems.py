"""What the gateway answers when something is wrong: problem details (RFC 9457), never a stack trace.

``{"type", "title", "status", "detail", "code", "errors": [{"pointer", "detail"}], "traceId", "retryable"}``.
``code`` is a bounded word for programs, ``detail`` a sentence for people, ``traceId`` stands in our log too.
"""

from __future__ import annotations

import http
import secrets
from collections.abc import Iterable, Mapping
from typing import Any

import apsw
import msgspec
from fastapi.exceptions import RequestValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from canonical.errors import CrossplantError, Invalid, TransientError, Unauthorized
from deadletter.service import NotPossible
from gateway.crosswalks.stewards import NotSteward
from gateway.keys import KeyConflict
from router.crosswalk import Overlap
from router.journal import JournalCorrupt, StorageError

__all__ = [
    "CONTENT_TYPE",
    "Problem",
    "body_of",
    "install",
    "problem_of",
    "response_of",
    "trace_id",
    "unexpected",
]

CONTENT_TYPE = "application/problem+json"
_MOST_ERRORS = 1000
_RETRY_S = 2


class Problem(Exception):
    """An answer that is no success. ``errors`` are (pointer, what is wrong there)."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        errors: Iterable[tuple[str, str]] = (),
        retryable: bool = False,
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        """``more``: further members of the answer."""
        super().__init__(detail)
        self.status, self.code, self.detail, self.retryable = status, code, detail, retryable
        self.errors, self.headers, self.more = list(errors), dict(headers or {}), dict(more or {})


def trace_id(scope: Scope) -> str:
    """32 hex digits: the caller's (``traceparent``) or one of our own, the same for the whole request."""
    state: dict[str, Any] = scope.setdefault("state", {})
    if "trace_id" not in state:
        given = next((value for name, value in scope["headers"] if name == b"traceparent"), b"")
        parts = given.decode("latin-1").split("-")
        good = len(parts) >= 4 and len(parts[1]) == 32 and set(parts[1]) <= set("0123456789abcdef")
        state["trace_id"] = parts[1] if good else secrets.token_hex(16)
    return str(state["trace_id"])


def body_of(problem: Problem, trace: str) -> bytes:
    """The answer's JSON."""
    shown: dict[str, Any] = {
        "type": f"urn:crossplant:problem:{problem.code}",
        "title": _title(problem.status),
        "status": problem.status,
        "detail": problem.detail,
        "code": problem.code,
        "errors": [
            {"pointer": pointer, "detail": detail} for pointer, detail in problem.errors[:_MOST_ERRORS]
        ],
        "traceId": trace,
        "retryable": problem.retryable,
    }
    return msgspec.json.encode({**shown, **problem.more})


def response_of(problem: Problem, scope: Scope) -> Response:
    """The answer."""
    body = body_of(problem, trace_id(scope))
    return Response(body, problem.status, media_type=CONTENT_TYPE, headers=problem.headers)


def _title(status: int) -> str:
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def unexpected() -> Problem:
    """For a fault of our own: tells nothing but that it is one."""
    return Problem(
        500, "internal", "the hub failed at this; its log tells more under the trace id", retryable=False
    )


def _storage(detail: str) -> Problem:
    return Problem(503, "storage", detail, retryable=True, headers={"Retry-After": str(_RETRY_S)})


_INVALID_STATUS = {"too_large": 413, "content_type": 415, "unsupported_format": 415}


def _of_error(error: CrossplantError) -> Problem:
    """The answer to an error of ours."""
    match error:
        case StorageError():
            return _storage(error.message)
        case Overlap() | NotPossible() | KeyConflict():
            return Problem(409, error.code, error.message)
        case NotSteward():
            return Problem(403, error.code, error.message)
        case Unauthorized():
            return Problem(401, error.code, error.message, headers={"WWW-Authenticate": "Bearer"})
        case Invalid():
            status = _INVALID_STATUS.get(error.code, 422)
            return Problem(status, error.code, error.message, errors=error.errors)
        case TransientError():
            retry = {"Retry-After": str(max(1, round(error.retry_after_s or _RETRY_S)))}
            return Problem(503, error.code, error.message, retryable=True, headers=retry)
        case _:
            return Problem(422, error.code, error.message)


def _of_request(error: RequestValidationError) -> Problem:
    errors = [
        ("/" + "/".join(str(step) for step in fault["loc"]), str(fault["msg"]).removeprefix("Value error, "))
        for fault in error.errors()
    ]
    return Problem(422, "parameters", "the request's parameters are not what they should be", errors=errors)


_CODES = {404: "not_found", 405: "method_not_allowed"}


def _of_http(error: HTTPException) -> Problem:
    detail = error.detail or _title(error.status_code)
    code = _CODES.get(error.status_code, "http")
    return Problem(error.status_code, code, detail, headers=error.headers)


def _of_lookup(error: LookupError) -> Problem:
    if isinstance(error, KeyError | IndexError):
        raise error  # a fault of our own, not something that somebody looked for
    return Problem(404, "not_found", str(error.args[0]) if error.args else "there is no such thing")


def _of_corrupt(error: JournalCorrupt) -> Problem:
    return Problem(500, "journal_corrupt", str(error))


def _of_database(error: apsw.Error) -> Problem:
    return _storage(f"the store cannot be read: {error}")


_MADE: list[tuple[type[Exception], Any]] = [
    (Problem, lambda problem: problem),
    (CrossplantError, _of_error),
    (RequestValidationError, _of_request),
    (HTTPException, _of_http),
    (LookupError, _of_lookup),
    (JournalCorrupt, _of_corrupt),
    (apsw.Error, _of_database),
]


def problem_of(error: Exception) -> Problem:
    """The answer to an error that a handler raised; one of no kind known here is raised again."""
    for kind, convert in _MADE:
        if isinstance(error, kind):
            problem: Problem = convert(error)
            return problem
    raise error


def install(app: Starlette) -> None:
    """Makes every error that a handler raises one of these answers."""
    for kind, convert in _MADE:
        app.add_exception_handler(kind, _handler(convert))


def _handler(convert: Any) -> Any:
    async def handle(request: Request, error: Exception) -> Response:
        return response_of(convert(error), request.scope)

    return handle
