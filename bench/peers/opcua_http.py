"""The script that one writes first: asyncua's subscription, a queue, 32 workers that POST with aiohttp.

usage: python -m bench.peers.opcua_http OPCUA_URL ITEMS TARGET_PORT
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from datetime import datetime
from typing import Any

from aiohttp import ClientSession
from asyncua import Client, Node, ua

WORKERS = 32
INTERVAL_MS = 100


class Handler:
    """Puts every change into the queue."""

    def __init__(self, waiting: asyncio.Queue[dict[str, Any]]) -> None:
        self._waiting = waiting

    def datachange_notification(self, node: Node, value: Any, data: Any) -> None:
        """asyncua's callback."""
        found: ua.DataValue = data.monitored_item.Value
        at: datetime | None = found.SourceTimestamp
        tag = str(node.nodeid.Identifier)
        self._waiting.put_nowait({"plant": "aachen", "tag": tag, "value": value, "at": str(at)})


async def post(waiting: asyncio.Queue[dict[str, Any]], client: ClientSession, url: str) -> None:
    """One worker."""
    while True:
        reading = await waiting.get()
        async with client.post(url, data=json.dumps(reading)):
            pass


async def main(url: str, items: int, port: int) -> None:
    """Runs until it is ended."""
    logging.getLogger("asyncua").setLevel(logging.ERROR)
    waiting: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    async with Client(url) as client, ClientSession() as http:
        index = await client.get_namespace_index("urn:peer:line")
        nodes = [client.get_node(f"ns={index};s=item-{n + 1:04}") for n in range(items)]
        subscription = await client.create_subscription(INTERVAL_MS, Handler(waiting))
        await subscription.subscribe_data_change(nodes, queuesize=10)
        await asyncio.gather(
            *(post(waiting, http, f"http://127.0.0.1:{port}/values") for _ in range(WORKERS))
        )


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
