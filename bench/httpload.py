"""Posts CloudEvents over keep-alive connections and says how many were taken a second.

usage: python -m bench.httpload PORT KEY CONNECTIONS REQUESTS BATCH

A raw HTTP/1.1 client in a process of its own: any library would be the limit.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from itertools import count

import uvloop

__all__ = ["main"]

_LIMIT_S = 120.0
_SOURCE = f"/bench/{time.time_ns()}"


def event(number: int) -> dict[str, object]:
    """A measurement, different each time."""
    return {
        "specversion": "1.0",
        "id": str(number),
        "source": _SOURCE,
        "type": "com.crossplant.telemetry.measurement.recorded.v1",
        "subject": f"press-{number % 20}",
        "plantid": "brno",
        "data": {
            "tag": f"press-{number % 20}/temperature",
            "value": 20.0 + number % 1000 / 10,
            "uom": "CEL",
            "quality": "good",
            "source_time": "2026-03-31T10:00:00Z",
        },
    }


def request(key: str, first: int, batch: int) -> bytes:
    """One request with one event, structured, or a batch of them."""
    kind = "cloudevents" if batch == 1 else "cloudevents-batch"
    content = event(first) if batch == 1 else [event(first + n) for n in range(batch)]
    body = json.dumps(content, separators=(",", ":")).encode()
    head = (
        f"POST /v1/events HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/{kind}+json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    size = next(
        (
            int(line.partition(b":")[2])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length:")
        ),
        0,
    )
    body = await reader.readexactly(size)
    if not head.startswith(b"HTTP/1.1 202"):
        raise RuntimeError((head + body).decode(errors="replace")[:500])
    return body


async def load(port: int, key: str, connections: int, requests: int, batch: int) -> float:
    """Seconds for all requests."""
    prepared = [request(key, n * batch, batch) for n in range(requests)]
    numbers = count()

    async def connection() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (number := next(numbers)) < requests:
            writer.write(prepared[number])
            await _answer(reader)
        writer.close()

    began = time.perf_counter()
    async with asyncio.timeout(_LIMIT_S), asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(connection())
    return time.perf_counter() - began


def main() -> None:
    """See the module's text."""
    port, key, connections, requests, batch = sys.argv[1:6]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        passed = runner.run(load(int(port), key, int(connections), int(requests), int(batch)))
    print(json.dumps({"events_per_s": int(requests) * int(batch) / passed}))


if __name__ == "__main__":
    main()
