"""POST /v1/events: CloudEvents in, durable before the answer.

The catalogue judges every event, and all that is wrong is told at once; nothing of a faulty batch is
recorded. The body is read by msgspec, not by pydantic, and ``gateway.direct`` leads here past the web
framework: this is the hot path.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from msgspec import Struct
from starlette.datastructures import Headers
from starlette.responses import Response

from canonical import catalogue, cloudevents
from canonical.admission import event_faults
from canonical.errors import Invalid
from canonical.event import Event, new_id
from canonical.ports import Attribute, Outcome, RawMessage
from canonical.quick import quick_batch, quick_structured
from gateway.api.answers import ERRORS, json
from gateway.auth import PUBLISH, Principal, forbidden, hub_of, require
from gateway.gathering import Gathering, TooSlow
from gateway.hub import Hub
from gateway.limits import EVENTS, JSON_DEPTH
from gateway.problems import Problem
from router.journal import Message

__all__ = ["ADAPTER", "PATH", "RECORD_S", "api", "published"]

api = APIRouter(tags=["events"], responses=ERRORS)

PATH: Final = "/v1/events"
ADAPTER: Final = "api"
RECORD_S: Final = 30.0
"""Within so many seconds what is published is durable, or the answer is 503."""

_OFF_LOOP_BYTES: Final = 64 * 1024
_LONGEST: Final = 1024
_RESERVED: Final = "/hub"
_BOUNDED: Final = ("id", "source", "subject", "partitionkey", "correlationid", "causationid", "correctsid")

Fault = tuple[str, str]


class _Read(Struct):
    """What a body holds. ``raw`` is the body of each event's own raw message, ``at`` the pointer of each.
    ``whole``: the raw body has the attributes, too."""

    events: list[Event]
    raw: list[bytes]
    at: list[str]
    content_type: str
    attributes: dict[str, Attribute]
    whole: bool = True


@api.post(
    PATH,
    status_code=202,
    summary="Publish one event or a batch",
    openapi_extra={"x-body": "cloudevents"},
    responses={
        202: {
            "description": "Durable.",
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Published"}}},
        }
    },
)
async def publish(request: Request, principal: Annotated[Principal, Depends(require(PUBLISH))]) -> Response:
    """202 once everything is durable, with an outcome per event: `accepted`, `duplicate` (seen before),
    or `conflict` (the same source and id with other data; it is a dead letter now). 422 lists every fault
    with a JSON pointer, in a batch below the event's index. 403: a plant or domain is not the key's."""
    return await published(request, request.body, principal)


async def published(
    request: Request, body_of: Callable[[], Awaitable[bytes]], principal: Principal
) -> Response:
    """The answer to a request to publish. Raises Problem, Invalid, StorageError."""
    hub, headers = hub_of(request), request.headers
    if hub.journal.full:
        raise Problem(
            503,
            "journal_full",
            "the journal is at its size limit until routes catch up: try again later",
            retryable=True,
            headers={"Retry-After": "10"},
        )
    body = await body_of()
    if len(body) > _OFF_LOOP_BYTES:
        read = await asyncio.to_thread(_accepted, headers, body, principal, hub)
    else:
        read = _accepted(headers, body, principal, hub)
    outcomes = await _recorded(request.app.state.gathering, _messages(read, principal, hub))
    return json({"results": [_result(*pair) for pair in zip(read.events, outcomes, strict=True)]}, 202)


def _accepted(headers: Headers, body: bytes, principal: Principal, hub: Hub) -> _Read:
    """The events, all of them good and permitted. Raises Problem, Invalid."""
    read = _read(headers, body)
    if len(read.events) > EVENTS:
        raise Problem(
            413, "too_many_events", f"a batch may have {EVENTS} events at most; it has {len(read.events)}"
        )
    if not principal.everywhere:
        denied = [
            fault
            for event, at in zip(read.events, read.at, strict=True)
            for fault in _denied(event, at, principal)
        ]
        if denied:
            raise forbidden(f"{denied[0][0]} {denied[0][1]}", denied)
    plants = hub.deployment.plants
    faults: list[Fault] = []
    for event, at, raw in zip(read.events, read.at, read.raw, strict=True):
        found = _faults(event, at, plants, short=read.whole and len(raw) <= _LONGEST)
        if found:
            faults += found
    if faults:
        raise _invalid(faults)
    return read


def _invalid(faults: Sequence[Fault]) -> Problem:
    where, what = faults[0]
    more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
    return Problem(422, "invalid_event", f"{where or 'the event'} {what}{more}", errors=faults)


def _read(headers: Headers, body: bytes) -> _Read:
    """What the body says, as CloudEvents reads it strictly. Raises Problem, Invalid."""
    content_type = headers.get("content-type", "")
    match cloudevents.mode(content_type):
        case "structured":
            event = quick_structured(body, max_depth=JSON_DEPTH) or cloudevents.parse_structured(
                body, max_depth=JSON_DEPTH
            )
            return _Read([event], [body], [""], content_type, {})
        case "batch":
            return _batch(body)
        case "binary":
            if "ce-specversion" not in headers:
                raise Problem(
                    415,
                    "content_type",
                    f"send {cloudevents.STRUCTURED}, {cloudevents.BATCH}, or ce- headers (binary mode)",
                )
            given = dict(headers)
            event = cloudevents.parse_binary(given, body, max_depth=JSON_DEPTH)
            carried: dict[str, Attribute] = {
                f"header.{name}": value for name, value in given.items() if name.startswith("ce-")
            }
            return _Read([event], [body], [""], content_type, carried, whole=False)


def _batch(body: bytes) -> _Read:
    quick = quick_batch(body, max_depth=JSON_DEPTH)
    if quick is not None:
        return _batch_read(*quick)
    events: list[Event] = []
    faults: list[Fault] = []
    for member in cloudevents.parse_batch(body, max_depth=JSON_DEPTH):
        if isinstance(member, Invalid):
            faults += member.errors
        else:
            events.append(member)
    if faults:
        raise _invalid(faults)
    return _batch_read(events, [cloudevents.to_structured(event) for event in events])


def _batch_read(events: list[Event], raw: list[bytes]) -> _Read:
    return _Read(events, raw, [f"/{index}" for index in range(len(events))], cloudevents.STRUCTURED, {})


def _denied(event: Event, at: str, principal: Principal) -> list[Fault]:
    """What the key may not say."""
    found: list[Fault] = []
    if not principal.sees(event.plantid):
        what = (
            f"{event.plantid!r} is not one of the key's plants"
            if event.plantid
            else "is missing: the key is for some plants only"
        )
        found.append((f"{at}/plantid", what))
    spoken_for = _plant_of(event.source)
    if spoken_for is not None and not principal.sees(spoken_for):
        found.append((f"{at}/source", f"speaks for plant {spoken_for!r}, which is not one of the key's"))
    try:
        domain = catalogue.get(event.type).domain
    except catalogue.UnknownType:
        return found
    if principal.domains is not None and domain not in principal.domains:
        found.append((f"{at}/type", f"is of domain {domain!r}, which is not one of the key's"))
    return found


def _plant_of(source: str) -> str | None:
    """The plant that a source names (``/plants/{plant}/…``)."""
    parts = source.split("/", 3)
    return parts[2] if len(parts) > 2 and parts[:2] == ["", "plants"] else None


def _too_long(event: Event, at: str) -> list[Fault]:
    values = [(name, getattr(event, name) or "") for name in _BOUNDED]
    return [
        (f"{at}/{name}", f"has {len(value):,} characters; {_LONGEST} at most")
        for name, value in values
        if len(value) > _LONGEST
    ]


def _faults(event: Event, at: str, plants: Mapping[str, Any], *, short: bool) -> list[Fault]:
    """Everything that is wrong with an event that the envelope alone does not tell. ``short``: none of its
    attributes can be too long, since all that was sent is not."""
    found = [] if short else _too_long(event, at)
    if event.source.startswith(_RESERVED) and event.source.removeprefix(_RESERVED)[:1] in ("", "/"):
        found.append((f"{at}/source", "is the hub's own"))
    if event.plantid is not None and event.plantid not in plants:
        known = ", ".join(plants) or "none"
        found.append(
            (f"{at}/plantid", f"{event.plantid!r} is no plant of this deployment; there are: {known}")
        )
    faults = event_faults(event, at=at)
    if all(pointer != f"{at}/type" for pointer, _ in faults) and event.type != catalogue.full_name(
        event.type
    ):
        faults.insert(0, (f"{at}/type", f"is to be written in full: {catalogue.full_name(event.type)}"))
    return found + faults


def _messages(read: _Read, principal: Principal, hub: Hub) -> list[Message]:
    """One raw message per event, so that each has an outcome of its own."""
    now = hub.clock()
    attributes: dict[str, Attribute] = {**read.attributes, "key": principal.key_id, "by": principal.name}
    return [
        Message(
            raw=RawMessage(
                adapter=ADAPTER,
                id=new_id(),
                body=raw,
                received_at=now,
                content_type=read.content_type,
                attributes=attributes,
            ),
            events=(event,),
        )
        for event, raw in zip(read.events, read.raw, strict=True)
    ]


async def _recorded(gathering: Gathering, messages: Sequence[Message]) -> Sequence[Outcome]:
    """The outcomes, once durable. Raises Problem 503 when that takes long: it may be kept all the same."""
    if not messages:
        return []
    try:
        return await gathering.record(messages)
    except TooSlow:
        raise Problem(
            503,
            "storage",
            f"the journal took more than {RECORD_S:g} s; send the same again, what was kept counts once",
            retryable=True,
            headers={"Retry-After": "10"},
        ) from None


def _result(event: Event, outcome: Outcome) -> dict[str, Any]:
    result: dict[str, Any] = {
        "source": event.source,
        "id": event.id,
        "position": outcome.positions[0] if outcome.positions else None,
        "outcome": outcome.status,
    }
    if outcome.errors:
        result["detail"] = outcome.errors[0][1]
    if outcome.dead_letter is not None:
        result["dead_letter"] = outcome.dead_letter
    return result
