"""The RabbitMQ that tests start is theirs alone, and leaves nothing behind."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.adapters.amqp.peers import connected
from tests.servers import StartRabbitMQ

pytestmark = [pytest.mark.requires_server("rabbitmq"), pytest.mark.xdist_group("rabbitmq")]

LISTENING = "0A"


async def test_it_listens_on_loopback_only_keeps_its_queues_and_ends_with_its_epmd(
    start_rabbitmq: StartRabbitMQ,
) -> None:
    broker = start_rabbitmq()
    pids = (broker.process.pid, broker.epmd.pid)
    addresses = [address for pid in pids for address in _listening(pid)]
    assert len(addresses) >= 4  # AMQP, AMQPS, distribution, epmd
    assert all(address.is_loopback for address in addresses)
    async with connected(broker) as peer:
        await peer.make_queue("kept")
        await peer.publish("kept", [b"1"])
    broker.save()
    broker.kill9()
    broker.start()
    async with connected(broker) as peer:
        assert [message.body for message in await peer.take("kept")] == [b"1"]
    pids = (broker.process.pid, broker.epmd.pid)
    broker.stop()
    assert not any(_runs(pid) for pid in pids)


def _runs(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def _listening(pid: int) -> Iterator[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """The addresses of a process's listening sockets."""
    sockets = {each.readlink().name for each in Path(f"/proc/{pid}/fd").iterdir() if each.is_symlink()}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENING and f"socket:[{fields[9]}]" in sockets:
                packed = bytes.fromhex(fields[1].split(":")[0])
                words = (packed[at : at + 4][::-1] for at in range(0, len(packed), 4))
                yield ipaddress.ip_address(b"".join(words))
