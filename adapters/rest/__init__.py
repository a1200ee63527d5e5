"""REST: webhooks and polled resources in, HTTP requests out. Client libraries load with the first session."""

from __future__ import annotations

from adapters.rest.config import RestConfig, RestTarget
from canonical.ports import Sink, Source
from canonical.spec import AdapterContext, AdapterSpec, Guarantees, SinkTraits

__all__ = ["SPEC"]


def _source(settings: RestConfig, context: AdapterContext) -> Source:
    if settings.webhook is not None:
        from adapters.rest.webhook import WebhookSource

        return WebhookSource(settings, context)
    from adapters.rest.poll import PollingSource

    return PollingSource(settings, context)


def _sink(settings: RestConfig, context: AdapterContext) -> Sink:
    from adapters.rest.sink import HttpSink

    return HttpSink(settings, context)


SPEC = AdapterSpec(
    kind="rest",
    summary="HTTP: webhooks and polled resources in, requests with an idempotency key out",
    config=RestConfig,
    source=_source,
    sink=_sink,
    target=RestTarget,
    # A poll that was not committed is asked again from the committed cursor, with the same ids; a
    # webhook's sender repeats what it got no 2xx for. Both wait while we are slow.
    guarantees=Guarantees(redelivers=True, back_pressure=True, stable_ids=True),
    traits=SinkTraits(ordered=False, max_batch=1, concurrency=16, lookup=True, batches=True),
    example="""\
adapters:
  mes:                                  # a source: asks every 30 s
    kind: rest
    plant: aachen
    url: https://mes.example.com/api
    token: ${file:secrets/mes-token}
    format:
      kind: json
      events:
        - type: production.order.completed
          data:
            order: payload.order
            item: payload.item
            good: {value: payload.good, uom: '"H87"'}
            scrap: {value: payload.scrap, uom: '"H87"'}
            completed_at: payload.changed_at
    poll:
      path: confirmations
      every: 30s
      items: payload.confirmations      # CEL: the list, each element becomes a message
      id: item.number + "/" + string(item.version)
      cursor: {query: since, from: item.changed_at}
  shop:                                 # a source: POST /v1/webhooks/shop
    kind: rest
    format: {kind: cloudevents}
    webhook:
      verify: {kind: standard-webhooks, secret: "${file:secrets/shop-webhook}"}
  erp:                                  # a sink
    kind: rest
    url: https://erp.example.com/api
    token: ${file:secrets/erp-token}
    lookup: {path: "receipts?key={key}", found: payload.total > 0}
routes:
  asn-to-erp:
    on: [procurement.asn.received]
    to: {adapter: erp, path: "deliveries/{data.asn}", method: PUT, receipt: /number}
""",
)
