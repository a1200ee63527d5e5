"""Takes what arrives in a queue and says how long each took: a process of its own.

usage: python -m bench.consumer AMQP_URL QUEUE COUNT

Every message's ``value`` is the monotonic moment, in milliseconds, at which it was due. Prints one JSON
line with the percentiles, in milliseconds, of all but the first tenth.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import aio_pika
import uvloop
from aiormq.abc import DeliveredMessage

from bench.workload import delivered

__all__ = ["main"]

_LIMIT_S = 120.0


async def take(url: str, queue: str, count: int) -> list[float]:
    """Milliseconds from due to here, in the order of arrival."""
    latencies: list[float] = []
    done = asyncio.Event()
    wanted = delivered(count)

    async def on_message(message: DeliveredMessage) -> None:
        latencies.append(time.monotonic() * 1000 - json.loads(message.body)["value"])
        if len(latencies) >= wanted:
            done.set()

    connection = await aio_pika.connect(url)
    async with connection:
        channel = await connection.channel()
        basic = await channel.get_underlay_channel()
        await basic.basic_consume(queue, on_message, no_ack=True)
        print("ready", flush=True)
        async with asyncio.timeout(_LIMIT_S):
            await done.wait()
    return latencies


def main() -> None:
    """See the module's text."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(take(sys.argv[1], sys.argv[2], int(sys.argv[3])))
    steady = sorted(found[len(found) // 10 :])
    shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
    print(json.dumps({name: steady[int(share * (len(steady) - 1))] for name, share in shares.items()}))


if __name__ == "__main__":
    main()
