"""The formats csv and fixed: rows of cells, parted by a delimiter or by widths; rules make events of them."""

from __future__ import annotations

from adapters.tabular.config import CsvOptions, FixedOptions
from canonical.ports import Decoder, Formatter
from canonical.spec import FormatContext, FormatSpec

__all__ = ["CSV", "FIXED"]


def _decoder(options: CsvOptions | FixedOptions, context: FormatContext) -> Decoder:
    from adapters.tabular.decoder import TableDecoder

    return TableDecoder(options, context)


def _formatter(options: CsvOptions | FixedOptions) -> Formatter:
    from adapters.tabular.formatter import TableFormatter

    return TableFormatter(options)


CSV = FormatSpec(
    kind="csv",
    summary="CSV (RFC 4180 and its dialects), a record a row; rules make events of it",
    config=CsvOptions,
    decoder=_decoder,
    formatter=_formatter,
    example="""\
format:
  kind: csv
  delimiter: ";"
  encoding: cp1250
  columns:
    item: {title: Materiál}
    qty: {title: Množství, type: decimal, decimal: ",", thousands: " "}
    posted: {title: Zaúčtováno, type: datetime, format: "%d.%m.%Y %H:%M", timezone: Europe/Prague}
  trailer: ^KONEC
  events:
    - type: inventory.adjusted
      data:
        location: {plant: '"brno"', storage: payload.Sklad}
        item: payload.item
        delta: {value: payload.qty, uom: '"H87"'}
        reason: {code: '"count"'}
        posted_at: payload.posted
""",
)

FIXED = FormatSpec(
    kind="fixed",
    summary="rows of columns with fixed widths, a record a row; rules make events of it",
    config=FixedOptions,
    decoder=_decoder,
    formatter=_formatter,
    example="""\
format:
  kind: fixed
  skip: ^(HDR|TRL)
  columns:
    record: {width: 3}
    item: {width: 18}
    qty: {width: 10, type: decimal, align: right, fill: "0"}
    day: {width: 8, type: date, format: "%Y%m%d"}
  events:
    - when: payload.record == "DET"
      type: inventory.adjusted
      data:
        location: {plant: '"brno"', storage: '"A"'}
        item: payload.item
        delta: {value: payload.qty, uom: '"H87"'}
        reason: {code: '"count"'}
        posted_at: message.received_at
""",
)
