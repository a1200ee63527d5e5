"""MQTT messages in: QoS 1, acknowledged after the hub's commit, on a persistent session.

Bytes become RawMessages as they are read; they wait in a bounded buffer for ``receive``, and when
it is full the socket is no longer read. An acknowledgement belongs to the connection that brought
its messages, and does nothing once that one is over: the broker sends them again, and they get the
ids that they had (``redelivery``).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from functools import partial

from adapters.mqtt.config import MqttOptions
from adapters.mqtt.connection import Connection, Handlers, Identity
from adapters.mqtt.dial import tls_context
from adapters.mqtt.intake import Chunk, Intake
from adapters.mqtt.link import Link
from adapters.mqtt.packets import Publishes
from adapters.mqtt.redelivery import Window
from adapters.mqtt.subscriptions import Subscriptions
from adapters.mqtt.topics import parse_filter
from canonical.ports import Inbound, Outcome, RawMessage
from canonical.spec import AdapterContext

__all__ = ["MqttSource"]

BATCH = 1_000
BUFFER_MESSAGES = 10_000
BUFFER_BYTES = 64 * 1024 * 1024
REMEMBERED = 10_000
"""Messages that are known again when they come again: more than are ever committed and, as far as the broker
knows, not acknowledged. Receive Maximum is no bound: mosquitto 2.0 exceeds it (eclipse-mosquitto #2301)."""


class MqttSource:
    """A source over one MQTT session. Without subscriptions it is idle: the adapter only delivers."""

    def __init__(self, options: MqttOptions, context: AdapterContext) -> None:
        self._options = options
        self._context = context
        filters = [(parse_filter(each.topic), each.qos) for each in options.subscribe]
        version5 = options.protocol == "5"
        identity = Identity(client_id=options.client_id or f"crossplant-{context.name}", persistent=True)
        self._window = Window(REMEMBERED)
        self._intake = Intake([each for each, _ in filters], context, self._window)
        self._subscriptions = Subscriptions(
            {each.filter: qos for each, qos in filters},
            url=options.url,
            identity=identity,
            folder=context.data_dir,
            version5=version5,
            log=context.log,
        )
        handlers = Handlers(logged_in=self._on_login, publishes=self._on_publishes)
        self._link = Link(options, context, context.health, identity, handlers, self._established)
        self._chunks: deque[Chunk] = deque()
        self._messages = 0
        self._bytes = 0
        self._connection: Connection | None = None
        self._had_session = False
        self._arrived = asyncio.Event()
        self._closed = False
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Starts connecting, and goes on until ``close``. Raises ConfigError for unusable certificates."""
        tls = await asyncio.to_thread(tls_context, self._options)
        if self._options.subscribe:
            self._context.health.fresh_within_s = self._options.fresh_within
            self._window.load(await self._context.history(REMEMBERED))
            self._context.health.detail = f"connecting to {self._options.url}"
            self._task = asyncio.create_task(self._link.run(tls), name=f"mqtt source {self._context.name}")
            self._task.add_done_callback(lambda _: self._arrived.set())

    async def receive(self) -> AsyncIterator[Inbound]:
        """Yields what has come in, about a thousand messages at a time, each batch of one connection."""
        while not self._closed:
            if self._chunks:
                yield self._next_batch()
                continue
            if self._task is not None and self._task.done():
                self._task.result()
            self._arrived.clear()
            await self._arrived.wait()

    async def close(self) -> None:
        """Leaves the broker in an orderly way; the session, and what was not acknowledged, stay there."""
        self._closed = True
        self._arrived.set()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None
            self._context.health.detail = "closed"

    # ── the way in ──────────────────────────────────────────────────────────────────────────────

    async def _established(self, connection: Connection) -> None:
        """Before a connection counts: the subscriptions are right."""
        refusals = await self._subscriptions.establish(connection)
        refused = ", ".join(f"{refusal.topic!r} refused: {refusal.reason}" for refusal in refusals)
        self._link.note = refused

    def _on_login(self, connection: Connection) -> None:
        """Before the first message of a connection: messages follow at once on a persistent session."""
        terms = connection.terms
        self._window.new_connection(session_present=terms.session_present)
        self._connection = connection
        if self._had_session and not terms.session_present:
            self._context.log.error(
                "mqtt_session_lost",
                broker=self._options.url,
                effect="what was published while we were away is lost, unless its sender sends it again",
                action="compare session_expiry with the broker's limit; let the broker persist its sessions",
            )
        self._had_session = True
        granted_s = terms.expiry_s
        if granted_s is not None and granted_s < self._options.session_expiry:
            self._context.log.warning(
                "mqtt_session_expiry_cut", asked_s=self._options.session_expiry, granted_s=granted_s
            )

    def _on_publishes(self, connection: Connection, publishes: Publishes) -> None:
        for start in range(0, len(publishes.mids), BATCH):
            chunk = self._intake.read(connection, publishes.part(start, start + BATCH))
            self._context.health.last_good_at = chunk.messages[-1].received_at
            self._chunks.append(chunk)
            self._messages += len(chunk.messages)
            self._bytes += chunk.size_bytes
        if self._full():
            connection.pause()
        self._arrived.set()

    def _full(self) -> bool:
        return self._messages >= BUFFER_MESSAGES or self._bytes >= BUFFER_BYTES

    # ── the way out of the buffer, and back to the broker ───────────────────────────────────────

    def _next_batch(self) -> Inbound:
        connection = self._chunks[0].connection
        messages: list[RawMessage] = []
        acknowledgements: list[bytes] = []
        mids: list[int] = []
        while self._chunks and self._chunks[0].connection is connection and len(messages) < BATCH:
            chunk = self._chunks.popleft()
            messages += chunk.messages
            acknowledgements.append(chunk.acknowledgements)
            mids += chunk.mids
            self._bytes -= chunk.size_bytes
        self._messages -= len(messages)
        if self._connection is not None and not self._full():
            self._connection.resume()
        return Inbound(
            messages=messages, ack=partial(self._acknowledge, connection, b"".join(acknowledgements), mids)
        )

    async def _acknowledge(
        self, connection: Connection, acknowledgements: bytes, mids: list[int], outcomes: Sequence[Outcome]
    ) -> None:
        """All outcomes are acknowledged alike: what was invalid is a dead letter by now, and kept."""
        if connection.alive:
            connection.acknowledge(acknowledgements)
            self._window.acknowledged(mids)
