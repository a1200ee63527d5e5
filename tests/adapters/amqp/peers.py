"""A producer and consumer that is not ours: aio-pika as it is documented."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage
from aiormq.abc import ChannelFrame
from pamqp.base import Frame
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from tests.servers import RabbitMQ

__all__ = ["Peer", "connected", "unique"]

_numbers = itertools.count()
DEADLINE_S = 20.0


def unique(name: str) -> str:
    """A name that no other test uses at the shared broker."""
    return f"{name}-{os.getpid()}-{next(_numbers)}"


class Peer:
    """A connection of its own to the broker."""

    def __init__(self, connection: AbstractConnection, channel: AbstractChannel) -> None:
        self.connection = connection
        self.channel = channel

    async def make_queue(self, name: str, **arguments: Any) -> str:
        """A durable queue, quorum unless said otherwise; returns its name."""
        queue_type = {"x-queue-type": "quorum"}
        await self.channel.declare_queue(
            name, durable=True, arguments={**queue_type, **arguments}, timeout=DEADLINE_S
        )
        return name

    async def publish(self, queue: str, bodies: Sequence[bytes], **properties: Any) -> None:
        """Publishes persistent messages; returns once the broker has confirmed all."""
        persistent = aio_pika.DeliveryMode.PERSISTENT
        messages = [aio_pika.Message(body, delivery_mode=persistent, **properties) for body in bodies]
        exchange = self.channel.default_exchange
        await asyncio.gather(*(exchange.publish(each, queue, timeout=DEADLINE_S) for each in messages))

    async def publish_illegible(self, queue: str, body: bytes) -> None:
        """Publishes a message whose correlation-id is no UTF-8, as a client of another language may."""
        channel = await (await self.connection.channel(publisher_confirms=False)).get_underlay_channel()
        properties = Basic.Properties(correlation_id="XXXX", content_type="text/plain", delivery_mode=2)
        frames: list[Frame | ContentHeader | ContentBody] = [
            Basic.Publish(routing_key=queue),
            ContentHeader(body_size=len(body), properties=properties),
            ContentBody(body),
        ]
        sound = ChannelFrame.marshall(channel_number=channel.number, frames=frames)
        wrong = sound.payload.replace(b"XXXX", b"\xff\xfe\xe4\xfc")
        await channel.connection.write_queue.put(ChannelFrame(payload=wrong, should_close=False))

    async def take(self, queue: str) -> list[AbstractIncomingMessage]:
        """Takes what is ready in the queue, and acknowledges it."""
        found = await self.channel.get_queue(queue)
        taken: list[AbstractIncomingMessage] = []
        while (message := await found.get(fail=False, timeout=DEADLINE_S)) is not None:
            await message.ack()
            taken.append(message)
        return taken

    async def count(self, queue: str) -> int:
        """How many messages are ready in the queue; those that are delivered and not acknowledged are not."""
        declared = await self.channel.declare_queue(queue, passive=True, timeout=DEADLINE_S)
        return int(declared.declaration_result.message_count or 0)


@asynccontextmanager
async def connected(broker: RabbitMQ) -> AsyncIterator[Peer]:
    """A peer, until the block ends."""
    connection = await aio_pika.connect(broker.url, timeout=DEADLINE_S)
    try:
        yield Peer(connection, await connection.channel(on_return_raises=True))
    finally:
        await connection.close()
