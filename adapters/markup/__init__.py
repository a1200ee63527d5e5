"""The format xml: elements become JSON-like records, rules make events of them; bombs are refused."""

from __future__ import annotations

from adapters.markup.config import XmlOptions
from canonical.ports import Decoder, Formatter
from canonical.spec import FormatContext, FormatSpec

__all__ = ["XML"]


def _decoder(options: XmlOptions, context: FormatContext) -> Decoder:
    from adapters.markup.decoder import XmlDecoder

    return XmlDecoder(options, context)


def _formatter(options: XmlOptions) -> Formatter:
    from adapters.markup.formatter import XmlFormatter

    return XmlFormatter(options)


XML = FormatSpec(
    kind="xml",
    summary="XML 1.0 with namespaces, without DTDs; a record an element; rules make events of it",
    config=XmlOptions,
    decoder=_decoder,
    formatter=_formatter,
    example="""\
format:
  kind: xml
  namespaces: {"": "urn:acme:stock:2"}
  records: Movements/Movement
  lists: [Lot]
  events:
    - type: inventory.adjusted
      each: payload.Lot
      time_format: local
      data:
        location: {plant: '"brno"', storage: payload.Bin}
        item: payload["@material"]
        lot: item["@number"]
        delta:
          value: item["#text"]
          uom: payload["@unit"]
        reason: {code: payload.Reason}
        posted_at: payload.Posted
""",
)
