"""Publishes the workload over a raw MQTT 3.1.1 connection: a process of its own, and quicker than any client.

usage: python -m bench.publisher PORT ROOT COUNT [--rate PER_S] [--tags NUMBER]

Prints one JSON line with the monotonic second at which it began, once everything is acknowledged. With a
rate every message's value is the monotonic moment, in milliseconds, at which it was due.
"""

from __future__ import annotations

import argparse
import json
import select
import socket
import time

from bench.workload import TOPICS, payload, topic

__all__ = ["main"]

_WINDOW = 5_000
"""Messages on their way; mosquitto takes them as fast as it can."""
_READ_BYTES = 65_536
_PUBACK_BYTES = 4


def packet(root: str, number: int, value: float | None = None, tags: int = TOPICS) -> bytes:
    """A PUBLISH with QoS 1."""
    name, body = topic(number, root, tags).encode(), payload(number, value, tags)
    mid = number % 65_535 + 1
    rest = len(name).to_bytes(2, "big") + name + mid.to_bytes(2, "big") + body
    return b"\x32" + _length(len(rest)) + rest


def _length(value: int) -> bytes:
    encoded = bytearray()
    while True:
        value, low = divmod(value, 128)
        encoded.append(low | 0x80 if value else low)
        if not value:
            return bytes(encoded)


def _connected(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=30)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    rest = b"\x00\x04MQTT\x04\x02\x00\x00\x00\x0fbench-publisher"
    connection.sendall(b"\x10" + _length(len(rest)) + rest)
    answer = connection.recv(4)
    if answer != b"\x20\x02\x00\x00":
        raise ConnectionError(f"the broker answered {answer!r}")
    return connection


class _Acknowledged:
    """How many messages the broker has; it answers with PUBACKs of four bytes only."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection, self._bytes = connection, 0

    def wait(self, until: int) -> None:
        while self.count < until:
            self._read()

    def glance(self) -> None:
        """Reads what has come, without waiting."""
        while select.select([self._connection], [], [], 0)[0]:
            self._read()

    def _read(self) -> None:
        data = self._connection.recv(_READ_BYTES)
        if not data:
            raise ConnectionError("the broker ended the connection")
        self._bytes += len(data)

    @property
    def count(self) -> int:
        return self._bytes // _PUBACK_BYTES


def burst(connection: socket.socket, root: str, count: int, tags: int) -> float:
    """Sends all as fast as the broker takes them; the moment of the first."""
    packets = [packet(root, number, tags=tags) for number in range(count)]
    acknowledged = _Acknowledged(connection)
    began = time.monotonic()
    for at in range(0, count, 500):
        acknowledged.wait(at - _WINDOW)
        connection.sendall(b"".join(packets[at : at + 500]))
    acknowledged.wait(count)
    return began


def paced(connection: socket.socket, root: str, count: int, rate: float) -> float:
    """Sends each when it is due; one that is late tells its due time all the same."""
    acknowledged = _Acknowledged(connection)
    began = time.monotonic()
    sent = 0
    while sent < count:
        due = min(int((time.monotonic() - began) * rate) + 1, count)
        if due > sent:
            connection.sendall(
                b"".join(packet(root, n, round((began + n / rate) * 1000, 3)) for n in range(sent, due))
            )
            sent = due
        acknowledged.glance()
        time.sleep(0.0005)
    acknowledged.wait(count)
    return began


def main() -> None:
    """See the module's text."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("root")
    parser.add_argument("count", type=int)
    parser.add_argument("--rate", type=float)
    parser.add_argument("--tags", type=int, default=TOPICS)
    arguments = parser.parse_args()
    with _connected(arguments.port) as connection:
        if arguments.rate:
            began = paced(connection, arguments.root, arguments.count, arguments.rate)
        else:
            began = burst(connection, arguments.root, arguments.count, arguments.tags)
        connection.sendall(b"\xe0\x00")
    print(json.dumps({"began": began}), flush=True)


if __name__ == "__main__":
    main()
