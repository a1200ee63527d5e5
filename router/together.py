"""One request of several documents: how it is made of them, and what its refusal says about each. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Literal

from msgspec import Struct, structs

from canonical.errors import CrossplantError, PermanentError, TransientError, Unauthorized
from canonical.ports import Delivery
from canonical.spec import SinkTraits

__all__ = ["Batch", "Batching", "divisible", "fed", "is_outage", "together"]

_CLOUDEVENTS = "application/cloudevents+json"


class Batching(Struct, frozen=True, kw_only=True):
    """``batch:`` of a route. ``form``: a JSON array, or a document per line."""

    size: int
    within_s: float
    form: Literal["array", "lines"] = "array"


def fed(batching: Batching) -> SinkTraits:
    """How the engine feeds it: in runs, one call at a time, which keeps the order of each key."""
    return SinkTraits(ordered=True, max_batch=batching.size)


class Batch(Struct, frozen=True):
    """Deliveries, and the one that brings them all."""

    members: tuple[Delivery, ...]
    whole: Delivery


def together(members: Sequence[Delivery], route: str, form: Literal["array", "lines"]) -> Batch:
    """One delivery of them all, under a key of theirs. What they do not share it does not carry."""
    first = members[0]
    payloads = [member.payload for member in members]
    digest = blake2b("\0".join(member.idempotency_key for member in members).encode(), digest_size=13)
    shared = {
        name: value if all(getattr(member.event, name) == value for member in members) else None
        for name in ("traceparent", "correlationid")
        for value in [getattr(first.event, name)]
    }
    if form == "lines":
        payload, content_type = b"".join(each + b"\n" for each in payloads), "application/x-ndjson"
    else:
        payload, content_type = b"[" + b",".join(payloads) + b"]", first.content_type
        if content_type.startswith(_CLOUDEVENTS):
            content_type = content_type.replace("cloudevents+", "cloudevents-batch+", 1)
    whole = structs.replace(
        first,
        event=structs.replace(first.event, **shared),
        payload=payload,
        content_type=content_type,
        idempotency_key=f"{route}:batch-{digest.hexdigest()}",
    )
    return Batch(tuple(members), whole)


def divisible(error: CrossplantError) -> bool:
    """Whether one of the documents may be why: not for an outage, credentials, or a sink that wants time."""
    if isinstance(error, TransientError):
        return not error.outage and error.code != "http_429" and error.retry_after_s is None
    return isinstance(error, PermanentError) and not isinstance(error, Unauthorized)


def is_outage(error: CrossplantError) -> bool:
    """Whether the sink is away, which says nothing of the documents."""
    return isinstance(error, TransientError) and error.outage
