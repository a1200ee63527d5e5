"""Coventry's MES on a message queue: confirmed is safe, and the demo's deployment for it understands it."""

import asyncio
import json
import shutil
from pathlib import Path

import aio_pika
import pytest

from canonical.event import Event, to_json
from config.load import load
from simulator.coventry_mes import CoventryQueue
from simulator.ledger import Ledger, identity
from simulator.moments import Moments
from simulator.story import Rhythm
from tests.servers import StartRabbitMQ
from tests.simulator.test_deployment import DEMO, ENVIRONMENT, decoded, working
from tests.waiting import eventually


@pytest.mark.requires_server("rabbitmq")
async def test_confirmed_messages_become_the_facts_of_the_ledger(
    start_rabbitmq: StartRabbitMQ, tmp_path: Path
) -> None:
    broker = start_rabbitmq()
    folder = tmp_path / "demo"
    shutil.copytree(DEMO, folder)
    shutil.copy(folder / "rabbitmq" / "coventry-mes.yaml", folder)
    ledger = Ledger()
    mes = CoventryQueue(broker.url, ledger, Moments(), Rhythm(file=0.1))
    deployment = load(folder, {**ENVIRONMENT, **mes.environment})
    async with working(mes):
        await eventually(lambda: ledger.safe_total > 5)
    made = set()
    async with await aio_pika.connect(broker.url) as connection:
        channel = await connection.channel()
        queue = await channel.get_queue(mes.queue)
        for _ in range(ledger.safe_total):
            async with asyncio.timeout(30), (await queue.get(timeout=10)).process() as message:
                (event,) = decoded(deployment, "coventry-mes", message.body)
                assert isinstance(event, Event), event
                assert message.message_id == f"{json.loads(message.body)['job']}/0020"
                made.add(identity(to_json(event)))
    assert made == set(ledger._waiting)
    assert ledger.sent.total() == len(made)


def test_address_and_account_of_a_broker_are_told_apart() -> None:
    mes = CoventryQueue("amqp://mes:secret@127.0.0.1:5673/plant", Ledger(), Moments(), Rhythm())
    assert mes.environment == {
        "COVENTRY_AMQP_URL": "amqp://127.0.0.1:5673/plant",
        "COVENTRY_AMQP_USERNAME": "mes",
        "COVENTRY_AMQP_PASSWORD": "secret",
        "COVENTRY_AMQP_QUEUE": mes.queue,
    }
    other = CoventryQueue("amqp://127.0.0.1/", Ledger(), Moments(), Rhythm())
    assert other.environment["COVENTRY_AMQP_USERNAME"] == "guest"
    assert other.queue != mes.queue
