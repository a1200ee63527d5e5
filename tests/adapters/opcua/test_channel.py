"""The short way through the library's socket: the same as the library's, and nothing that it would refuse."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from asyncua import ua as library
from asyncua.common.connection import SecureConnection, TransportLimits
from asyncua.common.utils import Buffer
from asyncua.crypto import security_policies
from asyncua.ua.ua_binary import header_from_binary, struct_from_binary, struct_to_binary
from hypothesis import given
from hypothesis import strategies as st

from adapters.opcua.channel import OwnSocket, read_answer

ua: Any = library  # its types are stricter than what it takes
policies: Any = security_policies
Mode = library.MessageSecurityMode
MODES = [Mode.None_, Mode.Sign, Mode.SignAndEncrypt]
TOKEN = ua.NodeId(70_000, 3)
CHANNEL = ua.ChannelSecurityToken(ChannelId=7, TokenId=3, RevisedLifetime=60_000)


def header(result: int = 0, **more: Any) -> bytes:
    """An encoding id and a ResponseHeader."""
    kind = struct_to_binary(ua.PublishResponse())[:4]
    said = ua.ResponseHeader(ServiceResult=ua.StatusCode(ua.UInt32(result)), **more)
    return bytes(kind + struct_to_binary(said))


GOOD = header()


def policy(mode: Any, *, server: bool = False) -> Any:
    """One side of a channel whose keys stand."""
    if mode is Mode.None_:
        return policies.SecurityPolicyNone()
    kind = policies.SecurityPolicyBasic256Sha256
    side = kind.__new__(kind)  # without certificates
    side.symmetric_cryptography = policies.Cryptography(mode)
    ours, theirs = (b"client", b"server") if not server else (b"server", b"client")
    side.make_local_symmetric_key(ours, b"seed")
    side.make_remote_symmetric_key(theirs, b"seed", 60_000)
    return side


class Transport(asyncio.Transport):
    """Keeps what was sent."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []
        self.closed = False

    def write(self, data: Any) -> None:
        self.sent.append(bytes(data))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


class Socket(OwnSocket):
    """Counts what went the library's way."""

    by_library = 0

    def _process_received_data(self, data: bytes) -> None:
        self.by_library += 1
        super()._process_received_data(data)


class Line:
    """A socket of ours and a server at the other end, which is the library's."""

    def __init__(self, mode: Any, *, chunk_size: int = 65_535) -> None:
        self.socket = Socket(security_policy=policy(mode))
        self.transport = Transport()
        self.socket.connection_made(self.transport)
        self.socket.authentication_token = TOKEN
        self.socket._connection.security_token = CHANNEL
        self.socket._connection._peer_sequence_number = 0
        limits = TransportLimits(65_535, chunk_size, 0, 0)
        self.server = SecureConnection(policy(mode, server=True), limits)
        self.server.security_token = CHANNEL

    def answer(self, request: int, body: bytes) -> bytes:
        """What the server sends."""
        return self.server.message_to_binary(body, request_id=request)

    def asked(self) -> Any:
        """What the server reads of the last request."""
        data = Buffer(self.transport.sent[-1])
        message = self.server.receive_from_header_and_body(header_from_binary(data), data)
        return message.request_id(), struct_from_binary(ua.PublishRequest, message.body())


@pytest.mark.parametrize("mode", MODES)
async def test_a_publish_request_is_read_by_the_other_side(mode: Any) -> None:
    line = Line(mode)
    for count in (0, 1, 300):
        acknowledgements = [(5, 100_000 + number) for number in range(count)]
        line.socket.publish(acknowledgements)
        request, read = line.asked()
        assert request == line.socket._request_id
        told = read.Parameters.SubscriptionAcknowledgements
        assert [(one.SubscriptionId, one.SequenceNumber) for one in told] == acknowledgements
        said = read.RequestHeader
        assert (said.AuthenticationToken, said.RequestHandle) == (TOKEN, request)
        assert (said.TimeoutHint, said.AuditEntryId) == (0, None)


async def test_a_request_that_is_too_large_for_one_chunk_takes_more() -> None:
    line = Line(Mode.SignAndEncrypt)
    line.socket.publish([(5, number) for number in range(9000)])
    data = Buffer(line.transport.sent[-1])
    found = None
    while data:
        found = line.server.receive_from_header_and_body(header_from_binary(data), data)
    assert found is not None
    read = struct_from_binary(ua.PublishRequest, found.body())
    assert len(read.Parameters.SubscriptionAcknowledgements) == 9000


@pytest.mark.parametrize("mode", MODES)
async def test_whole_answers_take_the_short_way(mode: Any) -> None:
    line = Line(mode)
    first, second = line.socket.publish([]), line.socket.publish([])
    line.socket.data_received(line.answer(1, GOOD + b"one") + line.answer(2, GOOD + b"two"))
    assert (first.result(), second.result()) == (b"one", b"two")
    assert line.socket.by_library == 0


BODIES = [b"", b"a", b"b" * 5000, b"c" * 20_000, b"d"]


@given(st.sampled_from(MODES), st.lists(st.integers(1, 30_000), min_size=1, max_size=12))
def test_answers_arrive_however_the_stream_is_cut(mode: Any, cuts: list[int]) -> None:
    async def run() -> None:
        line = Line(mode, chunk_size=8192)  # some answers take several chunks
        futures = [line.socket.publish([]) for _ in BODIES]
        stream = b"".join(line.answer(number, GOOD + body) for number, body in enumerate(BODIES, start=1))
        at = 0
        while at < len(stream):
            size = cuts[0] if len(cuts) == 1 else cuts.pop(0)
            line.socket.data_received(stream[at : at + size])
            at += size
        assert [future.result() for future in futures] == BODIES
        assert not line.transport.closed

    asyncio.run(run())


def spoilt(line: Line, how: str) -> bytes:
    good = line.answer(1, GOOD)
    match how:
        case "number":
            line.server._sequence_number += 5
            return line.answer(1, GOOD)
        case "token":
            return good[:12] + b"\x09\x00\x00\x00" + good[16:]
        case "channel":
            return good[:8] + b"\x09\x00\x00\x00" + good[12:]
        case _:
            return good[:-1] + bytes([good[-1] ^ 1])


@pytest.mark.parametrize(
    ("mode", "how"),
    [
        *((mode, how) for mode in MODES for how in ("number", "token", "channel")),
        (Mode.Sign, "signature"),
        (Mode.SignAndEncrypt, "signature"),
    ],
)
async def test_what_is_not_proper_ends_the_connection(mode: Any, how: str) -> None:
    line = Line(mode)
    future = line.socket.publish([])
    line.socket.data_received(spoilt(line, how))
    assert line.transport.closed
    assert not future.done()
    line.socket.connection_lost(None)
    with pytest.raises(ConnectionError):
        future.result()


async def test_a_closed_socket_takes_no_request() -> None:
    line = Line(Mode.None_)
    line.socket.connection_lost(None)
    with pytest.raises(ConnectionError):
        line.socket.publish([])


@pytest.mark.parametrize("more", [{}, {"StringTable": ["a text"]}])
def test_an_answer_is_what_follows_its_header(more: dict[str, Any]) -> None:
    assert read_answer(Buffer(header(**more) + b"rest")) == b"rest"


def test_a_bad_result_is_raised() -> None:
    with pytest.raises(library.uaerrors.BadNoSubscription):
        read_answer(Buffer(header(library.StatusCodes.BadNoSubscription)))
