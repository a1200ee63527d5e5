"""Whether an event that somebody else made may come in: its type, its data, its plant."""

from __future__ import annotations

from msgspec import structs

from canonical import catalogue
from canonical.attributes import Fault, not_valid
from canonical.event import Event

__all__ = ["admitted", "event_faults"]


def event_faults(event: Event, *, plant: str | None = None, at: str = "") -> list[Fault]:
    """All that the catalogue and the plant have against an event; pointers begin with ``at``.

    ``plant``: the only one that the event may be of; None allows all.
    """
    faults: list[Fault] = []
    if plant is not None and event.plantid not in (None, plant):
        faults.append((f"{at}/plantid", f"must be {plant!r}, the sender's plant, not {event.plantid!r}"))
    try:
        entry = catalogue.get(event.type)
    except catalogue.UnknownType as error:
        return [*faults, (f"{at}/type", str(error))]
    if event.domain not in (None, entry.domain):
        faults.append((f"{at}/domain", f"must be {entry.domain!r} for this type, not {event.domain!r}"))
    if event.data_base64 is not None:
        faults.append((f"{at}/data_base64", "must not be there: events of this type have JSON data"))
    else:
        found = catalogue.validate(entry.suffix, event.data)
        faults += [(f"{at}{fault.pointer}", fault.detail) for fault in found]
    return faults or _key_faults(entry, event, plant, at)


def _key_faults(entry: catalogue.EventType, event: Event, plant: str | None, at: str) -> list[Fault]:
    """Whether the event says what it is about, without which it has no place in any order."""
    try:
        catalogue.partition_key(entry.suffix, event.data, event.plantid or plant, event.subject)
    except ValueError as error:
        return [(f"{at}/subject", str(error))]
    return []


def admitted(event: Event, *, plant: str | None = None, at: str = "") -> Event:
    """The event with its plant filled in. Raises Invalid with all faults as (pointer, detail)."""
    faults = event_faults(event, plant=plant, at=at)
    if faults:
        raise not_valid(faults)
    return structs.replace(event, plantid=plant) if plant and event.plantid is None else event
