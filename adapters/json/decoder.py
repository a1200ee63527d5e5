"""Decoders of the formats json and cloudevents. Stateless; whatever the bytes, they say what is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from adapters.json.config import CloudEventsOptions, JsonOptions
from canonical.admission import admitted
from canonical.attributes import not_valid
from canonical.cloudevents import Mode, event_of, mode, parse_binary
from canonical.errors import ConfigError, Invalid
from canonical.event import Event
from canonical.jsontext import read_json
from canonical.ports import RawMessage
from canonical.record import RecordMapping
from canonical.spec import FormatContext

__all__ = ["CloudEventsDecoder", "JsonDecoder"]

Decoded = tuple[bytes | None, Iterable[Event | Invalid]]

_TELLING = frozenset({"header.ce-id", "header.ce-source", "header.ce-specversion", "header.ce-type"})
"""Attributes of a message in binary mode; without a content type of CloudEvents one of them is enough."""
_BLANK = b" \t\r"
_HEADER = "header."


class JsonDecoder:
    """JSON by rules. Numbers that a double cannot hold are text, so that no digit is lost."""

    def __init__(self, options: JsonOptions, context: FormatContext) -> None:
        """Raises ConfigError when there are no rules, or they cannot be used."""
        if not options.events:
            raise ConfigError("`events` is missing: it says which events a document gives", key="events")
        self._options = options
        self._mapping = RecordMapping(options.events, context)
        self._direct = self._mapping.direct(max_depth=options.max_depth, max_bytes=options.max_size)

    def decode(self, state: bytes | None, raw: RawMessage) -> Decoded:
        """The events of the document, or of each line, in order."""
        if self._options.lines:
            return state, self._lines(raw)
        if self._direct is not None and (event := self._direct.one(raw.body, raw, raw.id)) is not None:
            return state, (event,)
        return state, self._document(raw)

    def decode_all(self, raws: Sequence[RawMessage]) -> list[Event] | None:
        """The one event of each message; None when there may be more or less than one, or a fault."""
        if self._direct is None or self._options.lines:
            return None
        return self._direct.many(raws)

    def _document(self, raw: RawMessage) -> Iterator[Event | Invalid]:
        try:
            record = read_json(
                raw.body, max_bytes=self._options.max_size, max_depth=self._options.max_depth, exact=True
            )
        except Invalid as fault:
            yield fault
            return
        yield from self._mapping.apply(record, raw)

    def _lines(self, raw: RawMessage) -> Iterator[Event | Invalid]:
        if len(raw.body) > self._options.max_size:
            yield from self._document(raw)  # which says so
            return
        for number, line in enumerate(raw.body.split(b"\n"), start=1):
            if not line.strip(_BLANK):
                continue
            event = self._direct.one(line, raw, f"{raw.id}-{number}") if self._direct is not None else None
            if event is not None:
                yield event
                continue
            try:
                record = read_json(line, max_depth=self._options.max_depth, exact=True, first_line=number)
            except Invalid as fault:
                yield fault
                continue
            for item in self._mapping.apply(record, raw, number=number):
                yield _on_line(item, number) if isinstance(item, Invalid) else item


def _on_line(fault: Invalid, number: int) -> Invalid:
    """The fault with the line that its record stands on."""
    return Invalid(
        f"line {number}: {fault.message}",
        code=fault.code,
        context={**fault.context, "line": number},
        errors=[(f"line {number}{f': {where}' if where else ''}", detail) for where, detail in fault.errors],
    )


class CloudEventsDecoder:
    """CloudEvents as their senders made them: identity kept, data checked against the catalogue."""

    def __init__(self, options: CloudEventsOptions, context: FormatContext) -> None:
        self._options, self._plant = options, context.plant

    def decode(self, state: bytes | None, raw: RawMessage) -> Decoded:
        """The events in order. The content type tells the mode; without one the body does."""
        return state, list(self._events(raw))

    def _events(self, raw: RawMessage) -> Iterator[Event | Invalid]:
        try:
            told = mode(raw.content_type)
            if told == "binary" and not _TELLING.isdisjoint(name.lower() for name in raw.attributes):
                yield self._checked(self._binary(raw), "")
                return
            value = read_json(
                raw.body,
                max_bytes=self._options.max_size,
                max_depth=self._options.max_depth + 1,
                nul=True,
            )
            members = _batch(value, told)
        except Invalid as fault:
            yield fault
            return
        for index, member in enumerate([value] if members is None else members):
            at = "" if members is None else f"/{index}"
            try:
                yield self._checked(event_of(member, at), at)
            except Invalid as fault:
                yield fault

    def _binary(self, raw: RawMessage) -> Event:
        headers = {
            name.lower().removeprefix(_HEADER): str(value)
            for name, value in raw.attributes.items()
            if name.lower().startswith(_HEADER)
        }
        if raw.content_type:
            headers["content-type"] = raw.content_type
        return parse_binary(
            headers, raw.body, max_bytes=self._options.max_size, max_depth=self._options.max_depth
        )

    def _checked(self, event: Event, at: str) -> Event:
        return admitted(event, plant=self._plant, at=at)


def _batch(value: object, told: Mode) -> list[object] | None:
    """The members of a batch, or None of a single event. Where no content type tells, an array is a batch."""
    if isinstance(value, list) and told != "structured":
        return value
    if told == "batch":
        raise not_valid([("", "must be an array, since its type is that of a batch")])
    return None
