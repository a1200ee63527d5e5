"""Events of an interchange: one that it came in, and one for each document of it.

Ids are the same whenever the same interchange is read: sender, control reference, date, message reference,
and the ordinal of the document in its message. The interchange is the cause of its documents' events:
``causationid`` is its event's id.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import quote

from adapters.edi.interchange import Group, Interchange
from adapters.edi.judgement import Judged
from canonical import catalogue
from canonical.errors import Invalid
from canonical.event import Event
from canonical.ports import RawMessage
from canonical.spec import FormatContext

__all__ = ["INTERCHANGE", "TEST", "document_events", "fault", "interchange_event"]

INTERCHANGE: Final = "integration.interchange.received"
TEST: Final = "testindicator"
"""The extension that marks the events of a test interchange, true; no live sink may get them."""


def interchange_event(judged: Judged, raw: RawMessage, context: FormatContext) -> Event | None:
    """The event that an interchange came in, and what became of it; None if its header names too little.

    Taken again, an accepted interchange has the id that it had: the journal knows it as a duplicate. A
    rejected one has an id of its own each time that it is sent, so that a corrected one can follow.
    """
    interchange = judged.interchange
    if not interchange.identified:
        return None
    data = _data(judged)
    return Event(
        id=_interchange_id(judged, raw),
        source=context.source,
        type=catalogue.full_name(INTERCHANGE),
        time=raw.received_at,
        subject=catalogue.default_subject(INTERCHANGE, data),
        plantid=context.plant,
        domain=catalogue.get(INTERCHANGE).domain,
        partitionkey=catalogue.partition_key(INTERCHANGE, data, context.plant),
        srcmsgid=raw.id,
        data=data,
        extensions=_extensions(interchange),
    )


def document_events(judged: Judged, raw: RawMessage, context: FormatContext) -> Iterator[Event]:
    """The events of what an accepted interchange says, in order."""
    cause, extensions = judged.interchange.identity, _extensions(judged.interchange)
    prefixes: dict[int, str] = {}
    counted: Counter[int] = Counter()
    for message, document in judged.documents:
        counted[message.position] += 1
        if message.position not in prefixes:
            parts = [message.group, message.reference] if message.group else [message.reference]
            prefixes[message.position] = "/".join([cause, *(quote(part, safe="") for part in parts)])
        subject = catalogue.default_subject(document.suffix, document.data)
        yield Event(
            id=f"{prefixes[message.position]}/{counted[message.position]}",
            source=context.source,
            type=catalogue.full_name(document.suffix),
            time=document.at or raw.received_at,
            subject=subject,
            plantid=context.plant,
            domain=catalogue.get(document.suffix).domain,
            partitionkey=catalogue.partition_key(document.suffix, document.data, context.plant, subject),
            causationid=cause,
            srcmsgid=raw.id,
            data=document.data,
            extensions=extensions,
        )


def fault(judged: Judged) -> Invalid:
    """The error of a rejected interchange: every finding with its place, the errors first."""
    interchange = judged.interchange
    found = sorted(interchange.findings.all, key=lambda one: one.severity != "error")
    first = found[0]
    name = f"interchange {interchange.reference} of {interchange.sender}: " if interchange.identified else ""
    errors = sum(one.severity == "error" for one in found)
    more = f" (and {errors - 1} more errors)" if errors > 1 else ""
    return Invalid(
        f"{name}{first.message}, at {first.place}{more}",
        code=first.code,
        context={
            "standard": interchange.standard,
            "sender": interchange.sender,
            "receiver": interchange.receiver,
            "reference": interchange.reference,
        },
        errors=[(one.place, f"{one.code}: {one.message}") for one in found],
    )


def _interchange_id(judged: Judged, raw: RawMessage) -> str:
    identity = judged.interchange.identity
    if judged.accepted:
        return identity
    return f"{identity}/rejected/{quote(raw.id, safe='')}/{judged.interchange.place.offset}"


def _data(judged: Judged) -> dict[str, Any]:
    """The data of the interchange's event, with what an answer to it needs."""
    interchange = judged.interchange
    data: dict[str, Any] = {
        "standard": interchange.standard,
        "reference": interchange.reference,
        "sender": interchange.sender,
        "receiver": interchange.receiver,
        "outcome": "accepted" if judged.accepted else "rejected",
        "groups": [_group(group) for group in interchange.groups],
    }
    for name in ("sender_qualifier", "receiver_qualifier", "prepared", "version"):
        if value := getattr(interchange, name):
            data[name] = value
    if found := interchange.findings.all:
        data["findings"] = [finding.to_data() for finding in found]
    if interchange.test:
        data["test"] = True
    return data


def _group(group: Group) -> dict[str, Any]:
    told = {name: getattr(group, name) for name in ("type", "reference", "version", "sender", "receiver")}
    messages = [
        {**message.to_json(), "position": message.position, "segments": message.segments}
        for message in group.messages
    ]
    return {name: value for name, value in told.items() if value} | {"messages": messages}


def _extensions(interchange: Interchange) -> dict[str, str | int | bool]:
    return {TEST: True} if interchange.test else {}
