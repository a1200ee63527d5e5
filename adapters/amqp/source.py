"""AMQP messages in: one queue, acknowledged after the hub's commit.

Deliveries become RawMessages as they come; they wait for ``receive``, ``prefetch`` of them at most,
since the broker sends no more before we acknowledge. An acknowledgement belongs to the connection that
brought its messages, and does nothing once that one is over: the broker delivers them again, and they
get the ids that they had (``redelivery``).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any

from aiormq.abc import DeliveredMessage
from msgspec import Struct

from adapters.amqp.config import AmqpOptions
from adapters.amqp.connection import Connection
from adapters.amqp.dial import tls_context
from adapters.amqp.faults import bounded, channel_fault, lost
from adapters.amqp.intake import Intake
from adapters.amqp.link import Link
from adapters.amqp.redelivery import Window
from adapters.amqp.topology import ensure_queue
from canonical.ports import Inbound, Outcome, RawMessage
from canonical.spec import AdapterContext

__all__ = ["AmqpSource"]

BATCH = 500


class _Arrival(Struct, frozen=True):
    connection: Connection
    tag: int
    raw: RawMessage


class AmqpSource:
    """A source over one queue. Without a queue it is idle: the adapter only delivers."""

    def __init__(self, options: AmqpOptions, context: AdapterContext) -> None:
        self._options = options
        self._context = context
        self._window = Window(options.prefetch)
        self._intake = Intake(
            context.name, self._window, use_message_id=options.use_message_id, clock=context.clock
        )
        self._link = Link(options, context, context.health, self._established, confirms=False)
        self._arrivals: deque[_Arrival] = deque()
        self._acknowledged = 0
        self._arrived = asyncio.Event()
        self._closed = False
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Starts connecting, and goes on until ``close``. Raises ConfigError for unusable certificates."""
        tls = await asyncio.to_thread(tls_context, self._options)
        if self._options.receives:
            self._context.health.fresh_within_s = self._options.fresh_within
            history = await self._context.history(2 * self._options.prefetch)
            self._window.load(raw for raw in history if self._intake.own_ids(raw))
            self._context.health.detail = f"connecting to {self._options.url}"
            self._task = asyncio.create_task(self._link.run(tls), name=f"amqp source {self._context.name}")
            self._task.add_done_callback(lambda _: self._arrived.set())

    async def receive(self) -> AsyncIterator[Inbound]:
        """Yields what has come in, 500 messages at most at a time, each batch of one connection."""
        while not self._closed:
            if self._arrivals:
                yield self._next_batch()
                continue
            if self._task is not None and self._task.done():
                self._task.result()
            self._arrived.clear()
            await self._arrived.wait()

    async def close(self) -> None:
        """Leaves the broker, which delivers again what was not acknowledged; safe to call twice."""
        self._closed = True
        self._arrived.set()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None
            self._context.health.detail = "closed"

    # ── the way in ──────────────────────────────────────────────────────────────────────────────

    async def _established(self, connection: Connection) -> None:
        """Before a connection counts: the queue is there and is consumed."""
        assert self._options.queue is not None
        await ensure_queue(connection, self._options)
        await connection.call(connection.channel.set_qos(prefetch_count=self._options.prefetch))
        self._window.new_connection()
        self._acknowledged = 0
        self._arrivals.clear()  # what nobody took of an earlier connection is delivered again
        connection.basic.on_consumer_cancel_callbacks.add(partial(self._on_cancelled, connection))

        async def on_message(message: DeliveredMessage) -> None:
            self._on_message(connection, message)

        await connection.call(connection.basic.basic_consume(self._options.queue, on_message))

    def _on_message(self, connection: Connection, message: DeliveredMessage) -> None:
        """Keeps the message; does nothing else, and raises nothing that the library would swallow."""
        if not connection.alive:
            return
        try:
            raw = self._intake.read(message)
            self._arrivals.append(_Arrival(connection, message.delivery_tag or 0, raw))
        except Exception as error:  # noqa: BLE001 - what cannot be read must not sit there unacknowledged
            connection.abandon(lost(f"a message cannot be read: {type(error).__name__}: {error}", error))
            return
        self._context.health.last_good_at = raw.received_at
        self._arrived.set()

    def _on_cancelled(self, connection: Connection, _: Any) -> None:
        text = f"the broker no longer lets us consume {self._options.queue!r}: it was deleted, or moved"
        connection.abandon(lost(text))

    # ── out of the buffer, and back to the broker ───────────────────────────────────────────────

    def _next_batch(self) -> Inbound:
        connection = self._arrivals[0].connection
        batch: list[_Arrival] = []
        while self._arrivals and self._arrivals[0].connection is connection and len(batch) < BATCH:
            batch.append(self._arrivals.popleft())
        tags = [arrival.tag for arrival in batch]
        return Inbound(
            messages=[arrival.raw for arrival in batch], ack=partial(self._acknowledge, connection, tags)
        )

    async def _acknowledge(
        self, connection: Connection, tags: Sequence[int], outcomes: Sequence[Outcome]
    ) -> None:
        """All outcomes are acknowledged alike: what was invalid is a dead letter by now, and kept.

        One frame for the whole batch when it follows the one before, as it always should; else one each.
        """
        if not connection.alive:
            return
        in_order = tags[0] == self._acknowledged + 1
        frames = [(tags[-1], True)] if in_order else [(tag, False) for tag in tags]
        try:
            for tag, multiple in frames:
                await bounded(
                    connection.basic.basic_ack(tag, multiple=multiple), self._options.connect_timeout
                )
        except Exception as error:  # noqa: BLE001 - not acknowledged: comes again on the next connection
            connection.abandon(channel_fault(error))
            return
        if in_order:
            self._acknowledged = tags[-1]
            self._window.acknowledged(tags[-1])
