"""The script that one writes first: paho's callback, a queue, 100 workers that await aio-pika's confirm.

usage: python -m bench.peers.naive MQTT_PORT AMQP_URL QUEUE

It acknowledges an MQTT message once RabbitMQ has confirmed it, as ours does.
"""

from __future__ import annotations

import asyncio
import json
import sys

import aio_pika
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from bench.workload import PLANT, UOM

WORKERS = 100


def enriched(message: paho.MQTTMessage) -> bytes | None:
    """What goes out; None for what is dropped."""
    reading = json.loads(message.payload)
    if reading["quality"] != "good":
        return None
    out = {"plant": PLANT, "tag": reading["tag"], "value": reading["value"], "uom": UOM, "at": reading["at"]}
    return json.dumps(out).encode()


async def work(
    waiting: asyncio.Queue[paho.MQTTMessage],
    exchange: aio_pika.abc.AbstractExchange,
    queue: str,
    client: paho.Client,
) -> None:
    """One worker: takes, maps, publishes, awaits the confirm, acknowledges."""
    while True:
        message = await waiting.get()
        body = enriched(message)
        if body is not None:
            outgoing = aio_pika.Message(
                body, content_type="application/json", delivery_mode=aio_pika.DeliveryMode.PERSISTENT
            )
            await exchange.publish(outgoing, routing_key=queue)
        client.ack(message.mid, message.qos)


async def main(port: int, url: str, queue: str) -> None:
    """Runs until it is ended."""
    loop = asyncio.get_running_loop()
    waiting: asyncio.Queue[paho.MQTTMessage] = asyncio.Queue()
    connection = await aio_pika.connect(url)
    channel = await connection.channel(publisher_confirms=True)
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id="naive", clean_session=False, manual_ack=True)

    def on_message(client: paho.Client, data: object, message: paho.MQTTMessage) -> None:
        loop.call_soon_threadsafe(waiting.put_nowait, message)

    client.on_message = on_message
    client.on_connect = lambda *arguments: arguments[0].subscribe(f"{queue}/#", qos=1)
    client.connect("127.0.0.1", port)
    client.loop_start()
    await asyncio.gather(*(work(waiting, channel.default_exchange, queue, client) for _ in range(WORKERS)))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3]))
