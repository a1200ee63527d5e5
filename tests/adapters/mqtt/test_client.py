"""What the adapter relies on in paho beyond its documented interface; fails when a new paho differs."""

from __future__ import annotations

import inspect
import socket
from collections.abc import Iterator
from importlib.metadata import version

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import MQTTErrorCode

from adapters.mqtt.client import PRIVATE, BulkClient, receive

SUPPORTED = ((2, 1), (3, 0))


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.settimeout(5)
    yield ours, theirs
    ours.close()
    theirs.close()


def _client(ours: socket.socket, *, version5: bool = True) -> BulkClient:
    client = BulkClient(ours, client_id="us", version5=version5, persistent=True)
    client.on_socket_register_write = lambda *_: None
    if version5:
        client.connect_async("broker.example.com", 1883, 30, clean_start=False)
    else:
        client.connect_async("broker.example.com", 1883, 30)
    client.reconnect()
    return client


def test_the_installed_paho_is_one_that_was_tried() -> None:
    installed = tuple(int(part) for part in version("paho-mqtt").split(".")[:2])
    assert SUPPORTED[0] <= installed < SUPPORTED[1], "try this suite with it, then widen SUPPORTED"


def test_what_paho_keeps_to_itself_is_as_expected() -> None:
    signatures = {name: list(inspect.signature(getattr(Client, name)).parameters) for name in PRIVATE}
    assert signatures == {
        "_sock_recv": ["self", "bufsize"],
        "_create_socket": ["self"],
        "_packet_queue": ["self", "command", "packet", "mid", "qos", "info"],
    }


@pytest.mark.parametrize("version5", [True, False])
def test_it_logs_in_over_the_socket_that_it_is_given(
    pair: tuple[socket.socket, socket.socket], version5: bool
) -> None:
    client = _client(pair[0], version5=version5)
    answers: list[tuple[bool, int]] = []
    client.on_connect = lambda client, data, flags, reason, properties: answers.append(
        (flags.session_present, reason.value)
    )
    client.loop_write()
    connect = pair[1].recv(1_000)
    assert connect[0] == 0x10
    assert connect[9] == 0, "clean start, or a will, or credentials"
    assert (
        client.feed(b"\x20\x03\x01\x00\x00" if version5 else b"\x20\x02\x01\x00")
        == MQTTErrorCode.MQTT_ERR_SUCCESS
    )
    assert answers == [(True, 0)]


def test_our_packets_pings_and_goodbye_go_out_as_they_are(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    client = _client(pair[0])
    client.loop_write()
    pair[1].recv(1_000)
    client.send(b"\x40\x02\x00\x01\x40\x02\x00\x02")
    client.ping()
    client.say_goodbye()
    client.loop_write()
    assert pair[1].recv(1_000) == b"\x40\x02\x00\x01\x40\x02\x00\x02\xc0\x00\xe0\x00"
    assert client.socket() is pair[0], "paho closed the socket at our goodbye"


def test_an_unknown_packet_is_an_error_of_the_protocol(pair: tuple[socket.socket, socket.socket]) -> None:
    assert _client(pair[0]).feed(b"\x00\x00") == MQTTErrorCode.MQTT_ERR_PROTOCOL


def test_receive_tells_nothing_now_from_the_end(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    assert receive(ours, 100) is None
    theirs.sendall(b"x" * 150)
    assert receive(ours, 100) == b"x" * 100
    assert receive(ours, 100) == b"x" * 50
    theirs.close()
    assert receive(ours, 100) == b""
