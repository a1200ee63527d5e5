"""The entry of an interchange for the ledger, and the event that it came again."""

from __future__ import annotations

from functools import partial
from hashlib import blake2b
from typing import Any, Final
from urllib.parse import quote

from msgspec import structs

from adapters.edi.interchange import Interchange
from adapters.edi.judgement import Judged
from canonical.event import Event
from canonical.ledger import Earlier, InterchangeEntry
from canonical.ports import RawMessage

__all__ = ["entry_of"]

_TIME_DIGITS: Final = 4


def entry_of(judged: Judged, event: Event, raw: RawMessage) -> InterchangeEntry:
    """The entry of an interchange that names its sender, receiver and reference.

    The date is that of its header, without the time: who sends one again may well stamp it anew.
    """
    interchange = judged.interchange
    return InterchangeEntry(
        standard=interchange.standard,
        sender=interchange.sender,
        receiver=interchange.receiver,
        reference=interchange.reference,
        date=interchange.prepared[:-_TIME_DIGITS],
        test=interchange.test,
        accepted=judged.accepted,
        digest=_digest(interchange, raw.body),
        answers=judged.answers,
        repeated=partial(_repeated, event, interchange, raw),
    )


def _digest(interchange: Interchange, body: bytes) -> bytes:
    """Of its messages as they stand in the file; the envelope may differ when it is sent again."""
    messages = interchange.messages
    start = min((message.start for message in messages), default=0)
    end = max((message.end for message in messages), default=0)
    return blake2b(body[start:end], digest_size=16).digest()


def _repeated(event: Event, interchange: Interchange, raw: RawMessage, earlier: Earlier) -> Event:
    """The event of an interchange that was taken in before: one for each time that it comes."""
    findings = [*event.data.get("findings", ()), _finding(interchange, earlier)]
    ordinal = f"{quote(raw.id, safe='')}/{interchange.place.offset}"
    return structs.replace(
        event,
        id=f"{interchange.identity}/duplicate/{ordinal}",
        data={**event.data, "outcome": "duplicate", "findings": findings},
        causationid=interchange.identity,
    )


def _finding(interchange: Interchange, earlier: Earlier) -> dict[str, Any]:
    """That it was there before, when, and whether it says the same."""
    at = earlier.at.isoformat(timespec="seconds")
    where = f" (position {earlier.position})" if earlier.position else ""
    told = (
        f"interchange {interchange.reference!r} was taken in before, {at}{where}; it is not processed again"
    )
    if not earlier.same:
        told += ". Its content is another than then: ask its sender which is right, and for a new reference"
    place = interchange.place
    return {
        "code": "interchange_repeated" if earlier.same else "interchange_differs",
        "severity": "warning" if earlier.same else "error",
        "message": told,
        "segment": place.tag,
        "position": place.position,
        "offset": place.offset,
    }
