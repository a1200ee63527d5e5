"""MQTT 5 and 3.1.1: subscriptions with acknowledgement after the commit, and deliveries with PUBACK."""

from __future__ import annotations

from collections.abc import AsyncIterator

from adapters.mqtt.config import MqttOptions, MqttTarget
from canonical.ports import Sink, Source
from canonical.probing import Step
from canonical.spec import AdapterContext, AdapterSpec, Guarantees, SinkTraits

__all__ = ["SPEC"]


def _source(options: MqttOptions, context: AdapterContext) -> Source:
    from adapters.mqtt.source import MqttSource

    return MqttSource(options, context)


def _sink(options: MqttOptions, context: AdapterContext) -> Sink:
    from adapters.mqtt.sink import MqttSink

    return MqttSink(options, context)


def _probe(options: MqttOptions, context: AdapterContext) -> AsyncIterator[Step]:
    from adapters.mqtt.probe import probe

    return probe(options, context)


SPEC = AdapterSpec(
    kind="mqtt",
    summary="MQTT 5 and 3.1.1 brokers: QoS 1 in, acknowledged after the commit, and QoS 1 out",
    config=MqttOptions,
    source=_source,
    sink=_sink,
    target=MqttTarget,
    guarantees=Guarantees(redelivers=True, back_pressure=True, stable_ids=True),
    traits=SinkTraits(ordered=True, max_batch=500),
    probe=_probe,
    example="""\
adapters:
  brno-broker:
    kind: mqtt
    plant: brno
    url: mqtts://broker.brno.example.com
    username: crossplant
    password: ${file:secrets/brno-broker}
    tls: {ca: "${file:brno-ca.pem}"}
    subscribe:
      - topic: acme/brno/{area}/{line}/{tag}
    format: {kind: value}
routes:
  orders-to-the-line:
    on: [production.order.released]
    to: {adapter: brno-broker, topic: "acme/brno/orders/{data.order}"}
""",
)
