"""The decoder of xml: a document is read whole or not at all; its records stand each for itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import structs

from adapters.markup.config import XmlOptions
from adapters.markup.elements import Found, records
from adapters.markup.parser import check_document
from canonical.errors import ConfigError, Invalid
from canonical.event import Event
from canonical.ports import RawMessage
from canonical.record import RecordMapping
from canonical.spec import FormatContext

__all__ = ["XmlDecoder"]

Decoded = tuple[bytes | None, Iterable[Event | Invalid]]


class XmlDecoder:
    """Elements by rules."""

    def __init__(self, options: XmlOptions, context: FormatContext) -> None:
        """Raises ConfigError when there are no rules, or they cannot be used."""
        if not options.events:
            raise ConfigError("`events` is missing: it says which events a record gives", key="events")
        self._options = options
        self._mapping = RecordMapping(options.events, context)

    def decode(self, state: bytes | None, raw: RawMessage) -> Decoded:
        """The events of each record, in order, made as they are taken."""
        return state, self._bounded(self._events(raw))

    def _bounded(self, found: Iterable[Event | Invalid]) -> Iterator[Event | Invalid]:
        """What was found, with a bounded number of faults: a document of another layout has many alike."""
        count = 0
        for item in found:
            count += isinstance(item, Invalid)
            if isinstance(item, Event) or count <= self._options.max_faults:
                yield item
        if (more := count - self._options.max_faults) > 0:
            detail = f"{more:,} more faults, told by number only, since `max_faults` is {count - more:,}"
            yield Invalid(detail, code="many_faults", errors=[("", detail)])

    def _events(self, raw: RawMessage) -> Iterator[Event | Invalid]:
        count = 0
        try:
            check_document(raw.body, self._options)
            for count, found in enumerate(records(raw.body, self._options), start=1):
                if isinstance(found, Invalid):
                    yield found
                else:
                    yield from self._record(found, count, raw)
        except Invalid as fault:
            yield fault
            return
        if count == 0 and self._options.no_records == "refuse":
            detail = f"it has no element {self._options.records!r}, where records are expected"
            yield Invalid(f"no records: {detail}", code="no_records", errors=[("", detail)])

    def _record(self, found: Found, count: int, raw: RawMessage) -> Iterator[Event | Invalid]:
        number = None if self._options.records == "." else count
        told = structs.replace(raw, attributes={**raw.attributes, "line": found.line, "record": count})
        for item in self._mapping.apply(found.value, told, number=number):
            yield _on_line(item, found.line, number) if isinstance(item, Invalid) else item


def _on_line(fault: Invalid, line: int, number: int | None) -> Invalid:
    """The fault with the place of its record."""
    where = f"line {line}" if number is None else f"record {number} (line {line})"
    return Invalid(
        f"{where}: {fault.message}",
        code=fault.code,
        context={**fault.context, "line": line},
        errors=[(f"{where}{f': {at}' if at else ''}", detail) for at, detail in fault.errors],
    )
