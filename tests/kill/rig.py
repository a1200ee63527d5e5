"""A hub that is killed, a broker that keeps what it sent, and a system that remembers every request."""

from __future__ import annotations

import asyncio
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from tests.servers.ports import LOOPBACK

__all__ = ["POISON", "TOTAL", "Burst", "Erp", "deployment", "erp"]

LINES = 5
PER_LINE = 4_000
TOTAL = LINES * PER_LINE
POISON = 20
"""Messages of the line whose first document the ERP refuses, so that the others wait behind it."""


def deployment(folder: Path, *, port: int, broker: int, target: int) -> Path:
    """A hub between an MQTT broker and an HTTP system. No id in the messages: the hub gives its own."""
    path = folder / "deployment.yaml"
    path.write_text(
        f"""
company: acme
gateway: {{bind: {LOOPBACK}, port: {port}}}
plants:
  brno: {{name: Brno, timezone: Europe/Prague}}
adapters:
  floor:
    kind: mqtt
    plant: brno
    url: mqtt://{LOOPBACK}:{broker}
    subscribe:
      - topic: acme/brno/{{line}}/count
    format:
      kind: json
      events:
        - type: equipment.count.reported
          subject: message.line
          data:
            equipment: "'acme/brno/hall/' + message.line"
            window_start: payload.at
            window_end: payload.at
            total: payload.n
            good: payload.n
            reject: int(0)
  erp:
    kind: rest
    url: http://{LOOPBACK}:{target}
    timeout: 10s
routes:
  counts:
    on: [equipment.count.reported]
    order: key
    from: beginning
    map: {{line: event.subject, n: data.total}}
    to: {{adapter: erp, path: counts}}
""",
        encoding="utf-8",
    )
    return path


class Burst:
    """20,000 counts by mosquitto_pub, which ends when the broker has acknowledged every one."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.sent = {(f"line{line}", n) for line in range(LINES) for n in range(PER_LINE)}
        self.sent |= {("poison", n) for n in range(POISON)}

    async def publish(self) -> None:
        """Returns when all counts but those of the poisoned line are safe at the broker."""
        await asyncio.gather(*(self._send(f"line{line}", range(PER_LINE)) for line in range(LINES)))

    async def poison(self, numbers: range = range(POISON)) -> None:
        """The line whose number 0 the ERP refuses: each of these makes the route write into its lane."""
        await self._send("poison", numbers)

    async def _send(self, name: str, numbers: range) -> None:
        body = "".join(f'{{"n":{n},"at":"2026-03-01T06:00:00Z"}}\n' for n in numbers)
        publisher = await asyncio.create_subprocess_exec(
            *("mosquitto_pub", "-h", LOOPBACK, "-p", str(self._port), "-q", "1", "-l"),
            *("-t", f"acme/brno/{name}/count"),
            stdin=PIPE,
        )
        await publisher.communicate(body.encode())
        assert publisher.returncode == 0


class Erp:
    """Keeps every request: what came under which idempotency key, in which order."""

    def __init__(self) -> None:
        self.keys: dict[tuple[str, int], set[str]] = {}
        self.order: list[tuple[str, int]] = []
        self.repeated = 0
        self.refuse = True

    async def take(self, request: web.Request) -> web.Response:
        body: Mapping[str, object] = await request.json()
        fact = (str(body["line"]), int(str(body["n"])))
        if self.refuse and fact == ("poison", 0):
            return web.json_response({"error": "unknown line"}, status=422)
        if fact in self.keys:
            self.repeated += 1
        else:
            self.order.append(fact)
        self.keys.setdefault(fact, set()).add(request.headers["Idempotency-Key"])
        return web.json_response({"ok": True})

    def account(self, sent: set[tuple[str, int]]) -> dict[str, int]:
        """Counted as Jepsen does: lost, unexpected, and duplicates under another key than the first."""
        per_key = [key for keys in self.keys.values() for key in keys]
        return {
            "lost": len(sent - self.keys.keys()),
            "unexpected": len(self.keys.keys() - sent),
            "other_key": sum(len(keys) - 1 for keys in self.keys.values()) + len(per_key) - len(set(per_key)),
            "overtaken": sum(
                ns != sorted(ns)
                for name in {line for line, _ in self.order}
                for ns in [[n for line, n in self.order if line == name]]
            ),
        }


@asynccontextmanager
async def erp(port: int) -> AsyncIterator[Erp]:
    """The system on a port of loopback."""
    system = Erp()
    app = web.Application()
    app.router.add_post("/counts", system.take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, LOOPBACK, port)
    await site.start()
    try:
        yield system
    finally:
        await runner.cleanup()
