"""The formats json, cloudevents and value: JSON by rules, CloudEvents as they are, and plain scalars."""

from __future__ import annotations

from adapters.json.config import CloudEventsOptions, JsonOptions, ValueOptions
from canonical.ports import Decoder, Formatter
from canonical.spec import FormatContext, FormatSpec

__all__ = ["CLOUDEVENTS", "JSON", "VALUE"]


def _json_decoder(options: JsonOptions, context: FormatContext) -> Decoder:
    from adapters.json.decoder import JsonDecoder

    return JsonDecoder(options, context)


def _json_formatter(options: JsonOptions) -> Formatter:
    from adapters.json.formatter import JsonFormatter

    return JsonFormatter()


def _cloudevents_decoder(options: CloudEventsOptions, context: FormatContext) -> Decoder:
    from adapters.json.decoder import CloudEventsDecoder

    return CloudEventsDecoder(options, context)


def _cloudevents_formatter(options: CloudEventsOptions) -> Formatter:
    from adapters.json.formatter import CloudEventsFormatter

    return CloudEventsFormatter()


def _value_decoder(options: ValueOptions, context: FormatContext) -> Decoder:
    from adapters.json.value import ValueDecoder

    return ValueDecoder(options, context)


def _value_formatter(options: ValueOptions) -> Formatter:
    from adapters.json.value import ValueFormatter

    return ValueFormatter(options)


JSON = FormatSpec(
    kind="json",
    summary="JSON (RFC 8259), one document a message or one a line; rules make events of it",
    config=JsonOptions,
    decoder=_json_decoder,
    formatter=_json_formatter,
    example="""\
format:
  kind: json
  events:
    - when: has(payload.count)
      type: inventory.adjusted
      id: payload.document
      time: payload.posted
      data:
        location: {plant: '"brno"', storage: payload.bin}
        item: payload.material
        delta: {value: payload.count, uom: '"H87"'}
        reason: {code: payload.reason}
        posted_at: payload.posted
    - ignore: true
""",
)

CLOUDEVENTS = FormatSpec(
    kind="cloudevents",
    summary="CloudEvents 1.0.2 in JSON: structured, batch or binary; the catalogue checks their data",
    config=CloudEventsOptions,
    decoder=_cloudevents_decoder,
    formatter=_cloudevents_formatter,
    example="""\
format: {kind: cloudevents}
""",
)

VALUE = FormatSpec(
    kind="value",
    summary="one number, text or boolean a message, as sensors publish them over MQTT",
    config=ValueOptions,
    decoder=_value_decoder,
    formatter=_value_formatter,
    emits=("telemetry.measurement.recorded",),
    example="""\
format: {kind: value, type: number, decimal: comma, uom: CEL}
""",
)
