"""The normalised services over HTTP: one handler for all, from their declarations.

Everything that was committed before the question is in the answer, or it is 503 with Retry-After;
``stale=true`` answers at once, and ``as_of.behind`` says how many events of the journal are not in yet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from hashlib import blake2b
from typing import Annotated, Any, Final, Literal
from urllib.parse import quote, urlencode

import apsw
import msgspec
from fastapi import APIRouter, Depends, Query, Request
from msgspec import Struct, structs
from pydantic import BaseModel, ConfigDict, Field, create_model
from starlette.responses import Response

from gateway.api import service_schema
from gateway.api.answers import ERRORS, as_cursor, from_cursor, moment, next_link
from gateway.auth import READ, Principal, forbidden, hub_of, require
from gateway.coding import SOURCE, Coding
from gateway.compile import inbound_codes
from gateway.hub import Hub
from gateway.limits import PAGE
from gateway.projections.services import questions
from gateway.projections.services.fold import NO_PLANT, at_path
from gateway.projections.services.questions import Found, Wanted
from gateway.projections.services.registry import SERVICES
from gateway.projections.services.service import SEPARATOR, Filter, Service
from gateway.selection import Moment

__all__ = ["answered", "api", "coding_of", "plants_of"]

api = APIRouter(tags=["services"], responses=ERRORS)

Reader = Annotated[Principal, Depends(require(READ))]
_LATE: Final = Filter(
    name="late", kind="late", about="Late or not, as of now; what `late` means stands above."
)
_TEXT = Annotated[str, Field(min_length=1, max_length=512)]


class Asked(Struct, frozen=True, kw_only=True):
    """One question: where to begin, what for, and by whom."""

    service: Service
    wanted: Sequence[Wanted]
    plants: frozenset[str] | None
    after: str
    limit: int
    now: datetime


def coding_of(hub: Hub) -> Coding:
    """The crosswalks as they are now."""
    return Coding(inbound_codes(hub.deployment), hub.crosswalks.current)


def plants_of(principal: Principal, plant: str | None, domain: str) -> frozenset[str] | None:
    """Of which plants things may be shown; None: of all. Raises Problem 403."""
    if principal.domains is not None and domain not in principal.domains:
        raise forbidden(f"the key is not for domain {domain!r}")
    if plant is None:
        return principal.plants
    if not principal.sees(None if plant == NO_PLANT else plant):
        raise forbidden(f"the key is not for plant {plant!r}")
    return frozenset({plant})


# ── the question ────────────────────────────────────────────────────────────────────────────────


def filters_of(service: Service) -> tuple[Filter, ...]:
    """The service's filters, ``late`` among them."""
    return (*service.filters, _LATE) if service.late else service.filters


def _kind(wanted: Filter) -> Any:
    match wanted.kind:
        case "flag" | "late":
            return bool
        case "until":
            return Moment
        case "text" if wanted.choices:
            return Literal.__getitem__(wanted.choices)
        case _:
            return _TEXT


def _model(service: Service) -> type[BaseModel]:
    """The query parameters; any other is refused, so that a slip of the pen does not return everything."""

    def optional(kind: Any, about: str) -> Any:
        return (kind, Field(default=None, description=about))  # a default is not validated

    parameters: dict[str, Any] = {
        "plant": optional(_TEXT, "A plant; `-`: what belongs to none."),
        **{each.name: optional(_kind(each), each.about) for each in filters_of(service)},
        "limit": (int, Field(default=100, ge=1, le=PAGE, description=f"Entries of a page, {PAGE} at most.")),
        "cursor": optional(
            Annotated[str, Field(max_length=2000)], "Where to go on: `next` of the page before."
        ),
        "stale": (
            bool,
            Field(default=False, description="Answer at once, even if the newest events are not in yet."),
        ),
    }
    name = "".join(word.capitalize() for word in service.table.split("_")) + "Query"
    return create_model(name, __config__=ConfigDict(extra="forbid"), **parameters)


async def _wanted(hub: Hub, service: Service, query: Mapping[str, Any]) -> list[Wanted]:
    found: list[Wanted] = []
    for each in filters_of(service):
        value = query.get(each.name)
        if value is None:
            continue
        coded = each.kind in {"code", "path"}
        codes = await _codes(hub, each, str(value)) if coded else frozenset[str]()
        value = value.timestamp() if isinstance(value, datetime) else value
        found.append(Wanted(filter=each, value=value, codes=codes))
    return found


async def _codes(hub: Hub, wanted: Filter, value: str) -> frozenset[str]:
    """What sources say for a canonical code, at any time; which of them fits, each thing's own time tells."""
    if wanted.kind == "code":
        rows = await hub.crosswalks.list(domain=wanted.domain, canonical=value, status="approved")
    else:
        rows = await hub.crosswalks.list(domain=wanted.domain, status="approved")
    return frozenset(row.value for row in rows if _under(row.canonical, value, wanted))


def _under(code: Any, value: str, wanted: Filter) -> bool:
    if not isinstance(code, str):
        return False
    return code == value or (wanted.kind == "path" and code.startswith(f"{value}/"))


# ── the answer ──────────────────────────────────────────────────────────────────────────────────


def _page(
    connection: apsw.Connection, coding: Coding, asked: Asked
) -> tuple[list[dict[str, Any]], str | None, int, int]:
    """(items, next, the service's newest position, how far the file is), in a reader's thread."""
    items: list[dict[str, Any]] = []
    following, last = None, ""
    for found in questions.candidates(
        connection,
        asked.service,
        asked.wanted,
        plants=asked.plants,
        after=asked.after,
        now=asked.now.timestamp(),
    ):
        item = shown(asked.service, found, coding, asked.now)
        if not _fits(asked, item):
            continue
        if len(items) == asked.limit:
            following = as_cursor(last)
            break
        items.append(item)
        last = found.key
    return items, following, questions.newest(connection, asked.service), questions.reached(connection)


def _fits(asked: Asked, item: Mapping[str, Any]) -> bool:
    """Whether the codes are those that were asked for, as of the thing's own time."""
    for each in asked.wanted:
        if each.filter.kind not in {"code", "path"}:
            continue
        where, _, name = asked.service.columns[each.filter.of].rpartition(".")
        holder = at_path(item, where) if where else item
        if not isinstance(holder, dict):
            return False
        if not any(_under(holder.get(code), each.value, each.filter) for code in (name, SOURCE + name)):
            return False
    return True


def shown(service: Service, found: Found, coding: Coding, now: datetime) -> dict[str, Any]:
    """A thing as it is answered."""
    values, missing = coding.shown(found.cells, found.origins)
    plant = None if found.plant == NO_PLANT else found.plant
    item: dict[str, Any] = service_schema.blank(service.name) | {"plant": plant, **values}
    if service.late:
        passed = found.due is not None and found.due < now.timestamp()
        item["late"] = found.open and (found.delayed or passed)
    return item | {
        "unresolved": [structs.asdict(each) for each in missing],
        "sources": sorted({origin.source for origin in found.origins}),
        "position": found.position,
        "changed_at": moment(found.changed_at),
        "links": _links(service, found, plant),
    }


def _links(service: Service, found: Found, plant: str | None) -> dict[str, str]:
    """From a thing to its history."""
    links = {"timeline": f"/v1/events/{found.position}/timeline"}
    if service.name == "telemetry/latest":
        _, equipment, tag, _ = found.key.split(SEPARATOR)
        links["history"] = f"/v1/telemetry/history?{urlencode({'equipment': equipment, 'tag': tag})}"
    elif found.subject:
        query = {"subject": found.subject} | ({"plant": plant} if plant else {})
        links["events"] = f"/v1/events?{urlencode(query)}"
        name = found.key.split(SEPARATOR)[1] if len(service.identity) == 1 else found.subject
        links["search"] = f"/v1/search?q={quote(name, safe='')}"
    return links


def answered(request: Request, body: Mapping[str, Any], following: str | None = None) -> Response:
    """The body with a strong ETag and the link to the next page; 304 without a body when it is known."""
    encoded = msgspec.json.encode(body)
    tag = f'"{blake2b(encoded, digest_size=12).hexdigest()}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache", "Vary": "Authorization"}
    if following is not None:
        headers["Link"] = next_link(request, following)
    known = {each.strip().removeprefix("W/") for each in request.headers.get("if-none-match", "").split(",")}
    if tag in known or "*" in known:
        return Response(status_code=304, headers=headers)
    return Response(encoded, headers=headers, media_type="application/json")


async def _answer(service: Service, request: Request, principal: Principal, query: BaseModel) -> Response:
    hub = hub_of(request)
    given = query.model_dump()
    after = from_cursor(given["cursor"], str)[0] if given["cursor"] else ""
    asked = Asked(
        service=service,
        plants=plants_of(principal, given["plant"], service.domain),
        wanted=await _wanted(hub, service, given),
        after=after,
        limit=given["limit"],
        now=hub.clock(),
    )
    if not given["stale"]:
        await hub.services.caught_up()
    items, following, newest, reached = await hub.services.read(
        partial(_page, coding=coding_of(hub), asked=asked)
    )
    behind = max(0, hub.journal.head - reached) if given["stale"] else 0
    as_of = {"position": newest, "behind": behind}
    return answered(request, {"items": items, "next": following, "as_of": as_of}, following)


# ── the routes ──────────────────────────────────────────────────────────────────────────────────


def _route(service: Service) -> None:
    async def read(request: Request, principal: Reader, query: BaseModel) -> Response:
        return await _answer(service, request, principal, query)

    model: Any = _model(service)
    read.__name__ = f"list_{service.table}"
    read.__annotations__["query"] = Annotated[model, Query()]
    read.__annotations__["principal"] = Reader
    read.__annotations__["request"] = Request
    api.add_api_route(
        f"/v1/{service.name}",
        read,
        summary=service.summary,
        description=f"{service.rule}\n\n{service_schema.CODES}",
        response_class=Response,
        responses={
            200: {"description": "A page.", "content": {"application/json": service_schema.page(service)}},
            304: {"description": "What the caller has (If-None-Match) is still so."},
        },
    )


for _service in SERVICES:
    _route(_service)
