"""OPC UA: values of a machine's server by subscription. The client library loads with the first source."""

from __future__ import annotations

from adapters.opcua.config import OpcuaConfig
from canonical.ports import Decoder, Source
from canonical.spec import AdapterContext, AdapterSpec, Guarantees

__all__ = ["SPEC"]


def _source(settings: OpcuaConfig, context: AdapterContext) -> Source:
    from adapters.opcua.source import OpcuaSource

    return OpcuaSource(settings, context)


def _decoder(settings: OpcuaConfig, context: AdapterContext) -> Decoder:
    from adapters.opcua.decoder import OpcuaDecoder

    return OpcuaDecoder(settings, context)


SPEC = AdapterSpec(
    kind="opcua",
    summary="OPC UA client: subscribed values with source time, status and unit; loss is written down",
    config=OpcuaConfig,
    source=_source,
    decoder=_decoder,
    # While the server keeps the subscription, what was not committed is asked for again under the same
    # id, also by the next process. Where it does not, the gap is written down.
    guarantees=Guarantees(
        redelivers=True,
        back_pressure=True,
        stable_ids=True,
        gaps="values that the server's queue dropped, or did not keep while nobody was connected",
    ),
    emits=("telemetry.measurement.recorded", "telemetry.source.changed", "equipment.state.changed"),
    example="""\
adapters:
  aachen-press:
    kind: opcua
    plant: aachen
    url: opc.tcp://127.0.0.1:4840
    security: {policy: Basic256Sha256, mode: SignAndEncrypt}
    username: crossplant
    password: ${file:secrets/press-password}
    equipment: acme/aachen/press-shop/line-1/press-3
    tags:
      - {node: "nsu=http://example.com/press;s=Oil.Temperature", tag: oil_temperature, uom: CEL}
      - {node: "nsu=http://example.com/press;s=Motor.Speed", tag: motor_speed, deadband: 0.5}
      - node: nsu=http://example.com/press;i=6010
        tag: state
        states: {"0": stopped, "1": idle, "2": execute, "9": aborted}
""",
)
