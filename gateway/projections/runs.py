"""Runs: many events of one source, type and plant as one row of the search file, not a row each.

Telemetry comes by the thousand, and nobody looks for a single reading by what is in it. Events go into a
run when their type names no business key, nothing ties them to others, and their ids grow, so that an id is
found without an index of all of them. Answers are those that rows would give.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterable, MutableMapping, Sequence
from datetime import datetime
from functools import cache
from typing import Final

import msgspec
from msgspec import Struct, inspect

from canonical import catalogue
from canonical.ports import Recorded
from gateway.projections.business_keys import NAMES

__all__ = ["FEWEST", "SPAN", "TABLES", "Body", "Run", "body_of", "keyless", "packed", "runs_of"]

FEWEST: Final = 16
"""Events that make a run; fewer have rows."""
SPAN: Final = 4096
"""A run's first and last position are less than so many apart."""

TABLES: Final = (
    """CREATE TABLE IF NOT EXISTS runs (
        first INTEGER PRIMARY KEY, last INTEGER NOT NULL, source INTEGER NOT NULL, type INTEGER NOT NULL,
        plant INTEGER NOT NULL, domain INTEGER NOT NULL, lowest REAL NOT NULL, highest REAL NOT NULL,
        low TEXT NOT NULL, high TEXT NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS runs_by_id ON runs (source, high)",
    "CREATE TABLE IF NOT EXISTS run_bodies (first INTEGER PRIMARY KEY, body BLOB NOT NULL)",
    """CREATE TABLE IF NOT EXISTS run_keys (
        value TEXT NOT NULL, first INTEGER NOT NULL, PRIMARY KEY (value, first)) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS run_keys_by_first ON run_keys (first)",
)


class Body(Struct, array_like=True, frozen=True):
    """What a run's events do not have in common, by event: place, id, subject and the two times.

    ``places`` is only the first where they follow one another. ``subject`` counts ``subjects``. Times are
    seconds since 1970 UTC; ``recorded`` is only one where all are the same, and ``times`` None where each is
    the time of recording.
    """

    places: Sequence[int]
    ids: Sequence[str]
    subjects: Sequence[str | None]
    subject: Sequence[int]
    recorded: Sequence[float]
    times: Sequence[float | None] | None

    @property
    def positions(self) -> Sequence[int]:
        """The events' places in the journal, ascending."""
        first = self.places[0]
        return self.places if len(self.places) > 1 else range(first, first + len(self.ids))

    def recorded_at(self, index: int) -> float:
        """When one was recorded."""
        return self.recorded[index if len(self.recorded) > 1 else 0]

    def time(self, index: int) -> float | None:
        """When one happened."""
        return self.recorded_at(index) if self.times is None else self.times[index]


class Run(Struct, frozen=True):
    """Events with one source, type, plant and domain; places and ids ascend."""

    source: str
    type: str
    plant: str | None
    domain: str | None
    body: Body


_encoder = msgspec.msgpack.Encoder()
_bodies = msgspec.msgpack.Decoder(Body)


def packed(body: Body) -> bytes:
    """The body as bytes."""
    return _encoder.encode(body)


def body_of(text: bytes) -> Body:
    """The body of ``packed``."""
    return _bodies.decode(text)


@cache
def keyless(type_: str) -> bool:
    """Whether the data of a type hold no business key, at no depth, whatever is in them."""
    try:
        model = catalogue.get(type_).model
    except catalogue.UnknownType:
        return False
    return not any(name in NAMES for name in _names(inspect.type_info(model), set()))


def _names(found: inspect.Type, seen: set[type]) -> Iterable[str]:
    """The names of all fields that a type can have; ``order``, a key, where they can be any."""
    match found:
        case inspect.StructType() if found.cls not in seen:
            seen.add(found.cls)
            for field in found.fields:
                yield field.encode_name
                yield from _names(field.type, seen)
        case inspect.DictType() | inspect.AnyType():
            yield "order"
        case inspect.UnionType(types=types):
            for each in types:
                yield from _names(each, seen)
        case inspect.ListType(item_type=inner) | inspect.VarTupleType(item_type=inner):
            yield from _names(inner, seen)
        case inspect.Metadata(type=inner):
            yield from _names(inner, seen)
        case _:
            return


Group = tuple[str, str, str | None, str | None]


def runs_of(
    recorded: Sequence[Recorded], newest: MutableMapping[str, str]
) -> tuple[list[Run], list[Recorded]]:
    """The runs among events, and the others. ``newest``: by source, the greatest id that a run of it had."""
    groups: dict[Group, list[Recorded]] = {}
    others: list[Recorded] = []
    for item in recorded:
        event = item.event
        if event.correlationid is None and event.causationid is None and keyless(event.type):
            key = (event.source, event.type, event.plantid, event.domain)
            found = groups.get(key)
            if found is None:
                groups[key] = [item]
            else:
                found.append(item)
        else:
            others.append(item)
    runs: list[Run] = []
    for key, items in groups.items():
        for part in _parts(items):
            body = _body(part) if len(part) >= FEWEST else None
            if body is None or body.ids[0] <= newest[key[0]]:
                others += part
            else:
                newest[key[0]] = body.ids[-1]
                runs.append(Run(*key, body))
    return runs, others


def _parts(items: list[Recorded]) -> Iterable[list[Recorded]]:
    """The events of a group, cut where they would span too much."""
    first = items[0].position
    if items[-1].position - first < SPAN:
        return [items]
    by_span = itertools.groupby(items, key=lambda item: (item.position - first) // SPAN)
    return [list(part) for _, part in by_span]


def _body(items: Sequence[Recorded]) -> Body | None:
    """What they do not have in common; None where the ids do not grow, or a moment is missing."""
    events = [item.event for item in items]
    ids = [event.id for event in events]
    if not all(map(operator.lt, ids, itertools.islice(ids, 1, None))):
        return None
    known: dict[str | None, int] = {}
    subject = [known.setdefault(event.subject, len(known)) for event in events]
    moments: dict[datetime | None, float] = {}
    recorded = [_seconds(event.recordedtime, moments) or 0.0 for event in events]
    first, last = items[0].position, items[-1].position
    same = all(event.time == event.recordedtime for event in events)
    return Body(
        places=[first] if last - first + 1 == len(items) else [item.position for item in items],
        ids=ids,
        subjects=list(known),
        subject=subject,
        recorded=recorded[:1] if len(set(recorded)) == 1 else recorded,
        times=None if same else [_seconds(event.time, moments) for event in events],
    )


def _seconds(moment: datetime | None, known: dict[datetime | None, float]) -> float | None:
    """The moment as seconds since 1970; many events share one."""
    if moment is None:
        return None
    found = known.get(moment)
    if found is None:
        found = known[moment] = moment.timestamp()
    return found
