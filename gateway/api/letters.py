"""Dead letters as the API shows them: whose they are, and how much of each is told."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec
from msgspec import structs

from canonical import catalogue
from canonical.errors import CrossplantError
from deadletter.entry import DeadLetter
from gateway.api.answers import moment, readable
from gateway.auth import Principal, forbidden
from gateway.hub import Hub

__all__ = ["act_on_each", "event_of", "full_type", "one", "plants_of", "seen", "seen_by", "summary"]

_LISTED_BYTES: Final = 2000
_READ_AT_ONCE: Final = 200
_ACTED_ON: Final = 500


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
    plants, sees = plants_of(principal), seen_by(principal)
    found: list[DeadLetter] = []
    while len(found) < limit:
        size = limit - len(found) if principal.domains is None else _READ_AT_ONCE
        read = await hub.dead_letters.page(filters, plants=plants, before=before, limit=size)
        found += [letter for letter in read if sees(letter.plant, letter.type)]
        if len(read) < size:
            break
        before = read[-1].id
    return found[:limit]


def seen_by(principal: Principal) -> Callable[[str, str], bool]:
    """(plant, type) → whether dead letters of these are of the key's plants and domains. Of a message without
    a type nobody knows the domain."""

    def sees(plant: str, type_: str) -> bool:
        try:
            domain: str = catalogue.get(type_).domain
        except catalogue.UnknownType:
            domain = "-"
        return principal.sees(plant or None, domain)

    return sees


def plants_of(principal: Principal) -> list[str] | None:
    """The key's plants as the store filters by them; None: all."""
    return None if principal.plants is None else sorted(principal.plants)


async def one(hub: Hub, principal: Principal, number: int) -> DeadLetter:
    """The dead letter, if it may be seen. Raises LookupError, Problem (403)."""
    letter = await hub.dead_letters.show(number)
    if not seen_by(principal)(letter.plant, letter.type):
        raise forbidden("the dead letter is of a plant or domain that is not the key's")
    return letter


async def act_on_each(
    hub: Hub,
    principal: Principal,
    filters: Mapping[str, object],
    act: Callable[[int], Awaitable[DeadLetter]],
    *,
    within_s: float,
) -> tuple[list[tuple[int, DeadLetter | CrossplantError]], int]:
    """Acts on the newest 500 open ones, the oldest of them first; returns what came of each, and how many are
    left, at least. The list is fixed before the first act, so that what fails anew is not tried twice."""
    found = await seen(hub, principal, {**filters, "status": "open"}, None, _ACTED_ON + 1)
    deadline = time.monotonic() + within_s
    results: list[tuple[int, DeadLetter | CrossplantError]] = []
    for letter in reversed(found[:_ACTED_ON]):
        if time.monotonic() > deadline:
            break
        try:
            results.append((letter.id, await act(letter.id)))
        except CrossplantError as error:  # of this one; the others are tried all the same
            results.append((letter.id, error))
    return results, len(found) - len(results)


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
