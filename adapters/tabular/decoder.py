"""The decoder of csv and fixed. Stateless; whatever the bytes, it says what is wrong, row by row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import structs

from adapters.tabular.config import CsvOptions, FixedOptions
from adapters.tabular.records import Record, Records
from canonical.errors import ConfigError, Invalid
from canonical.event import Event
from canonical.ports import RawMessage
from canonical.record import RecordMapping
from canonical.spec import FormatContext

__all__ = ["TableDecoder"]

Decoded = tuple[bytes | None, Iterable[Event | Invalid]]


class TableDecoder:
    """Rows by rules."""

    def __init__(self, options: CsvOptions | FixedOptions, context: FormatContext) -> None:
        """Raises ConfigError when there are no rules, or they cannot be used."""
        if not options.events:
            raise ConfigError("`events` is missing: it says which events a row gives", key="events")
        self._options = options
        self._records = Records(options, context.timezone)
        self._mapping = RecordMapping(options.events, context)

    def decode(self, state: bytes | None, raw: RawMessage) -> Decoded:
        """The events of each row, in order, made as they are taken."""
        return state, self._bounded(self._events(raw))

    def _bounded(self, found: Iterable[Event | Invalid]) -> Iterator[Event | Invalid]:
        """What was found, with a bounded number of faults: a file of another layout has one in every row."""
        count = 0
        for item in found:
            count += isinstance(item, Invalid)
            if isinstance(item, Event) or count <= self._options.max_faults:
                yield item
        if (more := count - self._options.max_faults) > 0:
            detail = f"{more:,} more faults, told by number only, since `max_faults` is {count - more:,}"
            yield Invalid(detail, code="many_faults", errors=[("", detail)])

    def _events(self, raw: RawMessage) -> Iterator[Event | Invalid]:
        for record in self._records.read(raw.body):
            if isinstance(record, Invalid):
                yield record
            else:
                yield from self._record(record, raw)

    def _record(self, record: Record, raw: RawMessage) -> Iterator[Event | Invalid]:
        number = record.number
        told = structs.replace(raw, attributes={**raw.attributes, "row": number})
        for item in self._mapping.apply(record.values, told, number=number):
            yield _of_row(item, number) if isinstance(item, Invalid) else item


def _of_row(fault: Invalid, number: int) -> Invalid:
    """The fault with the row that its record is."""
    return Invalid(
        f"row {number}: {fault.message}",
        code=fault.code,
        context={**fault.context, "row": number},
        errors=[(f"row {number}{f': {where}' if where else ''}", detail) for where, detail in fault.errors],
    )
