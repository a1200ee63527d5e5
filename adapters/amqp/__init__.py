"""AMQP 0-9-1 (RabbitMQ): queues acknowledged after the commit, and messages out with publisher confirms."""

from __future__ import annotations

from collections.abc import AsyncIterator

from adapters.amqp.config import AmqpOptions, AmqpTarget
from canonical.ports import Sink, Source
from canonical.probing import Step
from canonical.spec import AdapterContext, AdapterSpec, Guarantees, SinkTraits

__all__ = ["SPEC"]


def _source(options: AmqpOptions, context: AdapterContext) -> Source:
    from adapters.amqp.source import AmqpSource

    return AmqpSource(options, context)


def _sink(options: AmqpOptions, context: AdapterContext) -> Sink:
    from adapters.amqp.sink import AmqpSink

    return AmqpSink(options, context)


def _probe(options: AmqpOptions, context: AdapterContext) -> AsyncIterator[Step]:
    from adapters.amqp.sink import AmqpSink
    from canonical.probing import by_sink

    # A consumer would take messages out of the queue, and put them back in another order.
    without = options.model_copy(update={"queue": None, "declare_queue": None})
    return by_sink(AmqpSink(without, context), context)


SPEC = AdapterSpec(
    kind="amqp",
    summary="AMQP 0-9-1 (RabbitMQ): a queue in, acknowledged after the commit, and confirmed messages out",
    config=AmqpOptions,
    source=_source,
    sink=_sink,
    target=AmqpTarget,
    guarantees=Guarantees(redelivers=True, back_pressure=True, stable_ids=True),
    traits=SinkTraits(ordered=True, max_batch=1000, ahead=4),
    probe=_probe,
    example="""\
adapters:
  coventry-mes:
    kind: amqp
    plant: coventry
    url: amqps://rabbit.coventry.example.com/mes
    username: crossplant
    password: ${file:secrets/coventry-rabbit}
    tls: {ca: "${file:coventry-ca.pem}"}
    queue: mes.confirmations
    format: {kind: cloudevents}
routes:
  orders-to-the-mes:
    on: [production.order.released]
    to: {adapter: coventry-mes, exchange: mes, routing_key: "orders.{data.order}"}
""",
)
