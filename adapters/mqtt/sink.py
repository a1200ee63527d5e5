"""MQTT messages out: accepted once the broker has acknowledged them.

Messages of a call are sent in order, many at once, as far as the broker's Receive Maximum allows.
The idempotency key travels as the MQTT 5 user property ``idempotency-key``; 3.1.1 has no place for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from pydantic import ValidationError

from adapters.mqtt.batch import Batch
from adapters.mqtt.config import MqttOptions, MqttTarget
from adapters.mqtt.connection import Connection, Handlers, Identity
from adapters.mqtt.dial import tls_context
from adapters.mqtt.link import Link
from adapters.mqtt.packets import Puback, write_properties
from adapters.mqtt.reasons import NO_MATCHING_SUBSCRIBERS, REFUSED, publish_refused
from adapters.mqtt.topics import check_topic
from canonical.errors import CrossplantError, Rejected, TransientError
from canonical.ports import Accepted, Delivery, Failed, NotTried, SinkOutcome
from canonical.spec import AdapterContext, Health

__all__ = ["MqttSink"]

MOST_IN_FLIGHT = 1_000
HEADER_BYTES = 5 + 2 + 2 + 4
"""Most that a PUBLISH needs beside topic, properties and payload."""
KEY_PROPERTY = "idempotency-key"
MOST_WARNINGS = 20


class MqttSink:
    """A sink over one MQTT connection without a session: the hub sends again what was not acknowledged."""

    def __init__(self, options: MqttOptions, context: AdapterContext) -> None:
        self._options = options
        self._context = context
        self._version5 = options.protocol == "5"
        name = options.client_id or f"crossplant-{context.name}"
        identity = Identity(client_id=f"{name}-out", persistent=False)
        handlers = Handlers(logged_in=self._on_login, acknowledged=self._on_acknowledged)
        # Where the adapter also takes in, its health is that of the way in; a route shows how the way out is.
        self._health = Health() if options.receives else context.health
        self._link = Link(options, context, self._health, identity, handlers, _nothing_to_do)
        self._in_flight: dict[int, tuple[Batch, int]] = {}
        self._room = asyncio.Event()
        self._unheard: set[str] = set()
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Starts connecting, and goes on until ``close``. Raises ConfigError for unusable certificates."""
        tls = await asyncio.to_thread(tls_context, self._options)
        self._health.detail = f"connecting to {self._options.url}"
        self._task = asyncio.create_task(self._link.run(tls), name=f"mqtt sink {self._context.name}")

    async def close(self) -> None:
        """Leaves the broker; safe to call twice."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None
            self._health.detail = "closed"

    async def send(self, deliveries: Sequence[Delivery]) -> Sequence[SinkOutcome]:
        """Returns within ``connect_timeout`` plus ``publish_timeout``.

        Not connected: Failed, an outage. Sent and no acknowledgement: Unknown. Once a delivery has
        failed, later ones of its key are NotTried, except those that were on their way already.
        """
        if not deliveries:
            return []
        batch = Batch(deliveries)
        connection = await self._link.connected(self._options.connect_timeout)
        if connection is None:
            batch.give_up(self._absence())
            return batch.outcomes()
        try:
            async with asyncio.timeout(self._options.publish_timeout):
                await self._publish(connection, batch)
                await batch.settled.wait()
        except TimeoutError:
            message = (
                f"no acknowledgement from {self._options.url} within {self._options.publish_timeout:g} s"
            )
            batch.give_up(TransientError(message, code="timeout"))
            connection.abandon(message)
        return batch.outcomes()

    async def _publish(self, connection: Connection, batch: Batch) -> None:
        limit = min(connection.terms.receive_maximum, MOST_IN_FLIGHT)
        unanswered: list[int] = []
        for index, delivery in enumerate(batch.deliveries):
            while len(self._in_flight) >= limit and connection.alive:
                self._room.clear()
                connection.flush()
                await self._room.wait()
            if not connection.alive:
                batch.give_up(connection.ended.result().error if connection.ended.done() else self._absence())
                return
            if batch.held_back(index):
                batch.settle(index, NotTried())
                continue
            try:
                mid = self._queue(connection, delivery)
            except CrossplantError as error:
                batch.settle(index, Failed(error))
                continue
            batch.sent(index)
            if mid:
                self._in_flight[mid] = (batch, index)
            else:
                unanswered.append(index)
        connection.flush()
        for index in unanswered if connection.alive else ():
            batch.settle(index, Accepted())

    def _queue(self, connection: Connection, delivery: Delivery) -> int:
        """Hands a delivery to the connection; its mid, or 0. Raises Rejected for what no broker takes."""
        try:
            target = MqttTarget.model_validate(delivery.target)
            check_topic(target.topic)
            packed = b""
            if self._version5:
                packed = write_properties(delivery.content_type, {KEY_PROPERTY: delivery.idempotency_key})
        except (ValidationError, ValueError) as error:
            raise Rejected(f"the target cannot be used: {error}", code="invalid_target") from error
        terms = connection.terms
        size = HEADER_BYTES + len(target.topic.encode()) + len(packed) + len(delivery.payload)
        if size > terms.maximum_packet:
            text = f"the message has {size} bytes, the broker takes {terms.maximum_packet}"
            raise Rejected(text, code="packet_too_large", context={"topic": target.topic})
        if target.qos > terms.maximum_qos or (target.retain and not terms.retain_available):
            text = f"the broker offers QoS {terms.maximum_qos} at most, retain: {terms.retain_available}"
            raise Rejected(text, code="not_offered", context={"topic": target.topic})
        return connection.publish(
            target.topic, delivery.payload, qos=target.qos, retain=target.retain, properties=packed
        )

    def _absence(self) -> CrossplantError:
        """Why there is no connection: an outage, or credentials that the broker refuses."""
        if self._task is None:
            return TransientError("the sink is not open", code="not_open", outage=True)
        return self._link.error or TransientError(
            f"no connection to {self._options.url} within {self._options.connect_timeout:g} s",
            code="not_connected",
            outage=True,
        )

    # ── what the connection tells ───────────────────────────────────────────────────────────────

    def _on_login(self, connection: Connection) -> None:
        in_flight: dict[int, tuple[Batch, int]] = {}
        self._in_flight = in_flight

        def on_end(ended: object) -> None:
            for batch, _ in in_flight.values():
                batch.give_up(connection.ended.result().error)
            in_flight.clear()
            self._room.set()

        connection.ended.add_done_callback(on_end)

    def _on_acknowledged(self, acknowledged: Puback) -> None:
        batch, index = self._in_flight.pop(acknowledged.mid, (None, 0))
        self._room.set()
        if batch is None:
            return
        topic = str(batch.deliveries[index].target.get("topic", ""))
        if acknowledged.reason >= REFUSED:
            batch.settle(index, Failed(publish_refused(acknowledged.reason, acknowledged.text, topic)))
            return
        self._health.last_good_at = self._context.clock()
        if acknowledged.reason == NO_MATCHING_SUBSCRIBERS:
            self._warn_unheard(topic)
            batch.settle(index, Accepted("no matching subscribers"))
        else:
            batch.settle(index, Accepted())

    def _warn_unheard(self, topic: str) -> None:
        if topic not in self._unheard and len(self._unheard) < MOST_WARNINGS:
            self._unheard.add(topic)
            self._context.log.warning(
                "mqtt_no_subscribers", topic=topic, effect="the broker took the message and nobody gets it"
            )


async def _nothing_to_do(connection: Connection) -> None:
    """A sink needs nothing from a new connection."""
