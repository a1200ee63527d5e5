"""Takes in a backlog of MQTT messages and acknowledges each: our source, or stock paho.

usage: python -m bench.receivers ours|paho PORT ROOT COUNT     (COUNT 0: only makes the session)

Prints one JSON line: seconds from the first to the last message, and CPU seconds in that time.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import paho.mqtt.client as paho
import structlog
import uvloop
from paho.mqtt.enums import CallbackAPIVersion

from canonical.ports import Outcome, RawMessage
from canonical.spec import AdapterContext, Health, adapter_spec

__all__ = ["GC_THRESHOLDS", "context", "main"]

_LIMIT_S = 120.0
GC_THRESHOLDS = (100_000, 50, 100)
"""Those of a hub (``gateway.runtime``), for both."""


class Stopwatch:
    """From the first message to the last of those wanted."""

    def __init__(self, wanted: int, done: Callable[[], None]) -> None:
        self._wanted, self._done, self._seen = wanted, done, 0
        self._began = (0.0, 0.0)
        self.passed: dict[str, float] = {"wall_s": 0.0, "cpu_s": 0.0}

    def saw(self, messages: int) -> None:
        """So many more are here."""
        if not self._seen:
            self._began = (time.perf_counter(), time.process_time())
        self._seen += messages
        if self._seen >= self._wanted > 0:
            wall_s, cpu_s = self._began
            self.passed = {"wall_s": time.perf_counter() - wall_s, "cpu_s": time.process_time() - cpu_s}
            self._done()


async def ours(port: int, root: str, count: int) -> dict[str, float]:
    """Our source as ingest drives it, without the journal: taken, then acknowledged by batches."""
    done = asyncio.Event()
    watch = Stopwatch(count, done.set)
    spec = adapter_spec("mqtt")
    assert spec.source is not None
    with tempfile.TemporaryDirectory() as folder:
        options = spec.config.model_validate(
            {
                "url": f"mqtt://127.0.0.1:{port}",
                "client_id": f"bench-{root}",
                "subscribe": [{"topic": f"{root}/#"}],
            }
        )
        source = spec.source(options, context(Path(folder)))

        async def receive() -> None:
            async for inbound in source.receive():
                watch.saw(len(inbound.messages))
                await inbound.ack([Outcome(status="accepted")] * len(inbound.messages))

        await source.open()
        task = asyncio.create_task(receive())
        try:
            async with asyncio.timeout(_LIMIT_S):
                if count:
                    await done.wait()
                else:
                    await asyncio.sleep(1.0)
        finally:
            await source.close()
            await task
    return watch.passed


def context(folder: Path) -> AdapterContext:
    """What a hub gives to an adapter of its own; nothing is kept."""

    async def no_history(limit: int) -> Sequence[RawMessage]:
        return []

    return AdapterContext(
        name="floor",
        plant="brno",
        partner=None,
        timezone=ZoneInfo("UTC"),
        source="/bench",
        data_dir=folder,
        state=None,
        history=no_history,
        health=Health(),
        clock=lambda: datetime.now(UTC),
        log=structlog.wrap_logger(structlog.ReturnLogger()),
    )


def stock(port: int, root: str, count: int) -> dict[str, float]:
    """paho as it is: a callback a message, acknowledged by hand."""
    done = threading.Event()
    watch = Stopwatch(count, done.set)
    client = paho.Client(
        CallbackAPIVersion.VERSION2, client_id=f"bench-{root}", clean_session=False, manual_ack=True
    )

    def on_message(client: paho.Client, data: object, message: paho.MQTTMessage) -> None:
        watch.saw(1)
        client.ack(message.mid, message.qos)

    client.on_message = on_message
    client.on_connect = lambda *arguments: arguments[0].subscribe(f"{root}/#", qos=1)
    client.connect("127.0.0.1", port)
    client.loop_start()
    done.wait(_LIMIT_S if count else 1.0)
    client.disconnect()
    client.loop_stop()
    return watch.passed


def main() -> None:
    """See the module's text."""
    who, port, root, count = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    gc.set_threshold(*GC_THRESHOLDS)
    if who == "ours":
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            passed = runner.run(ours(port, root, count))
    else:
        passed = stock(port, root, count)
    print(json.dumps(passed))


if __name__ == "__main__":
    main()
