"""paho's client, fed in bulk: the only place that relies on what paho keeps to itself.

paho reads a stream byte by byte, which limits it to some 20,000 messages a second. Here the bytes
are read elsewhere; PUBLISH, PUBACK and DISCONNECT never reach paho, all others do, one by one.
The names below are what this uses beyond paho's documented interface; they are the same in 2.1
and 2.2, and importing this module against a paho without them fails.
"""

from __future__ import annotations

import socket
import ssl

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion

__all__ = ["BulkClient", "receive"]

PRIVATE = ("_sock_recv", "_create_socket", "_packet_queue")
OURS = 0xC0
"""A command (PINGREQ) that makes paho send the bytes that go with it and do nothing else."""

if missing := [name for name in PRIVATE if not callable(getattr(Client, name, None))]:
    raise ImportError(
        f"this paho-mqtt has no {', '.join(missing)}; the MQTT adapter needs paho-mqtt >= 2.1, < 3 as tested"
    )


class BulkClient(Client):
    """One connection's client: it is given a connected socket, is fed packets, and never reconnects."""

    def __init__(self, connected: socket.socket, *, client_id: str, version5: bool, persistent: bool) -> None:
        self._connected = connected
        self._fed = b""
        super().__init__(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=None if version5 else not persistent,
            protocol=MQTTProtocolVersion.MQTTv5 if version5 else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
        )

    def feed(self, packet: bytes) -> MQTTErrorCode:
        """Handles one whole packet. May raise whatever paho's parsing, or a callback, raises."""
        self._fed = packet
        result = MQTTErrorCode.MQTT_ERR_SUCCESS
        while self._fed and result == MQTTErrorCode.MQTT_ERR_SUCCESS:
            result = self.loop_read()
        return result

    def send(self, packets: bytes) -> None:
        """Queues any number of PUBLISH, PUBACK and PUBREC as they are; ``loop_write`` sends them."""
        self._packet_queue(OURS, packets, 0, 0)

    def ping(self) -> None:
        """Queues a PINGREQ."""
        self._packet_queue(OURS, b"\xc0\x00", 0, 0)

    def say_goodbye(self) -> None:
        """Queues a DISCONNECT; paho's own closes the socket before the broker has read all."""
        self._packet_queue(OURS, b"\xe0\x00", 0, 0)

    def _create_socket(self) -> socket.socket:
        return self._connected

    def _sock_recv(self, bufsize: int) -> bytes:
        if not self._fed:
            raise BlockingIOError
        piece, self._fed = self._fed[:bufsize], self._fed[bufsize:]
        return piece


def receive(connected: socket.socket, most_bytes: int) -> bytes | None:
    """What the socket has, at most about ``most_bytes``; b"" at its end, None when there is nothing now.

    A TLS socket gives one record at a time, hence the loop. Raises OSError when the connection is lost.
    """
    pieces: list[bytes] = []
    size = 0
    try:
        while size < most_bytes:
            piece = connected.recv(most_bytes - size)
            if not piece:
                return b"".join(pieces)
            pieces.append(piece)
            size += len(piece)
            if not isinstance(connected, ssl.SSLSocket):
                break
    except (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
        pass
    return b"".join(pieces) if pieces else None
