"""Dead letters as the API shows them: whose they are, and how much of each is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import structs

from canonical import catalogue
from deadletter.entry import DeadLetter
from gateway.api.answers import moment, readable
from gateway.auth import Principal
from gateway.hub import Hub

__all__ = ["event_of", "full_type", "seen", "sees", "summary"]

_LISTED_BYTES: Final = 2000
_READ_AT_ONCE: Final = 200


def full_type(name: str | None) -> str | None:
    """A type's full name; what is no type of ours is looked for as it is."""
    try:
        return None if name is None else catalogue.full_name(name)
    except catalogue.UnknownType:
        return name


async def seen(
    hub: Hub, principal: Principal, filters: Mapping[str, object], before: int | None, limit: int
) -> list[DeadLetter]:
    """The newest that may be seen; those of other domains are passed over."""
    plants = None if principal.plants is None else sorted(principal.plants)
    found: list[DeadLetter] = []
    while len(found) < limit:
        size = limit - len(found) if principal.domains is None else _READ_AT_ONCE
        read = await hub.dead_letters.page(filters, plants=plants, before=before, limit=size)
        found += [letter for letter in read if sees(principal, letter)]
        if len(read) < size:
            break
        before = read[-1].id
    return found[:limit]


def sees(principal: Principal, letter: DeadLetter) -> bool:
    """Whether it is of the key's plants and domains; of a message without a type nobody knows the domain."""
    try:
        domain: str = catalogue.get(letter.type).domain
    except catalogue.UnknownType:
        domain = "-"
    return principal.sees(letter.plant or None, domain)


def summary(letter: DeadLetter) -> dict[str, Any]:
    """A dead letter for a list: its bytes and its event only when they are small."""
    told = {
        name: value
        for name, value in structs.asdict(letter).items()
        if name not in {"body", "event", "errors", "first_at", "last_at", "resolved_at"}
    }
    return {
        **told,
        "fingerprint": letter.fingerprint,
        "errors": [{"pointer": pointer, "detail": detail} for pointer, detail in letter.errors],
        "first_at": moment(letter.first_at),
        "last_at": moment(letter.last_at),
        "resolved_at": moment(letter.resolved_at),
        **readable(letter.body, _LISTED_BYTES),
        "event": event_of(letter, _LISTED_BYTES),
    }


def event_of(letter: DeadLetter, most: int | None = None) -> msgspec.Raw | None:
    """The event as it is kept, CloudEvents JSON."""
    if letter.event is None or (most is not None and len(letter.event) > most):
        return None
    return msgspec.Raw(letter.event)
