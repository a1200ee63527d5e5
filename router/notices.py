"""Events that the hub itself publishes about what happened on its routes.

Their ids are made from what they tell, so that a notice is published once however often the
work is repeated after a crash. No notice is published about a notice: that could go on for ever.
"""

from __future__ import annotations

from typing import Any

import msgspec

from canonical import catalogue
from canonical.errors import CrossplantError, Unresolved
from canonical.event import Event, encode, utc_now
from canonical.ports import RawMessage
from deadletter.entry import DeadLetter
from router.journal import Message

__all__ = ["HUB", "dead_lettered", "is_notice", "notice", "notice_message", "unresolved"]

HUB = "/hub"
"""CloudEvents source of the hub's own events; ``/hub/routes/{route}`` for a route's."""


def is_notice(event: Event) -> bool:
    """Whether the hub said it."""
    return event.source == HUB or event.source.startswith(f"{HUB}/")


def notice(suffix: str, source: str, identifier: str, cause: Event | None, data: dict[str, Any]) -> Event:
    """An event of the hub itself; ``cause`` gives it plant and correlation."""
    kind, now = catalogue.get(suffix), utc_now()
    subject = catalogue.default_subject(suffix, data)
    return Event(
        id=identifier,
        source=source,
        type=kind.name,
        time=now,
        recordedtime=now,
        subject=subject,
        plantid=cause.plantid if cause else None,
        domain=kind.domain,
        partitionkey=catalogue.partition_key(suffix, data, cause.plantid if cause else None, subject),
        correlationid=cause.correlationid if cause else None,
        causationid=cause.id if cause else None,
        srcmsgid=identifier,
        data=data,
    )


def unresolved(route: str, position: int, event: Event, error: CrossplantError | None) -> Event | None:
    """``masterdata.mapping.unresolved`` for a parked event."""
    if not isinstance(error, Unresolved):
        return None
    data = {"domain": error.domain, "system": error.system, "value": error.value, "blocked_event": event.id}
    source = f"{HUB}/routes/{route}"
    return notice(
        "masterdata.mapping.unresolved", source, f"unresolved-{position}-{error.value}", event, data
    )


def dead_lettered(letter: DeadLetter, event: Event | None) -> Event:
    """``integration.message.dead_lettered`` for a delivery (with its event) or a refused message."""
    data = {
        "message": event.id if event else letter.message_id,
        "type": event.type if event else None,
        "route": letter.route or None,
        "stage": letter.stage,
        "error_class": letter.code,
        "error": letter.error,
        "attempts": letter.attempts,
    }
    source = f"{HUB}/routes/{letter.route}" if letter.route else f"{HUB}/adapters/{letter.adapter}"
    where = letter.position if letter.position is not None else letter.message_id
    made = notice("integration.message.dead_lettered", source, f"dead-{where}-{letter.attempts}", event, data)
    return made if event else msgspec.structs.replace(made, plantid=letter.plant or None)


def notice_message(told: Event) -> Message:
    """The notice as the journal takes it; its raw message is the event itself."""
    raw = RawMessage(adapter="hub", id=told.id, body=encode(told), received_at=told.recordedtime or utc_now())
    return Message(raw=raw, events=[told])
