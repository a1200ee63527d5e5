"""Which events of a batch are new, at which positions, and what that makes of its messages."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from canonical.event import Event, hash_number, payload_hashes
from canonical.ports import Outcome, RawMessage
from router.journal import Message
from router.journal.identities import Identities

__all__ = ["Taken", "take"]


class Taken(Struct, frozen=True, kw_only=True):
    """One outcome per message; the new events, which have the positions from ``first`` on, and their raws."""

    outcomes: list[Outcome]
    first: int
    events: list[Event]
    raws: list[RawMessage]


def take(identities: Identities, messages: Sequence[Message], first: int) -> Taken:
    """Tells new from known, and remembers what is new at the positions from ``first`` on."""
    return _all_new(identities, messages, first) or _one_by_one(identities, messages, first)


def _all_new(identities: Identities, messages: Sequence[Message], first: int) -> Taken | None:
    """The usual batch: events of one source with growing ids, and nothing that could not be read."""
    events = [event for message in messages for event in message.events]
    if not events or len({event.source for event in events}) > 1:
        return None
    ids, number = [event.id for event in events], identities.number(events[0].source)
    if not identities.growing(number, ids):
        return None
    identities.remember_run(number, ids, payload_hashes(events), first)
    if all([len(message.events) == 1 and not message.invalid for message in messages]):  # noqa: C419 - faster
        outcomes = [
            Outcome(status="accepted", positions=(position,))
            for position in range(first, first + len(events))
        ]
        return Taken(
            outcomes=outcomes, first=first, events=events, raws=[message.raw for message in messages]
        )
    outcomes, position = [], first
    for message in messages:
        outcomes.append(_outcome(message, range(position, position + len(message.events)), None, []))
        position += len(message.events)
    return Taken(
        outcomes=outcomes,
        first=first,
        events=events,
        raws=[message.raw for message in messages if message.events],
    )


def _one_by_one(identities: Identities, messages: Sequence[Message], first: int) -> Taken:
    """Looks up every identity that may have been there."""
    events = [event for message in messages for event in message.events]
    keys = [(identities.number(event.source), event.id) for event in events]
    hashes = list(map(hash_number, payload_hashes(events)))
    known = identities.known(keys) if keys else {}
    here: dict[tuple[int, str], tuple[int, int]] = {}
    outcomes: list[Outcome] = []
    fresh: list[Event] = []
    kept: list[RawMessage] = []
    rows: list[tuple[int, str, int, int]] = []
    index = 0
    for message in messages:
        positions: list[int] = []
        first_known: int | None = None
        conflicts: list[tuple[str, str]] = []
        for event in message.events:
            seen = known.get(index) or here.get(keys[index])
            if seen is None:
                position = first + len(fresh)
                here[keys[index]] = (hashes[index], position)
                rows.append((*keys[index], hashes[index], position))
                fresh.append(event)
                positions.append(position)
            elif seen[0] == hashes[index]:
                first_known = first_known or seen[1]
            else:
                conflicts.append(
                    ("/id", f"{event.id!r} of {event.source!r} is at position {seen[1]} with other data")
                )
            index += 1
        outcomes.append(_outcome(message, positions, first_known, conflicts))
        if positions:
            kept.append(message.raw)
    if rows:
        identities.remember(rows)
    return Taken(outcomes=outcomes, first=first, events=fresh, raws=kept)


def _outcome(
    message: Message, positions: Sequence[int], known: int | None, conflicts: list[tuple[str, str]]
) -> Outcome:
    errors = tuple(error for fault in message.invalid for error in (fault.errors or (("", fault.message),)))
    if positions:
        return Outcome(status="accepted", positions=tuple(positions), errors=tuple(conflicts) + errors)
    if message.invalid:
        return Outcome(status="invalid", errors=errors + tuple(conflicts))
    if conflicts:
        return Outcome(status="conflict", errors=tuple(conflicts))
    if known is not None:
        return Outcome(status="duplicate", positions=(known,))
    return Outcome(status="ignored")
