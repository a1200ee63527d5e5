"""Documents of one rule, many at a time: what they have in common is asked once, members are columns.

A call for each document costs more than its decoding. Here msgspec decodes all of them in one, and checks
are made over all values of a member. Whatever is out of the ordinary with one document sends all of them
the usual way, one by one (``canonical.direct``), so that both give the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import asdict

from canonical import catalogue
from canonical.attributes import attribute_text, timestamp
from canonical.event import Event
from canonical.jsontext import exact_float
from canonical.ports import RawMessage

__all__ = ["BACKSLASH", "INT64", "Recipe", "Subjects", "many"]

INT64: Final = 2**63
_REMEMBERED: Final = 10_000
_LONGEST_SUBJECT: Final = 200
BACKSLASH: Final = b"\\"
_NUMBERS: Final = bytes.maketrans(
    bytes(range(256)),
    bytes(48 if code in b"0123456789." else 101 if code in b"eE" else 32 for code in range(256)),
)
"""Shows where numbers may stand."""
_BODY, _ID, _RECEIVED_AT = attrgetter("body"), attrgetter("id"), attrgetter("received_at")


class Recipe(Struct, frozen=True, kw_only=True):
    """How the documents of a rule become events.

    ``document``: the members that are read, as attributes; ``model``: the catalogue's. ``checked``: fields
    that take some types of values; ``extra``: members that are attributes of the event only; ``places``:
    where subject, id, correlationid and time are, if anywhere. ``odd``: whether a document that is longer
    than ``usual_bytes``, or has a backslash, must go the long way.
    """

    document: type[Struct]
    model: Any
    checked: Sequence[tuple[str, frozenset[type]]]
    extra: Sequence[str]
    subjects: Subjects
    places: Mapping[str, str | None]
    source: str
    type: str
    domain: str
    plant: str | None
    usual_bytes: int
    odd: Callable[[bytes], bool]


class Subjects:
    """Subjects and partition keys of events of one type and plant, remembered by what they are made of."""

    def __init__(self, suffix: str, plant: str | None, named: Sequence[str]) -> None:
        """``named``: fields of the data that have a say."""
        self._suffix, self._plant, self._named = suffix, plant, named
        self._known: dict[Any, tuple[str, str]] = {}

    def of(self, told: str | None, data: dict[str, Any]) -> tuple[str, str]:
        """(subject, partition key). Raises ValueError."""
        named = self._named
        made_of = (told, *[(data[name], data[name].__class__) for name in named]) if named else told
        found = self._known.get(made_of)
        if found is None:
            subject = attribute_text(told or catalogue.default_subject(self._suffix, data))
            found = subject, catalogue.partition_key(self._suffix, data, self._plant, subject)
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            if len(subject) <= _LONGEST_SUBJECT:
                self._known[made_of] = found
        return found

    def of_all(self, told: Sequence[str | None], datas: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
        """``of`` for each."""
        if not self._named:
            known = list(map(self._known.get, told))
            if None not in known:
                return known  # type: ignore[return-value]
        return list(map(self.of, told, datas))


def many(recipe: Recipe) -> Callable[[Sequence[RawMessage]], list[Event] | None]:
    """Messages → the event of each, whose own id is the message's; None: take them one by one."""
    quick = msgspec.json.Decoder(recipe.document).decode_lines
    exact = msgspec.json.Decoder(recipe.document, float_hook=exact_float).decode_lines
    models, checked, extra = list[recipe.model], recipe.checked, recipe.extra  # type: ignore[name-defined]
    at_subject, at_id, at_correlation, at_time = (
        attrgetter(place) if (place := recipe.places[name]) else None
        for name in ("subject", "id", "correlationid", "time")
    )
    source, type_, plant, domain = recipe.source, recipe.type, recipe.plant, recipe.domain

    def events(raws: Sequence[RawMessage]) -> list[Event] | None:
        lines = _lines(list(map(_BODY, raws)), recipe)
        if lines is None:
            return None
        nothing = [None] * len(raws)
        try:
            documents = (exact if _may_be_inexact(lines) else quick)(lines)
            datas = list(map(asdict, documents))
            if len(datas) != len(raws) or not all(_taken(datas, name, kinds) for name, kinds in checked):
                return None
            for name in extra:
                for data in datas:
                    del data[name]
            msgspec.convert(datas, models)
            told = map(at_subject, documents) if at_subject else nothing
            subjects = recipe.subjects.of_all(list(told), datas)
            ids, received = list(map(_ID, raws)), list(map(_RECEIVED_AT, raws))
            identities = list(map(attribute_text, map(at_id, documents))) if at_id else ids
            correlations = (
                list(map(attribute_text, map(at_correlation, documents))) if at_correlation else nothing
            )
            moments = list(map(timestamp, map(at_time, documents))) if at_time else received
        except (ValueError, RecursionError):  # msgspec's are ValueErrors
            return None
        return [
            Event(
                specversion="1.0",
                id=identity,
                source=source,
                type=type_,
                time=moment,
                subject=subject,
                plantid=plant,
                domain=domain,
                partitionkey=key,
                correlationid=correlation,
                recordedtime=received_at,
                srcmsgid=own,
                data=data,
            )
            for identity, moment, (subject, key), correlation, received_at, own, data in zip(
                identities, moments, subjects, correlations or nothing, received, ids, datas, strict=True
            )
        ]

    return events


def _lines(bodies: Sequence[bytes], recipe: Recipe) -> bytes | None:
    """The documents, one a line; None when one is odd, or might be taken for a part of its neighbour.

    Each begins with a brace and ends with one. What begins and ends so and is no whole value cannot go on
    with the next: neither a brace nor the line's end stands where it breaks off (RFC 8259).
    """
    lines, others = b"\n".join(bodies), len(bodies) - 1
    if lines.count(b"}\n{") != others or lines.count(b"\n") != others:
        return None
    if lines[:1] != b"{" or lines[-1:] != b"}" or not lines.isascii():
        return None
    if BACKSLASH in lines:
        return None if any(map(recipe.odd, bodies)) else lines
    if len(max(bodies, key=len)) <= recipe.usual_bytes:
        return lines
    return None if any(map(recipe.odd, bodies)) else lines


def _may_be_inexact(lines: bytes) -> bool:
    """Whether a number may stand there that ``exact_float`` has to look at: long, or with an exponent."""
    shown = lines.translate(_NUMBERS)
    return b"0e" in shown or b"0000000000000000" in shown


def _taken(datas: Sequence[dict[str, Any]], name: str, kinds: frozenset[type]) -> bool:
    """Whether all values of a field are of types that it takes as they are."""
    values = [data[name] for data in datas]
    found = set(map(type, values))
    if not found <= kinds:
        return False
    whole = [value for value in values if value.__class__ is int] if int in found else ()
    return not whole or (min(whole) >= -INT64 and max(whole) < INT64)
