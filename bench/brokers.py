"""The servers between which things are measured: mosquitto and RabbitMQ, as the tests start them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aio_pika
from aio_pika.abc import AbstractChannel

from tests.servers import Mosquitto, RabbitMQ, free_port, give_back

__all__ = ["Brokers", "brokers", "mosquitto", "rabbitmq"]

POLL_S = 0.05


@asynccontextmanager
async def mosquitto(folder: Path) -> AsyncIterator[Mosquitto]:
    """A broker without persistence on disk: the contestants are measured, not its saving."""
    port = free_port()
    broker = Mosquitto.create(folder / "mosquitto", port=port, extra=["autosave_interval 0"])
    settings = broker.folder / "mosquitto.conf"
    settings.write_text(settings.read_text().replace("log_type all", "log_type information"))
    try:
        await asyncio.to_thread(broker.start)
        yield broker
    finally:
        await asyncio.to_thread(broker.stop)
        give_back(port)


@asynccontextmanager
async def rabbitmq(folder: Path) -> AsyncIterator[RabbitMQ]:
    """A node of its own."""
    ports: list[int] = []

    def take() -> int:
        ports.append(free_port())
        return ports[-1]

    broker = RabbitMQ.create(folder / "rabbitmq", free_port=take)
    try:
        await asyncio.to_thread(broker.start)
        yield broker
    finally:
        await asyncio.to_thread(broker.stop)
        for port in ports:
            give_back(port)


class Brokers:
    """Both, and a quorum queue at a time."""

    def __init__(self, mqtt: Mosquitto, amqp: RabbitMQ, channel: AbstractChannel) -> None:
        self.mqtt, self.amqp, self._channel = mqtt, amqp, channel
        self._queues = 0

    async def fresh_queue(self) -> str:
        """The name of a new durable quorum queue."""
        self._queues += 1
        name = f"bench-{self._queues}"
        await self._channel.declare_queue(name, durable=True, arguments={"x-queue-type": "quorum"})
        return name

    async def drop(self, queue: str) -> None:
        """Deletes a queue with what is in it."""
        await self._channel.queue_delete(queue)

    async def purge(self, queue: str) -> None:
        """Empties it."""
        await (await self._channel.get_queue(queue)).purge()

    async def depth(self, queue: str) -> int:
        """How many messages are in it."""
        found = await self._channel.declare_queue(queue, passive=True)
        return found.declaration_result.message_count or 0

    async def reaches(self, queue: str, wanted: int, within_s: float) -> None:
        """Returns once so many messages are in it. Raises TimeoutError that says how many are missing."""
        depth = 0
        try:
            async with asyncio.timeout(within_s):
                while (depth := await self.depth(queue)) < wanted:  # noqa: ASYNC110 - the broker tells only if asked
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            text = f"{depth:,} of {wanted:,} messages are there after {within_s:g} s"
            raise TimeoutError(text) from None

    async def sample(self, queue: str) -> list[bytes]:
        """Some of its messages; they stay in it."""
        found = await self._channel.get_queue(queue)
        messages = [message async for message in _some(found)]
        for message in messages:
            await message.nack(requeue=True)
        return [message.body for message in messages]


async def _some(queue: aio_pika.abc.AbstractQueue) -> AsyncIterator[aio_pika.abc.AbstractIncomingMessage]:
    for _ in range(3):
        message = await queue.get(fail=False)
        if message is not None:
            yield message


@asynccontextmanager
async def brokers(folder: Path) -> AsyncIterator[Brokers]:
    """Both running, with a connection for what is looked at."""
    async with mosquitto(folder) as mqtt, rabbitmq(folder) as amqp:
        connection = await aio_pika.connect(amqp.url)
        async with connection:
            yield Brokers(mqtt, amqp, await connection.channel())
