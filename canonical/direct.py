"""Documents straight into events, where a rule says no more than which member becomes which field.

Most rules for telemetry do. Such a rule is a type: its members are read by one typed decoding, without a
JSON value in between, and what was found out about a subject is not found out again. Whatever is out of
the ordinary (a member is missing, null or to be converted, a text has odd characters, the catalogue
refuses the data) is left to ``canonical.record``, which says what is wrong, if anything is.

``tests/canonical/test_direct.py`` holds both against each other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final

import msgspec
from msgspec import Struct

from canonical import catalogue
from canonical.attributes import attribute_text, timestamp
from canonical.event import Event
from canonical.expression import Expression
from canonical.jsontext import exact_float
from canonical.ports import RawMessage
from canonical.shapes import Kind, Shape
from canonical.spec import FormatContext

__all__ = ["Direct", "direct"]

Direct = Callable[[bytes, RawMessage, str], Event | None]
"""(document, its message, the id that no rule gives) → the complete event, or None: take the long way."""

_LONGEST: Final = 16_384
"""Bytes of a document that is read this way; a longer one is no measurement."""
_REMEMBERED: Final = 10_000
_LONGEST_SUBJECT: Final = 200
_INT64: Final = 2**63
_ESCAPED: Final = rb"\u"
"""Odd characters, U+0000 and halves of surrogate pairs among them."""
_ATTRIBUTES: Final = ("subject", "id", "correlationid", "time")
_KINDS: Final[Mapping[Kind, frozenset[type]]] = {
    "decimal": frozenset({str, bool}),
    "number": frozenset({int, float, bool}),
    "integer": frozenset({int, bool}),
    "time": frozenset({str}),
    "date": frozenset({str}),
    "other": frozenset({str, int, float, bool}),
}
"""Types of JSON values that a kind of field takes as they are. Text is told by the decoder."""


class _Column(Struct, frozen=True):
    """A value that is read: the member that it is, or a constant (``member`` is None)."""

    name: str
    member: str | None
    constant: Any
    kind: Kind


def direct(
    suffix: str,
    data: Mapping[str, Any],
    shape: Shape,
    context: FormatContext,
    attributes: Mapping[str, Expression],
    *,
    max_depth: int,
) -> Direct | None:
    """How a rule's documents are read, or None where it takes more.

    ``data`` are its compiled fields, ``attributes`` the event's that it gives. Times are RFC 3339.
    """
    fields = [_field(name, node, shape) for name, node in data.items()]
    told = [_attribute(name, attributes[name]) for name in _ATTRIBUTES if name in attributes]
    if len(told) < len(attributes):
        return None
    known = [each for each in (*fields, *told) if each is not None]
    if not fields or len(known) < len(fields) + len(told):
        return None
    named = catalogue.subject_fields(suffix) & data.keys()
    if "subject" not in attributes and not named:
        return None
    return _reading(suffix, known, len(fields), sorted(named), context, max_depth)


def _field(name: str, node: Any, shape: Shape) -> _Column | None:
    field = shape.fields.get(name)
    match node:
        case Expression(path=("payload", member)) if field and field.shape.kind in ("text", *_KINDS):
            return _Column(name, member, None, field.shape.kind)
        case str() | int() | float() if field:
            return _Column(name, None, node, field.shape.kind)
        case _:
            return None


def _attribute(name: str, node: Expression) -> _Column | None:
    match node.path:
        case ("payload", member):
            return _Column(name, member, None, "text")
        case _:
            return None


def _reader(columns: Sequence[_Column]) -> Callable[[bytes], tuple[Any, ...]]:
    """What reads the columns' values, in their order. Raises what msgspec does."""
    members: dict[str, str] = {}
    kinds: dict[str, Any] = {}
    constants: dict[str, Any] = {}
    order = []
    for index, column in enumerate(columns):
        if column.member is None:
            order.append(f"constant{index}")
            constants[order[-1]] = column.constant
            continue
        slot = members.setdefault(column.member, f"member{len(members)}")
        order.append(slot)
        if column.kind == "text":
            kinds[slot] = str
        kinds.setdefault(slot, Any)
    made = msgspec.defstruct(
        "Document",
        [*kinds.items(), *((name, Any, value) for name, value in constants.items())],
        # No document that is read here has a member of a constant's name, which is not ASCII.
        rename={slot: member for member, slot in members.items()} | {name: f"°{name}" for name in constants},
        kw_only=True,
        gc=False,
    )
    decode = msgspec.json.Decoder(made, float_hook=exact_float).decode
    values = attrgetter(*order)
    return (lambda body: values(decode(body))) if len(order) > 1 else (lambda body: (values(decode(body)),))


def _reading(
    suffix: str,
    columns: Sequence[_Column],
    fields: int,
    named: Sequence[str],
    context: FormatContext,
    max_depth: int,
) -> Direct:
    entry, read, identified = catalogue.get(suffix), _reader(columns), _Subjects(suffix, context.plant)
    model, type_, domain, plant, source = entry.model, entry.name, entry.domain, context.plant, context.source
    names = [column.name for column in columns[:fields]]
    checked = [
        (index, _KINDS[column.kind])
        for index, column in enumerate(columns)
        if column.member is not None and column.kind != "text"
    ]
    at = {column.name: fields + index for index, column in enumerate(columns[fields:])}
    at_subject, at_id, at_correlation, at_time = (at.get(name) for name in _ATTRIBUTES)

    def event(body: bytes, raw: RawMessage, identity: str) -> Event | None:
        if len(body) > _LONGEST or not body.isascii() or _ESCAPED in body:
            return None
        if len(body) >= 2 * max_depth and body.count(b"[") + body.count(b"{") > max_depth:
            return None
        correlation, moment = None, raw.received_at
        try:
            values = read(body)
            for index, kinds in checked:
                value = values[index]
                kind = value.__class__
                if kind not in kinds or (kind is int and not -_INT64 <= value < _INT64):
                    return None
            data = dict(zip(names, values))  # noqa: B905 - the attributes come after the last name
            msgspec.convert(data, model)
            subject, key = identified.of(None if at_subject is None else values[at_subject], data, named)
            if at_id is not None:
                identity = attribute_text(values[at_id])
            if at_correlation is not None:
                correlation = attribute_text(values[at_correlation])
            if at_time is not None:
                moment = timestamp(values[at_time])
        except (ValueError, RecursionError):  # msgspec's are ValueErrors
            return None
        return Event(
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
            recordedtime=raw.received_at,
            srcmsgid=raw.id,
            data=data,
        )

    return event


class _Subjects:
    """Subjects and partition keys of events of one type and plant, remembered by what they are made of."""

    def __init__(self, suffix: str, plant: str | None) -> None:
        self._suffix, self._plant = suffix, plant
        self._known: dict[Any, tuple[str, str]] = {}

    def of(self, told: str | None, data: dict[str, Any], named: Sequence[str]) -> tuple[str, str]:
        """(subject, partition key); ``named``: fields of the data that have a say. Raises ValueError."""
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
