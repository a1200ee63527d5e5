"""The format value: a body that is one scalar, the way sensors and PLC gateways publish over MQTT."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from adapters.json.config import ValueOptions
from adapters.json.scalar import read_scalar, write_scalar
from canonical import catalogue
from canonical.errors import Invalid
from canonical.event import Event
from canonical.ports import RawMessage
from canonical.record import RecordMapping
from canonical.spec import FormatContext
from canonical.times import rfc3339

__all__ = ["ValueDecoder", "ValueFormatter"]

_TYPE: Final = catalogue.get("telemetry.measurement.recorded")


class ValueDecoder:
    """One scalar a message: by rules, or without any as a measurement of the tag that the topic names."""

    def __init__(self, options: ValueOptions, context: FormatContext) -> None:
        """Raises ConfigError when there are rules that cannot be used."""
        self._options, self._context = options, context
        self._mapping = RecordMapping(options.events, context) if options.events else None

    def decode(self, state: bytes | None, raw: RawMessage) -> tuple[bytes | None, Iterable[Event | Invalid]]:
        """The events of the value, or what is wrong with it."""
        return state, list(self._events(raw))

    def _events(self, raw: RawMessage) -> Iterator[Event | Invalid]:
        try:
            value = read_scalar(raw.body, self._options)
        except Invalid as fault:
            yield fault
            return
        if self._mapping:
            yield from self._mapping.apply(value, raw)
        else:
            yield self._measurement(value, raw)

    def _measurement(self, value: object, raw: RawMessage) -> Event | Invalid:
        """The value as measured when it was received; a device that tells its own time needs rules."""
        path, _, level = str(raw.attributes.get("topic", "")).rpartition("/")
        equipment = raw.attributes.get("equipment")
        data: dict[str, Any] = {
            "tag": str(raw.attributes.get("tag", level)),
            "value": value,
            "uom": self._options.uom,
            "quality": "good",
            "source_time": rfc3339(raw.received_at),
        }
        if equipment is not None:
            data["equipment"] = str(equipment)
        faults = [(fault.pointer, fault.detail) for fault in catalogue.validate(_TYPE.suffix, data)]
        if faults:
            where, detail = faults[0]
            return Invalid(f"no measurement: {where} {detail}", code="not_a_measurement", errors=faults)
        subject = str(equipment or path or self._context.adapter)
        return Event(
            id=raw.id,
            source=self._context.source,
            type=_TYPE.name,
            time=raw.received_at,
            subject=subject,
            plantid=self._context.plant,
            domain=_TYPE.domain,
            partitionkey=catalogue.partition_key(_TYPE.suffix, data, self._context.plant, subject),
            srcmsgid=raw.id,
            data=data,
        )


class ValueFormatter:
    """A payload that is one scalar, as bare text."""

    def __init__(self, options: ValueOptions) -> None:
        self._options = options
        self.content_type = f"text/plain; charset={options.charset}"

    def format(self, payload: Any) -> bytes:
        """Raises Invalid for an object, a list, null, or what the charset lacks."""
        try:
            return write_scalar(payload, self._options).encode(self._options.charset)
        except UnicodeEncodeError as error:
            detail = f"{self._options.charset} has no character {payload[error.start]!a}"
            raise Invalid(detail, code="not_a_value", errors=[("", detail)]) from error
