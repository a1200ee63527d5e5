"""The site of a long run: two brokers, an ERP, a hub between them, and what was sent and arrived."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any

import aio_pika
from aiohttp import ClientError, web

from tests.faults.erp import Erp, Site
from tests.faults.rig import AT, Fact, Ledger
from tests.hub import HubProcess
from tests.servers import Mosquitto, RabbitMQ, free_port
from tests.servers.ports import LOOPBACK
from tests.waiting import eventually

__all__ = ["POISON", "Plant", "StumblingErp"]

IN, OUT = "chaos-in", "chaos-out"
LINES = 6
POISON = "web-poison"
"""A line whose first document the ERP refuses until the end, so that the others wait behind it."""
PATIENCE = "heartbeat: 5s, connect_timeout: 3s, publish_timeout: 5s, max_backoff: 1s"
DEADLINE_S = 20.0
REST_S = 0.2


def deployment(port: int, mqtt: int, amqp: int, erp: int) -> str:
    """MQTT, AMQP and HTTP in; HTTP and AMQP out; each event goes both ways."""
    event = """
        - type: equipment.count.reported
          subject: {line}{id}
          data:
            equipment: "'acme/brno/hall/' + {line}"
            window_start: payload.at
            window_end: payload.at
            total: payload.n
            good: payload.n
            reject: int(0)"""
    by_topic = event.format(line="message.line", id="")
    by_body = event.format(line="payload.line", id='\n          id: payload.line + "-" + string(payload.n)')
    return f"""
company: acme
gateway: {{bind: {LOOPBACK}, port: {port}}}
plants:
  brno: {{name: Brno, timezone: Europe/Prague}}
adapters:
  floor:
    kind: mqtt
    plant: brno
    url: mqtt://{LOOPBACK}:{mqtt}
    subscribe: [{{topic: "acme/brno/{{line}}/count"}}]
    format:
      kind: json
      events:{by_topic}
  queue:
    kind: amqp
    plant: brno
    url: amqp://{LOOPBACK}:{amqp}
    queue: {IN}
    heartbeat: 5s
    max_backoff: 1s
    format:
      kind: json
      events:{by_body}
  hook:
    kind: rest
    plant: brno
    webhook: {{verify: {{kind: bearer, secret: "${{file:token}}"}}}}
    format:
      kind: json
      events:{by_body}
  erp: {{kind: rest, url: "http://{LOOPBACK}:{erp}", timeout: 3s, concurrency: 8}}
  lake: {{kind: amqp, url: "amqp://{LOOPBACK}:{amqp}", {PATIENCE}}}
routes:
  to-erp:
    on: [equipment.count.reported]
    order: key
    from: beginning
    map: {{order: event.subject, n: data.total}}
    to: {{adapter: erp, path: orders}}
    retry: {{first: 200ms, max: 1s, give_up_after: 1h}}
  to-lake:
    on: [equipment.count.reported]
    order: key
    from: beginning
    map: {{order: event.subject, n: data.total}}
    to: {{adapter: lake, routing_key: {OUT}}}
    retry: {{first: 200ms, max: 1s, give_up_after: 1h}}
"""


class StumblingErp(Erp):
    """Answers one document in fifty with 500 at first, so that lanes are written all the time."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self._chance, self._stumbled = chance, set[Fact]()
        self.refuses_poison = True

    async def take(self, request: web.Request) -> web.Response:
        body = await request.json()
        fact = (str(body["order"]), int(body["n"]))
        if self.refuses_poison and fact == (POISON, 0):
            return web.json_response({"error": "unknown line"}, status=422)
        if fact not in self._stumbled and self._chance.random() < 0.02:
            self._stumbled.add(fact)
            return web.Response(status=500, text="try again")
        return await super().take(request)


class Plant:
    """Everything that runs, and the account."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.folder = folder
        port, mqtt, target = (free_port() for _ in range(3))
        self.mosquitto = Mosquitto.create(folder / "mosquitto", port=mqtt)
        self.rabbitmq = RabbitMQ.create(folder / "rabbitmq", free_port=free_port)
        self.erp = StumblingErp(chance)
        self.erp_site = Site(self.erp, target)
        (folder / "token").write_text("chaos\n")
        settings = folder / "deployment.yaml"
        settings.write_text(deployment(port, mqtt, self.rabbitmq.port, target))
        self.hub = HubProcess(folder, settings, port)
        self.lake = Ledger()
        self.sent: list[Fact] = []
        self.recovered = 0
        """Posts whose first answer was lost, and which the hub had all the same."""
        self.brokers = asyncio.Lock()
        """Held while a broker is down on purpose and by who publishes over MQTT, where nothing has an id."""
        self._next: dict[str, int] = {}

    async def open(self) -> None:
        """Starts the peers, and the hub for the first time."""
        await asyncio.to_thread(self.mosquitto.start)
        await asyncio.to_thread(self.rabbitmq.start)
        async with await aio_pika.connect(self.rabbitmq.url, timeout=DEADLINE_S) as connection:
            channel = await connection.channel()
            for name in (IN, OUT):
                await channel.declare_queue(name, durable=True, arguments={"x-queue-type": "quorum"})
        await asyncio.to_thread(self.rabbitmq.save)
        await self.erp_site.open()
        await self.hub.start()
        await eventually(lambda: "mqtt_connected" in self.hub.log(), 30)

    async def close(self) -> None:
        """Ends everything, by pid."""
        await self.hub.end()
        await self.erp_site.shut()
        await asyncio.to_thread(self.mosquitto.stop)
        await asyncio.to_thread(self.rabbitmq.stop)

    # ── what the sources say ─────────────────────────────────────────────────────────────────────

    def numbers(self, line: str, count: int) -> list[Fact]:
        """The next documents of a line."""
        first = self._next.get(line, 0)
        self._next[line] = first + count
        return [(line, n) for n in range(first, first + count)]

    async def talk(self, chance: random.Random) -> None:
        """A burst of every source; returns when all of it was acknowledged."""
        lines = [str(number) for number in range(LINES)]
        await asyncio.gather(
            *(self._mqtt(self.numbers(f"mqtt-{line}", chance.randint(5, 40))) for line in lines),
            self._amqp(
                [fact for line in lines for fact in self.numbers(f"amqp-{line}", chance.randint(5, 40))]
            ),
            *(self._http(self.numbers(f"web-{line}", chance.randint(1, 6))) for line in lines[:3]),
            self._http(self.numbers(POISON, 1)),
        )

    async def _mqtt(self, facts: list[Fact]) -> None:
        body = "".join(f"{json.dumps({'n': n, 'at': AT})}\n" for _, n in facts)
        async with self.brokers:
            publisher = await asyncio.create_subprocess_exec(
                *("mosquitto_pub", "-h", LOOPBACK, "-p", str(self.mosquitto.port), "-q", "1", "-l"),
                *("-t", f"acme/brno/{facts[0][0]}/count"),
                stdin=PIPE,
            )
            await publisher.communicate(body.encode())
        assert publisher.returncode == 0
        self.sent += facts

    async def _amqp(self, facts: list[Fact]) -> None:
        due = facts
        while due:
            with contextlib.suppress(OSError, TimeoutError, aio_pika.exceptions.AMQPError):
                async with asyncio.timeout(DEADLINE_S):
                    due = await self._published(due)
            if due:
                await asyncio.sleep(REST_S)
        self.sent += facts

    async def _published(self, facts: list[Fact]) -> list[Fact]:
        """What is left to publish: nothing, or an error is raised, and all of it is published again."""
        async with await aio_pika.connect(self.rabbitmq.url, timeout=DEADLINE_S) as connection:
            channel = await connection.channel(on_return_raises=True)
            for line, n in facts:
                await channel.default_exchange.publish(
                    aio_pika.Message(
                        json.dumps({"line": line, "n": n, "at": AT}).encode(),
                        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
                        message_id=f"{line}-{n}",
                    ),
                    IN,
                )
        return []

    async def _http(self, facts: list[Fact]) -> None:
        for line, n in facts:
            body, tried = {"line": line, "n": n, "at": AT}, 0
            while True:
                tried += 1
                outcome = await self._posted(body)
                if outcome is not None:
                    break
                await asyncio.sleep(REST_S)
            self.recovered += tried > 1 and outcome == "duplicate"
            self.sent.append((line, n))

    async def _posted(self, body: dict[str, Any]) -> str | None:
        try:
            status, answer = await self.hub.ask("POST", "/v1/webhooks/hook", key="chaos", body=body)
        except (OSError, TimeoutError, ClientError, ValueError):
            return None
        return str(answer["results"][0]["outcome"]) if status == 202 else None

    # ── what arrived ─────────────────────────────────────────────────────────────────────────────

    async def read_lake(self) -> None:
        """Takes what has come out of the AMQP way."""
        async with await aio_pika.connect(self.rabbitmq.url, timeout=DEADLINE_S) as connection:
            channel = await connection.channel()
            queue = await channel.get_queue(OUT)
            while (message := await queue.get(fail=False, timeout=DEADLINE_S)) is not None:
                self.lake.note(json.loads(message.body), message.message_id or "")
                await message.ack()

    async def left_in_queues(self) -> int:
        """Messages in both queues; those that are delivered and not acknowledged too."""
        listed = await asyncio.to_thread(
            self.rabbitmq.control, "list_queues", "--quiet", "--no-table-headers", "messages"
        )
        return sum(int(line) for line in listed.split())
