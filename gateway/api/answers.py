"""What the API's handlers have in common: reading a body, pages with cursors, JSON answers."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import urlencode

import msgspec
from fastapi import Query, Request
from starlette.responses import Response

from canonical.errors import Invalid
from canonical.jsontext import read_json
from gateway.limits import JSON_DEPTH, PAGE
from gateway.problems import Problem

__all__ = [
    "ERRORS",
    "Cursor",
    "Limit",
    "as_cursor",
    "body_as",
    "from_cursor",
    "json",
    "listed",
    "moment",
    "next_link",
    "page",
    "position_cursor",
    "readable",
    "request_body",
]

T = TypeVar("T")

Limit = Annotated[int, Query(ge=1, le=PAGE, description=f"Entries of a page, {PAGE} at most.")]
Cursor = Annotated[
    str | None, Query(max_length=2000, description="Where to go on: `next` of the page before.")
]

ERRORS: Final[dict[int | str, dict[str, Any]]] = {
    "4XX": {
        "description": "Problem details (RFC 9457)",
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    },
    "5XX": {
        "description": "Problem details (RFC 9457)",
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    },
}
"""For every route: what is no success is a problem."""

_SHOWN_BYTES: Final = 64_000


def json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """The value as JSON; times become RFC 3339."""
    return Response(msgspec.json.encode(value), status, headers, media_type="application/json")


def moment(seconds: float | None) -> datetime | None:
    """Seconds since 1970 as a time in UTC; None and 0 are none."""
    return datetime.fromtimestamp(seconds, UTC) if seconds else None


def readable(body: bytes, most: int = _SHOWN_BYTES) -> dict[str, Any]:
    """Bytes for people: ``body`` as text, or ``body_base64`` when they are none; cut after ``most`` bytes."""
    cut = body[:most]
    told: dict[str, Any] = {"size_bytes": len(body), "truncated": len(body) > most}
    try:
        text = cut.decode()
    except UnicodeDecodeError as error:
        if len(body) <= most or error.start < len(cut) - 3:
            return told | {"body_base64": base64.b64encode(cut).decode()}
        text = cut[: error.start].decode()  # the cut only went through its last character
    return told | ({"body_base64": base64.b64encode(cut).decode()} if "\x00" in text else {"body": text})


# ── bodies ──────────────────────────────────────────────────────────────────────────────────────

_WHERE = re.compile(r" - at `\$(.*)`$")
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+)\]")


async def body_as(request: Request, type_: type[T], *, empty: T | None = None) -> T:
    """The JSON body as a value of that type; ``empty`` for none at all. Raises Problem 415, 422."""
    body = await request.body()
    if not body and empty is not None:
        return empty
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type not in {"", "application/json"}:
        raise Problem(415, "content_type", f"the body is to be application/json, not {content_type}")
    try:
        return msgspec.convert(read_json(body, max_depth=JSON_DEPTH), type_)
    except msgspec.ValidationError as error:
        text = str(error)
        found = _WHERE.search(text)
        steps = _STEP.findall(found.group(1)) if found else []
        pointer = "".join(f"/{name or index}" for name, index in steps)
        detail = _WHERE.sub("", text).replace("`", "")
        raise Problem(
            422, "invalid", f"the body is not what it should be: {detail}", errors=[(pointer, detail)]
        ) from error
    except Invalid as error:
        raise Problem(422, error.code, error.message, errors=error.errors) from error


def request_body(type_: Any, *, required: bool = True) -> dict[str, Any]:
    """OpenAPI's description of a body that ``body_as`` reads."""
    (schema,), shapes = msgspec.json.schema_components([type_], ref_template="#/$defs/{name}")
    inner = _inlined(schema, shapes)
    return {"requestBody": {"required": required, "content": {"application/json": {"schema": inner}}}}


def _inlined(schema: Any, shapes: Mapping[str, Any]) -> Any:
    """The schema with what it refers to in place of the references."""
    match schema:
        case {"$ref": str(reference)}:
            return _inlined(shapes[reference.rpartition("/")[2]], shapes)
        case dict():
            return {name: _inlined(inner, shapes) for name, inner in schema.items()}
        case list():
            return [_inlined(inner, shapes) for inner in schema]
        case _:
            return schema


# ── pages ───────────────────────────────────────────────────────────────────────────────────────


def listed(
    request: Request, found: Sequence[T], limit: int, shown: Callable[[T], Any], cursor: Callable[[T], str]
) -> Response:
    """A page of the first ``limit`` of what was found; where there are more, the next begins after its last,
    whose ``cursor`` stands in the answer."""
    rows = found[:limit]
    return page(request, [shown(row) for row in rows], cursor(rows[-1]) if len(found) > limit else None)


def next_link(request: Request, cursor: str) -> str:
    """The ``Link`` header of the next page (RFC 8288): the same question, with another cursor."""
    query = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
    return f'<{request.url.path}?{urlencode([*query, ("cursor", cursor)])}>; rel="next"'


def page(request: Request, items: Sequence[Any], following: str | None) -> Response:
    """A page with its link to the next one."""
    headers = {} if following is None else {"Link": next_link(request, following)}
    return json({"items": items, "next": following}, headers=headers)


def as_cursor(*parts: float | str) -> str:
    """A cursor of several parts; nobody is meant to read it."""
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(parts)).decode().rstrip("=")


def from_cursor(cursor: str, *types: type) -> tuple[Any, ...]:
    """The parts of a cursor. Raises Problem 422 for one that ``as_cursor`` did not make."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        parts = msgspec.msgpack.decode(raw, type=list[Any])
    except (ValueError, msgspec.DecodeError):
        parts = []
    if len(parts) != len(types) or any(
        type(part) is not wanted for part, wanted in zip(parts, types, strict=True)
    ):
        raise _bad_cursor()
    return tuple(parts)


def position_cursor(cursor: str | None) -> int | None:
    """A cursor that is a number. Raises Problem 422."""
    if cursor is None:
        return None
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 19):
        raise _bad_cursor()
    return int(cursor)


def _bad_cursor() -> Problem:
    return Problem(
        422,
        "cursor",
        "this is no cursor of this list; take `next` of the page before as it is",
        errors=[("/query/cursor", "is no cursor of this list")],
    )
