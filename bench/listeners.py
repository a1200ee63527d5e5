"""Takes OPC UA data changes in, and does nothing else: our source, also with its events, or asyncua as it is.

usage: python -m bench.listeners ours|events|asyncua URL ITEMS SECONDS

Prints one JSON line: values, seconds and CPU seconds, from the first second of values on.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import uvloop
from asyncua import Client, Node

from bench.receivers import GC_THRESHOLDS, context
from canonical.ports import Outcome
from canonical.spec import adapter_spec

__all__ = ["main"]

INTERVAL_MS = 100
_SETTLE_S = 2.0


class Counter:
    """Values so far."""

    def __init__(self) -> None:
        self.values = 0

    def datachange_notification(self, node: Node, value: Any, data: Any) -> None:
        """asyncua's callback."""
        self.values += 1


async def ours(
    url: str, items: int, counter: Counter, seconds: float, *, events: bool = False
) -> dict[str, float]:
    """Our source as ingest drives it, without the journal: taken, decoded when ``events``, acknowledged."""
    spec = adapter_spec("opcua")
    assert spec.source is not None
    assert spec.decoder is not None
    options = spec.config.model_validate(
        {
            "url": url,
            "security": "none",
            "anonymous": True,
            "equipment": "acme/aachen/press-shop/line-1",
            "publishing_interval": f"{INTERVAL_MS}ms",
            "sampling_interval": "0ms",
            "tags": [
                {"node": f"nsu=urn:peer:line;s=item-{n + 1:04}", "tag": f"item-{n + 1:04}", "uom": "C62"}
                for n in range(items)
            ],
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        source = spec.source(options, context(Path(folder)))
        decoder = spec.decoder(options, context(Path(folder)))

        async def receive() -> None:
            async for inbound in source.receive():
                counter.values += sum(int(raw.attributes.get("count", 0)) for raw in inbound.messages)
                if events:
                    for raw in inbound.messages:
                        list(decoder.decode(None, raw)[1])
                outcomes: Sequence[Outcome] = [Outcome(status="accepted")] * len(inbound.messages)
                await inbound.ack(outcomes)

        await source.open()
        task = asyncio.create_task(receive())
        try:
            return await _measured(counter, seconds)
        finally:
            await source.close()
            await task


async def stock(url: str, items: int, counter: Counter, seconds: float) -> dict[str, float]:
    """asyncua's subscription, with a handler that counts."""
    logging.getLogger("asyncua").setLevel(logging.ERROR)
    async with Client(url) as client:
        index = await client.get_namespace_index("urn:peer:line")
        nodes = [client.get_node(f"ns={index};s=item-{n + 1:04}") for n in range(items)]
        subscription = await client.create_subscription(INTERVAL_MS, counter)
        await subscription.subscribe_data_change(nodes, queuesize=10)
        return await _measured(counter, seconds)


async def _measured(counter: Counter, seconds: float) -> dict[str, float]:
    await asyncio.sleep(_SETTLE_S)
    values, wall_s, cpu_s = counter.values, time.perf_counter(), time.process_time()
    await asyncio.sleep(seconds)
    return {
        "values": counter.values - values,
        "wall_s": time.perf_counter() - wall_s,
        "cpu_s": time.process_time() - cpu_s,
    }


def main() -> None:
    """See the module's text."""
    who, url, items, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
    gc.set_threshold(*GC_THRESHOLDS)
    counter = Counter()
    if who == "asyncua":
        listening = stock(url, items, counter, seconds)
    else:
        listening = ours(url, items, counter, seconds, events=who == "events")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(listening)))


if __name__ == "__main__":
    main()
