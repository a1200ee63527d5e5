"""The MES of Coventry: tells completed operations by message queue where there is a broker, else by files.

An operation is ``{"job", "step", "good", "bad", "rework", "done"}``. In the queue each is a message; in
files, ``mes/operations_*.jsonl``, each is a line.
"""

from __future__ import annotations

import asyncio
import json
import random
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import aio_pika
from pamqp.common import FieldTable

from simulator.coventry import order_number
from simulator.handover import Handover
from simulator.ledger import Document, Fact, Ledger
from simulator.moments import Moments, rfc3339
from simulator.shift import Shift
from simulator.story import Rhythm

__all__ = ["ADAPTER", "CoventryMes", "CoventryQueue"]

ADAPTER: Final = "coventry-mes"
STEP: Final = "0020"
_ROWS: Final = 2
_ANSWER_S: Final = 10.0
_EXPIRES_MS: Final = 600_000
"""An unused queue goes by itself, so that a demo leaves nothing behind on somebody's broker."""

Made = tuple[Mapping[str, Any], Fact]


class _Operations:
    """Completed operations, one after the other, as facts that come over a protocol."""

    def __init__(self, moments: Moments, protocol: str) -> None:
        self._moments, self._protocol = moments, protocol
        self._chance = random.Random(41)
        self._number = moments.first

    def next(self) -> Made:
        """The next one."""
        self._number += 1
        at = self._moments.next()
        order = order_number(self._number)
        operation = {
            "job": order,
            "step": STEP,
            "good": self._chance.randint(90, 500),
            "bad": self._chance.choice((0, 0, 1, 3)),
            "rework": 0,
            "done": rfc3339(at),
        }
        key = f"{order}/{STEP}"
        return operation, Fact(
            adapter=ADAPTER,
            protocol=self._protocol,
            format="json",
            type="production.operation.completed",
            key=key,
            at=at,
            detail=f"operation {key}",
            documents=(Document(system="erp", kind="confirmations", reference=key),),
        )


class CoventryMes:
    """By files below ``folder``."""

    def __init__(self, folder: Path, ledger: Ledger, moments: Moments, rhythm: Rhythm) -> None:
        self._rhythm = rhythm
        self._operations = _Operations(moments, "files")
        self._files = Handover(folder, ledger)

    async def work(self, shift: Shift) -> None:
        """Leaves files until the shift ends, then waits until they are taken, within a bound."""
        if not await shift.started():
            return
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._files.watch(shift))
            tasks.create_task(self._complete(shift))

    async def _complete(self, shift: Shift) -> None:
        while await shift.pause(self._rhythm.file):
            made = [self._operations.next() for _ in range(_ROWS)]
            lines = "".join(f"{json.dumps(operation)}\n" for operation, _ in made)
            name = f"operations_{made[0][1].key.partition('/')[0]}.jsonl"
            self._files.put(name, lines.encode(), *(fact for _, fact in made))


class CoventryQueue:
    """By AMQP to a broker that runs already; a message is safe when the broker has confirmed it.

    ``url`` has user and password. The queue is new for every run.
    """

    def __init__(self, url: str, ledger: Ledger, moments: Moments, rhythm: Rhythm) -> None:
        self.queue = f"coventry-mes-{secrets.token_hex(4)}"
        self._url, self._ledger, self._rhythm = url, ledger, rhythm
        self._operations = _Operations(moments, "amqp")

    async def work(self, shift: Shift) -> None:
        """Publishes until the shift ends. Raises what aio-pika raises when there is no broker."""
        if not await shift.started():
            return
        connection = await aio_pika.connect(self._url, timeout=_ANSWER_S)
        async with connection:
            channel = await connection.channel()
            arguments: FieldTable = {"x-queue-type": "quorum", "x-expires": _EXPIRES_MS}
            queue = await channel.declare_queue(
                self.queue, durable=True, arguments=arguments, timeout=_ANSWER_S
            )
            while await shift.pause(self._rhythm.file / _ROWS):
                operation, fact = self._operations.next()
                self._ledger.record_sent(fact)
                message = aio_pika.Message(
                    json.dumps(operation).encode(),
                    message_id=fact.key,
                    content_type="application/json",
                    delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
                )
                await channel.default_exchange.publish(message, queue.name, timeout=_ANSWER_S)
                self._ledger.record_safe(fact)

    @property
    def environment(self) -> dict[str, str]:
        """The broker's address and account, and the queue, as the deployment wants them: apart."""
        parts = urlsplit(self._url)
        port = f":{parts.port}" if parts.port else ""
        return {
            "COVENTRY_AMQP_URL": f"{parts.scheme}://{parts.hostname}{port}{parts.path}",
            "COVENTRY_AMQP_USERNAME": parts.username or "guest",
            "COVENTRY_AMQP_PASSWORD": parts.password or "guest",
            "COVENTRY_AMQP_QUEUE": self.queue,
        }
