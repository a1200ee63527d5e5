"""A system that takes POSTs: counts them, or is slow about it. A process of its own.

usage: python -m bench.target PORT [DELAY_S]

A GET answers with what it has counted.
"""

from __future__ import annotations

import asyncio
import json
import sys

import uvloop

__all__ = ["main"]

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Target:
    """HTTP/1.1 as far as the measurements need it."""

    def __init__(self, delay_s: float) -> None:
        self.delay_s, self.count = delay_s, 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, request after request."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if head.startswith(b"GET "):
                    body = json.dumps({"count": self.count}).encode()
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
                    continue
                await reader.readexactly(_size(head))
                self.count += 1
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                writer.write(_ANSWER)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def _size(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


async def run(port: int, delay_s: float) -> None:
    """Serves until it is ended."""
    server = await asyncio.start_server(Target(delay_s).serve, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


def main() -> None:
    """See the module's text."""
    delay_s = float(sys.argv[2]) if len(sys.argv) > 2 else 0.0
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(int(sys.argv[1]), delay_s))


if __name__ == "__main__":
    main()
