"""The queue that we consume: it is there, or is made, with a dead-letter queue behind it."""

from __future__ import annotations

from typing import Any

from adapters.amqp.config import AmqpOptions, DeclareOptions
from adapters.amqp.connection import Connection
from canonical.errors import Rejected, TransientError

__all__ = ["ensure_queue"]


async def ensure_queue(connection: Connection, options: AmqpOptions) -> None:
    """Returns once the queue is there. Raises CrossplantError that says what to do; the channel is over."""
    assert options.queue is not None
    try:
        if options.declare_queue is None:
            await connection.call(connection.channel.declare_queue(options.queue, passive=True))
        else:
            await _declare(connection, options.queue, options.declare_queue)
    except Rejected as error:
        raise TransientError(f"{error.message}; {_advice(error.code, options)}", code=error.code) from error


async def _declare(connection: Connection, name: str, declare: DeclareOptions) -> None:
    """Dead letters are handed over only once their queue has confirmed them (RabbitMQ 3.10 and later)."""
    channel = connection.channel
    dead = declare.dead_letter_exchange or f"{name}.dead"
    exchange = await connection.call(channel.declare_exchange(dead, "fanout", durable=True))
    quorum: dict[str, Any] = {"x-queue-type": "quorum"}
    dead_queue = await connection.call(channel.declare_queue(dead, durable=True, arguments=quorum))
    await connection.call(dead_queue.bind(exchange))
    arguments = {
        **quorum,
        "x-delivery-limit": declare.delivery_limit,
        "x-dead-letter-exchange": dead,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
    queue = await connection.call(channel.declare_queue(name, durable=True, arguments=arguments))
    for binding in declare.bind:
        await connection.call(queue.bind(binding.exchange, binding.routing_key))


def _advice(code: str, options: AmqpOptions) -> str:
    if code == "precondition_failed":
        return "it exists with other arguments: leave declare_queue out, or have it deleted first"
    if options.declare_queue is None:
        return "have it made by the broker's owner, or set declare_queue"
    return "have it made by the broker's owner"
