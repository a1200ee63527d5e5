"""The formats edifact and x12: interchanges of business documents, read with every check, and written."""

from __future__ import annotations

from adapters.edi.config import EdifactOptions, X12Options
from canonical.ports import Decoder, Formatter
from canonical.spec import FormatContext, FormatSpec

__all__ = ["EDIFACT", "X12"]


def _edifact_decoder(options: EdifactOptions, context: FormatContext) -> Decoder:
    from adapters.edi import dialect
    from adapters.edi.decoder import EdiDecoder

    return EdiDecoder(options, context, dialect.EDIFACT)


def _edifact_formatter(options: EdifactOptions) -> Formatter:
    from adapters.edi.formatter import EdifactFormatter

    return EdifactFormatter(options)


def _x12_decoder(options: X12Options, context: FormatContext) -> Decoder:
    from adapters.edi import dialect
    from adapters.edi.decoder import EdiDecoder

    return EdiDecoder(options, context, dialect.X12)


def _x12_formatter(options: X12Options) -> Formatter:
    from adapters.edi.formatter import X12Formatter

    return X12Formatter(options)


_EMITS = (
    "procurement.order.issued",
    "procurement.asn.received",
    "inventory.balance.reported",
    "integration.interchange.received",
)

EDIFACT = FormatSpec(
    kind="edifact",
    summary="UN/EDIFACT: ORDERS, DESADV, INVRPT to events; ORDERS and CONTRL from payloads",
    config=EdifactOptions,
    decoder=_edifact_decoder,
    formatter=_edifact_formatter,
    emits=_EMITS,
    ledger=True,
    example="""\
format:
  kind: edifact
  mode: test                            # until the partner goes live
  charset: UNOC                         # whatever UNB says
  ignore: [CONTRL, APERAK]              # read, and no event made of them
  tolerate: [segment_count]             # errors of this partner that we live with
""",
)

X12 = FormatSpec(
    kind="x12",
    summary="ASC X12: 850, 856, 846 to events; 850 and 997 from payloads",
    config=X12Options,
    decoder=_x12_decoder,
    formatter=_x12_formatter,
    emits=_EMITS,
    ledger=True,
    example="""\
format:
  kind: x12
  ignore: ["997"]                       # read, and no event made of them
  currency: USD
  transit: 2d                           # arrival, where an advice announces none
""",
)
