"""Weighing terminals over TCP, and their records: the worked example of docs/writing-an-adapter.md."""

from __future__ import annotations

from canonical.ports import Decoder, Source
from canonical.spec import AdapterContext, AdapterSpec, FormatContext, FormatSpec, Guarantees
from crossplant_scale.config import RecordOptions, ScaleOptions

__all__ = ["FORMAT", "SPEC"]


def _source(options: ScaleOptions, context: AdapterContext) -> Source:
    from crossplant_scale.source import ScaleSource

    return ScaleSource(options, context)


def _decoder(options: RecordOptions, context: FormatContext) -> Decoder:
    from crossplant_scale.record import RecordDecoder

    return RecordDecoder(options, context)


SPEC = AdapterSpec(
    kind="scale",
    summary="Weighing terminals over TCP: records from their memory, acknowledged after the commit",
    config=ScaleOptions,
    source=_source,
    # The terminal keeps a record until it is acknowledged, sends it again under its number, and its memory is
    # large: when we do not read, it waits.
    guarantees=Guarantees(redelivers=True, back_pressure=True, stable_ids=True),
    example="""\
adapters:
  goods-in-scale:
    kind: scale
    plant: aachen
    host: 192.0.2.17
    format: {kind: scale-record, equipment: acme/aachen/goods-in/scale-1}
""",
)

FORMAT = FormatSpec(
    kind="scale-record",
    summary="One weighing of a terminal: number, time, weight, unit",
    config=RecordOptions,
    decoder=_decoder,
    example="format: {kind: scale-record, equipment: acme/aachen/goods-in/scale-1}\n",
)
