"""Documents straight into events, where a rule says no more than which member becomes which field.

Most rules for telemetry do. Such a rule is a type: its members are read by one typed decoding, without a
JSON value in between, and what was found out about a subject is not found out again. Whatever is out of
the ordinary (a member is missing, null or to be converted, a text has odd characters, the catalogue
refuses the data) is left to ``canonical.record``, which says what is wrong, if anything is.

``tests/canonical/test_direct.py`` holds both against each other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Struct
from msgspec.structs import asdict

from canonical import catalogue
from canonical.attributes import attribute_text, timestamp
from canonical.directmany import BACKSLASH, INT64, Recipe, Subjects, many
from canonical.event import Event
from canonical.expression import Expression
from canonical.jsontext import exact_float
from canonical.ports import RawMessage
from canonical.shapes import Kind, Shape
from canonical.spec import FormatContext

__all__ = ["Direct", "direct"]


class Direct(NamedTuple):
    """``one``: (document, its message, the id that no rule gives) → the complete event, or None: take the
    long way. ``many``: messages → the event of each, or None when one of them may have to."""

    one: Callable[[bytes, RawMessage, str], Event | None]
    many: Callable[[Sequence[RawMessage]], list[Event] | None]


_LONGEST: Final = 16_384
"""Bytes of a document that is read this way; a longer one is no measurement."""
_ESCAPED: Final = rb"\u"
"""Odd characters, U+0000 and halves of surrogate pairs among them."""
_ORDER: Final = ("subject", "id", "correlationid", "time")
_ATTRIBUTES: Final = frozenset(_ORDER)
_TEXTS: Final[frozenset[Kind]] = frozenset({"text", "time", "date", "decimal"})
"""Kinds of fields that take text as it is. Of other JSON values the long way may make some."""
_KINDS: Final[Mapping[Kind, frozenset[type]]] = {
    "number": frozenset({int, float, bool}),
    "integer": frozenset({int, bool}),
    "other": frozenset({str, int, float, bool}),
}
"""Types of JSON values that the other kinds take as they are."""


class _Field(Struct, frozen=True):
    """A value that is read: the member that it is, or a constant (``member`` is None). ``text``: no other
    value is taken."""

    name: str
    member: str | None
    constant: Any = None
    kind: Kind = "text"
    text: bool = True


def direct(
    suffix: str,
    data: Mapping[str, Any],
    shape: Shape,
    context: FormatContext,
    attributes: Mapping[str, Expression],
    *,
    max_depth: int,
    max_bytes: int,
) -> Direct | None:
    """How a rule's documents are read, or None where it takes more.

    ``data`` are its compiled fields, ``attributes`` the event's that it gives. Times are RFC 3339.
    """
    fields = [_field(name, node, shape) for name, node in data.items()]
    known = [field for field in fields if field is not None]
    members = {field.member: field.name for field in known if field.member is not None}
    told = {name: member for name, node in attributes.items() if (member := _member(node)) is not None}
    if len(known) < len(fields) or len(members) < sum(field.member is not None for field in known):
        return None
    if len(told) < len(attributes) or not told.keys() <= _ATTRIBUTES or not all(map(str.isidentifier, data)):
        return None
    named = catalogue.subject_fields(suffix) & data.keys()
    if not members or ("subject" not in told and not named):
        return None
    places = {name: members.get(member, f"_{name}") for name, member in told.items()}
    others = [_Field(place, told[name]) for name, place in places.items() if place[0] == "_"]
    return _reading(
        suffix, known, others, places, sorted(named), context, max_depth, min(max_bytes, _LONGEST)
    )


def _member(node: Any) -> str | None:
    """The name of ``payload.name``, if that is all that an expression says."""
    match node:
        case Expression(path=("payload", name)):
            return name
        case _:
            return None


def _field(name: str, node: Any, shape: Shape) -> _Field | None:
    field, member = shape.fields.get(name), _member(node)
    if field is None or name.startswith("_"):
        return None
    if isinstance(node, str | int | float):
        return _Field(name, None, node)
    kind = field.shape.kind
    chosen = bool(field.choices) and all(isinstance(choice, str) for choice in field.choices)
    if member is None or not (kind in _TEXTS or kind in _KINDS):
        return None
    return _Field(name, member, None, kind, chosen or kind in _TEXTS)


def _document(fields: Sequence[_Field]) -> type[Struct]:
    """The type of the documents: its attributes are the fields, in their order, its members those read."""
    types = [
        (field.name, str if field.text else Any)
        if field.member is not None
        else (field.name, Any, field.constant)
        for field in fields
    ]
    # No document that is read here has a member of a constant's name, which is not ASCII.
    members = {field.name: f"°{field.name}" if field.member is None else field.member for field in fields}
    return msgspec.defstruct("Document", types, rename=members, kw_only=True, gc=False)


def _reading(
    suffix: str,
    fields: Sequence[_Field],
    others: Sequence[_Field],
    places: Mapping[str, str],
    named: Sequence[str],
    context: FormatContext,
    max_depth: int,
    max_bytes: int,
) -> Direct:
    entry = catalogue.get(suffix)
    recipe = Recipe(
        document=_document([*fields, *others]),
        model=entry.model,
        checked=[(each.name, _KINDS[each.kind]) for each in fields if each.member and not each.text],
        extra=[each.name for each in others],
        subjects=Subjects(suffix, context.plant, named),
        places={name: places.get(name) for name in _ORDER},
        source=context.source,
        type=entry.name,
        domain=entry.domain,
        plant=context.plant,
        usual_bytes=min(max_bytes, 2 * max_depth),
        odd=partial(_odd, max_bytes=max_bytes, max_depth=max_depth),
    )
    return Direct(one=_one(recipe), many=many(recipe))


def _one(recipe: Recipe) -> Callable[[bytes, RawMessage, str], Event | None]:
    model, identified, odd, usual = recipe.model, recipe.subjects, recipe.odd, recipe.usual_bytes
    checked, extra = recipe.checked, recipe.extra
    source, type_, plant, domain = recipe.source, recipe.type, recipe.plant, recipe.domain
    decode = msgspec.json.Decoder(recipe.document, float_hook=exact_float).decode
    at_subject, at_id, at_correlation, at_time = (recipe.places[name] for name in _ORDER)

    def event(body: bytes, raw: RawMessage, identity: str) -> Event | None:
        if (len(body) > usual or BACKSLASH in body or not body.isascii()) and odd(body):
            return None
        correlation, moment = None, raw.received_at
        try:
            document = decode(body)
            data = asdict(document)
            for name, kinds in checked:
                value = data[name]
                kind = value.__class__
                if kind not in kinds or (kind is int and not -INT64 <= value < INT64):
                    return None
            for name in extra:
                del data[name]
            msgspec.convert(data, model)
            subject, key = identified.of(at_subject and getattr(document, at_subject), data)
            if at_id is not None:
                identity = attribute_text(getattr(document, at_id))
            if at_correlation is not None:
                correlation = attribute_text(getattr(document, at_correlation))
            if at_time is not None:
                moment = timestamp(getattr(document, at_time))
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


def _odd(body: bytes, *, max_bytes: int, max_depth: int) -> bool:
    """Whether a document has other characters than ASCII's, is too long, or may be too deep."""
    if len(body) > max_bytes or not body.isascii() or _ESCAPED in body:
        return True
    return len(body) >= 2 * max_depth and body.count(b"[") + body.count(b"{") > max_depth
