"""What the API's answers hold, for the OpenAPI document; a test holds real answers against it.

The handlers make their answers themselves, from what they know; nothing here is ever filled in.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Generic, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from deadletter.entry import Kind, Status
from gateway.key import Role
from gateway.trail import State

__all__ = ["ANSWERS", "schemas"]

T = TypeVar("T")
Moment = Annotated[datetime, Meta(tz=True)]
Attributes = dict[str, str | int | float | bool]


class _Shape(Struct, kw_only=True, forbid_unknown_fields=True):
    """All of it is there, unless it has a default, and nothing else."""


class Page(_Shape, Generic[T], kw_only=True):
    """``next`` is the cursor of the next page, null on the last one."""

    items: list[T]
    next: str | None


class CloudEvent(Struct, kw_only=True):
    """A CloudEvent with its place in the journal; extensions stand beside the attributes."""

    position: Annotated[int, Meta(ge=1)]
    specversion: Literal["1.0"]
    id: str
    source: str
    type: str
    recordedtime: Moment
    data: dict[str, Any]


class Hit(_Shape, kw_only=True):
    """An event without its data."""

    position: int
    source: str
    id: str
    type: str
    domain: str
    subject: str | None
    correlationid: str | None
    causationid: str | None
    plantid: str | None
    recordedtime: Moment | None
    time: Moment | None


class Fault(_Shape, kw_only=True):
    """What is wrong, and where (RFC 6901)."""

    pointer: str
    detail: str


class _Bytes(_Shape, kw_only=True):
    """``body`` as text, or ``body_base64`` where the bytes are none."""

    size_bytes: int
    truncated: bool
    body: str = ""
    body_base64: str = ""


class Raw(_Bytes, kw_only=True):
    """The message as it came."""

    adapter: str
    id: str
    received_at: Moment
    content_type: str
    attributes: Attributes


class LetterHead(_Shape, kw_only=True):
    """A dead letter without its bytes."""

    id: int
    kind: Kind
    status: Status
    stage: str
    code: str
    error: str
    errors: list[Fault]
    adapter: str
    plant: str
    type: str
    route: str
    key: str
    position: int | None
    message_id: str
    content_type: str
    attributes: Attributes
    attempts: int
    resolved_by: str
    reason: str
    fingerprint: str
    first_at: Moment | None
    last_at: Moment | None
    resolved_at: Moment | None
    size_bytes: int
    truncated: bool


class DeadLetter(LetterHead, kw_only=True):
    """What could not be taken in or delivered. ``event``: CloudEvents JSON of a delivery, when small."""

    event: dict[str, Any] | None
    body: str = ""
    body_base64: str = ""


class Acted(_Shape, kw_only=True):
    """What became of one dead letter; ``status`` null: nothing, for the reason in ``error``."""

    id: int
    status: Status | None
    error: str
    code: str = ""


class ActedOnMany(_Shape, kw_only=True):
    """``remaining``: so many are left, at least."""

    results: list[Acted]
    remaining: int


class Shadowed(_Bytes, kw_only=True):
    """What a route in a shadow would have delivered."""

    at: Moment
    content_type: str
    target: dict[str, Any]


class Trail(_Shape, kw_only=True):
    """What became of an event on one route."""

    route: str
    state: State
    at: Moment | None
    attempts: int
    receipt: str
    due_at: Moment | None
    code: str
    error: str
    dead_letter: int | None
    reason: str
    would_deliver: Shadowed | None


class Timeline(_Shape, kw_only=True):
    """One event's whole way."""

    position: int
    raw: Raw | None
    event: dict[str, Any]
    routes: list[Trail]
    dead_letters: list[LetterHead]
    causes: list[Hit]
    effects: list[Hit]


class MissingCode(_Shape, kw_only=True):
    """The code that no crosswalk row knows."""

    domain: str
    system: str
    value: str


class Lane(_Shape, kw_only=True):
    """A blocked key."""

    route: str
    key: str
    state: str
    size: int
    plant: str | None
    position: int
    attempts: int
    due_at: Moment | None
    entered_at: Moment | None
    code: str
    error: str
    missing: MissingCode | None
    dead_letter: int | None
    event: dict[str, Any] | None


class Released(_Shape, kw_only=True):
    """How many deliveries wait in the lane."""

    route: str
    key: str
    released: int


class CrosswalkRow(_Shape, kw_only=True):
    """What a system's code means."""

    id: int
    domain: str
    system: str
    plant: str | None
    value: str
    canonical: str
    valid_from: Moment | None
    valid_to: Moment | None
    status: str
    steward: str
    origin: str
    approved_by: str
    created_at: Moment | None
    version: int


class AddedRow(CrosswalkRow, kw_only=True):
    """``released``: how many lanes it let go."""

    released: int


class RowStep(_Shape, kw_only=True):
    """One act on a crosswalk row, and the row after it."""

    version: int
    at: Moment | None
    actor: str
    act: str
    why: str
    state: CrosswalkRow


class CodeCandidate(_Shape, kw_only=True):
    """What a code may mean, and why."""

    code: str
    score: float
    reason: str


class CodeCandidates(_Shape, kw_only=True):
    """``outward``: the code is a canonical one, and the candidates are the system's."""

    outward: bool
    items: list[CodeCandidate]


class RowChange(_Shape, kw_only=True):
    """What a line of a file would change."""

    line: int
    before: CrosswalkRow | None
    after: CrosswalkRow


class RowConflict(_Shape, kw_only=True):
    """Why a line cannot take effect."""

    line: int
    message: str


class RowDiff(_Shape, kw_only=True):
    """What an import changes; ``unchanged`` are lines."""

    hash: str
    counts: dict[str, int]
    added: list[RowChange]
    changed: list[RowChange]
    retired: list[RowChange]
    unchanged: list[int]
    conflicts: list[RowConflict]
    applied: bool
    released: int


class Key(_Shape, kw_only=True):
    """An API key without its secret."""

    id: str
    name: str
    roles: list[Role]
    plants: list[str] | None
    domains: list[str] | None
    created_at: Moment | None
    created_by: str
    expires_at: Moment | None
    revoked_at: Moment | None
    last_used_at: Moment | None


class NewSecret(Key, kw_only=True):
    """``key`` is shown this once."""

    key: str


class Act(_Shape, kw_only=True):
    """Who did what to what."""

    id: int
    at: Moment
    actor: str
    act: str
    subject: str
    details: dict[str, Any]


class Taken(_Shape, kw_only=True):
    """What became of a message."""

    id: str
    outcome: Literal["accepted", "duplicate", "conflict", "ignored"]
    positions: list[int]
    errors: list[Fault] = []
    dead_letter: int | None = None


class TakenIn(_Shape, kw_only=True):
    """One result, since a request is one message."""

    results: list[Taken]


class Alive(_Shape, kw_only=True):
    """How the process is."""

    status: Literal["alive", "starting", "started"]


class Ready(_Shape, kw_only=True):
    """``checks``: ok, or what is wrong."""

    status: Literal["ready", "degraded", "not ready"]
    checks: dict[str, str]
    adapters_down: int


ANSWERS: Final[dict[str, dict[str, Any]]] = {
    "GET /v1/events": {"200": Page[CloudEvent]},
    "GET /v1/events/lookup": {"200": CloudEvent},
    "GET /v1/events/{position}": {"200": CloudEvent},
    "GET /v1/events/{position}/timeline": {"200": Timeline},
    "GET /v1/search": {"200": Page[Hit]},
    "POST /v1/webhooks/{adapter}": {"202": TakenIn},
    "GET /v1/dead-letters": {"200": Page[DeadLetter]},
    "GET /v1/dead-letters/{number}": {"200": DeadLetter},
    "POST /v1/dead-letters/retry": {"200": ActedOnMany},
    "POST /v1/dead-letters/discard": {"200": ActedOnMany},
    "POST /v1/dead-letters/{number}/retry": {"200": DeadLetter},
    "POST /v1/dead-letters/{number}/discard": {"200": DeadLetter},
    "GET /v1/lanes": {"200": Page[Lane]},
    "POST /v1/lanes/release": {"200": Released},
    "GET /v1/crosswalks": {"200": Page[CrosswalkRow]},
    "POST /v1/crosswalks": {"201": AddedRow},
    "GET /v1/crosswalks/candidates": {"200": CodeCandidates},
    "POST /v1/crosswalks/import": {"200": RowDiff},
    "GET /v1/crosswalks/{number}": {"200": CrosswalkRow},
    "GET /v1/crosswalks/{number}/history": {"200": Page[RowStep]},
    "POST /v1/crosswalks/{number}/approve": {"200": AddedRow},
    "POST /v1/crosswalks/{number}/retire": {"200": CrosswalkRow},
    "GET /v1/keys": {"200": Page[Key]},
    "POST /v1/keys": {"201": NewSecret},
    "POST /v1/keys/{key}/rotate": {"200": NewSecret},
    "POST /v1/keys/{key}/revoke": {"200": Key},
    "GET /v1/audit": {"200": Page[Act]},
    "GET /livez": {"200": Alive},
    "GET /readyz": {"200": Ready, "503": Ready},
    "GET /startupz": {"200": Alive, "503": Alive},
}
"""Operation → status → what the answer holds. Others are described by their handlers."""


def schemas(ref: str) -> tuple[dict[str, dict[str, dict[str, Any]]], dict[str, dict[str, Any]]]:
    """(operation → status → schema, the schemas that those refer to as ``ref`` + name)."""
    types = list(dict.fromkeys(shape for answers in ANSWERS.values() for shape in answers.values()))
    made, components = msgspec.json.schema_components(types, ref_template=f"{ref}{{name}}")
    by_type = dict(zip(types, made, strict=True))
    found = {
        operation: {status: by_type[shape] for status, shape in answers.items()}
        for operation, answers in ANSWERS.items()
    }
    return found, dict(components)
