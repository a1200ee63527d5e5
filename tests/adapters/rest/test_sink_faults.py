"""What the sink says when the network fails: never sent is an outage, maybe sent is unknown."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from adapters.conformance.proxy import FaultProxy
from adapters.rest.sink import HttpSink
from canonical.errors import ConfigError, TransientError
from canonical.ports import Accepted, Failed, SinkOutcome, Unknown
from tests.adapters.rest.peer import Peer, Request, context, delivery, options, raw_peer, send, sink
from tests.certificates import Authority
from tests.waiting import eventually

TIMEOUT_S = 3.0
SLACK_S = 15.0  # the machine may be busy
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def is_outage(outcome: SinkOutcome, code: str) -> bool:
    return (
        isinstance(outcome, Failed)
        and isinstance(outcome.error, TransientError)
        and outcome.error.outage
        and outcome.error.code == code
    )


def is_unknown(outcome: SinkOutcome, *codes: str) -> bool:
    return (
        isinstance(outcome, Unknown)
        and isinstance(outcome.error, TransientError)
        and not outcome.error.outage
        and outcome.error.code in codes
    )


async def read_request(reader: asyncio.StreamReader) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
    )
    await reader.readexactly(length)


@asynccontextmanager
async def behind_proxy() -> AsyncIterator[tuple[Peer, FaultProxy, HttpSink]]:
    async with (
        Peer() as peer,
        FaultProxy("127.0.0.1", peer.port) as proxy,
        sink(options(url=f"http://127.0.0.1:{proxy.port}")) as erp,
    ):
        yield peer, proxy, erp


async def test_refused() -> None:
    async with Peer() as peer:
        await peer.stop()
        where = context()
        async with sink(options(url=peer.url), where) as erp:
            outcome = await send(erp)
            assert not where.health.connected
            assert is_outage(outcome, "connection_refused"), outcome
            await peer.start()
            assert await send(erp) == Accepted()
            assert where.health.connected


async def test_unknown_name() -> None:
    async with sink(options(url="http://nobody.invalid", timeout="10s", connect_timeout="10s")) as erp:
        assert is_outage(outcome := await send(erp), "name_unknown"), outcome


async def test_time_out_while_connecting() -> None:
    async with Peer() as peer, FaultProxy("127.0.0.1", peer.port) as proxy:
        tls = options(url=f"https://127.0.0.1:{proxy.port}")
        proxy.black_hole()  # TCP connects, TLS never comes about
        async with sink(tls) as erp:
            assert is_outage(outcome := await send(erp), "timeout"), outcome


async def test_black_hole_after_sending() -> None:
    async with behind_proxy() as (peer, proxy, erp):
        assert await send(erp) == Accepted()
        proxy.black_hole("down")
        started = time.monotonic()
        outcome = await send(erp)
        assert time.monotonic() - started < TIMEOUT_S + SLACK_S
        assert is_unknown(outcome, "timeout"), outcome
        assert len(peer.requests) == 2  # it did arrive
        proxy.heal()
        assert await send(erp) == Accepted()


async def test_reset_before_and_after_the_request_was_read() -> None:
    async def at_once(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async def later(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.transport.abort()

    for behaviour in (at_once, later):
        async with raw_peer(behaviour) as url, sink(options(url=url)) as erp:
            assert is_unknown(outcome := await send(erp), "disconnected"), outcome


async def test_cut_while_the_request_is_on_its_way() -> None:
    async with behind_proxy() as (_, proxy, erp):
        proxy.cut_after(100)
        assert is_unknown(outcome := await send(erp), "disconnected"), outcome
        assert await send(erp) == Accepted()


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_kept_connection_that_the_server_closes_with_the_next_request(method: str) -> None:
    """The server may have read it or not. (aiohttp repeats a PUT by itself; then nobody listens any more.)"""
    connections: list[int] = []

    async def one_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(1)
        if len(connections) == 1:
            await read_request(reader)
            writer.write(OK)
        await read_request(reader)

    async with raw_peer(one_answer) as url, sink(options(url=url)) as erp:
        assert await send(erp) == Accepted()
        outcome = await send(erp, delivery(method=method))
        assert is_unknown(outcome, "disconnected"), outcome
    assert len(connections) == (1 if method == "POST" else 2)


async def test_connection_that_the_server_closed_meanwhile_is_not_used() -> None:
    async def one_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK)

    async with raw_peer(one_answer) as url, sink(options(url=url)) as erp:
        for _ in range(20):
            assert await send(erp) == Accepted()
            await asyncio.sleep(0.01)  # the server's FIN is on its way, on loopback


async def test_repeated_by_the_library_and_then_refused_is_still_unknown() -> None:
    """The first try may have arrived, whatever became of the second."""
    held: list[asyncio.Server] = []

    async def and_gone(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK)
        await read_request(reader)
        held[0].close()
        writer.transport.abort()

    held.append(await asyncio.start_server(and_gone, "127.0.0.1", 0))
    url = f"http://127.0.0.1:{held[0].sockets[0].getsockname()[1]}"
    async with sink(options(url=url)) as erp:
        assert await send(erp) == Accepted()
        outcome = await send(erp, delivery(method="PUT"))
        assert is_unknown(outcome, "connection_refused"), outcome


@pytest.mark.parametrize(
    ("answer", "codes"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", ("bad_answer",)),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nok", ("cut_off",)),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", ("cut_off", "bad_answer")),
        (b"HTTP/1.1 200 OK\r\n" + b"X: " + b"a" * 100_000, ("bad_answer",)),
        (b"HTTP/1.1 20", ("disconnected",)),
    ],
    ids=["not HTTP", "cut off", "bad chunk", "long header", "half a line"],
)
async def test_rubbish_instead_of_an_answer(answer: bytes, codes: tuple[str, ...]) -> None:
    async def rubbish(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(answer)
        await writer.drain()

    async with raw_peer(rubbish) as url, sink(options(url=url)) as erp:
        assert is_unknown(outcome := await send(erp), *codes), outcome


@pytest.mark.parametrize("status", [200, 422])
async def test_slow_body(status: int) -> None:
    """A success whose answer is incomplete is unknown; of a refusal the status is enough."""

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: 2000\r\n\r\nlines[3]".encode())
        await reader.read()  # until the client gives up

    async with raw_peer(slow) as url, sink(options(url=url)) as erp:
        started = time.monotonic()
        outcome = await send(erp)
        assert time.monotonic() - started < TIMEOUT_S + SLACK_S
    if status == 200:
        assert is_unknown(outcome, "timeout"), outcome
    else:
        assert isinstance(outcome, Failed)
        assert outcome.error.message == "the server answered 422: lines[3]"


async def test_a_slow_request_does_not_use_up_the_time_of_those_behind_it() -> None:
    async def slow(_: Request) -> web.StreamResponse:
        await asyncio.sleep(0.3)
        return web.Response()

    async with Peer(answer=slow) as peer, sink(options(url=peer.url, concurrency=1)) as erp:
        outcomes = await asyncio.gather(*(send(erp) for _ in range(4)))
    assert outcomes == [Accepted()] * 4


async def test_cancelling_frees_the_connection() -> None:
    async def never(_: Request) -> web.StreamResponse:
        await asyncio.sleep(3600)
        return web.Response()

    async with Peer(answer=never) as peer, sink(options(url=peer.url, concurrency=1)) as erp:
        sending = asyncio.create_task(send(erp))
        await eventually(lambda: peer.requests)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        peer.answer = lambda _: web.Response()
        assert await send(erp) == Accepted()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("ca"))


def server_tls(authority: Authority, *, clients: bool = False) -> ssl.SSLContext:
    issued = authority.issue("server")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(issued.certificate_path, issued.key_path)
    if clients:
        tls.load_verify_locations(authority.certificate_path)
        tls.verify_mode = ssl.CERT_REQUIRED
    return tls


async def test_tls_with_our_authority(authority: Authority) -> None:
    async with Peer(tls=server_tls(authority)) as peer:
        trusting = {"ca": str(authority.certificate_path)}
        async with sink(options(url=peer.url, tls=trusting, timeout="5s", connect_timeout="5s")) as erp:
            assert await send(erp) == Accepted()
            assert await send(erp) == Accepted()
        async with sink(options(url=peer.url, timeout="5s", connect_timeout="5s")) as erp:
            assert is_outage(outcome := await send(erp), "tls"), outcome
            assert "certificate verify failed" in str(outcome)
    assert len(peer.requests) == 2


async def test_tls_with_a_certificate_of_ours(authority: Authority) -> None:
    ours = authority.issue("hub")
    trusting = {"ca": str(authority.certificate_path)}
    mutual = {**trusting, "certificate": str(ours.certificate_path), "key": str(ours.key_path)}
    async with Peer(tls=server_tls(authority, clients=True)) as peer:
        async with sink(options(url=peer.url, tls=mutual, timeout="5s", connect_timeout="5s")) as erp:
            assert await send(erp) == Accepted()
        async with sink(options(url=peer.url, tls=trusting, timeout="5s", connect_timeout="5s")) as erp:
            outcome = await send(erp)
            assert isinstance(outcome, Unknown | Failed)
            assert isinstance(outcome.error, TransientError)
    assert len(peer.requests) == 1


async def test_old_tls_is_refused(authority: Authority) -> None:
    old = server_tls(authority)
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        old.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    async with Peer(tls=old) as peer:
        trusting = {"ca": str(authority.certificate_path)}
        async with sink(options(url=peer.url, tls=trusting, timeout="5s", connect_timeout="5s")) as erp:
            outcome = await send(erp)
    assert is_outage(outcome, "tls") or is_outage(outcome, "unreachable"), outcome
    assert not peer.requests


@pytest.mark.parametrize("what", ["missing", "rubbish"])
async def test_certificates_that_cannot_be_read_stop_the_start(tmp_path: Path, what: str) -> None:
    path = tmp_path / "ca.pem"
    if what == "rubbish":
        path.write_text("rubbish")
    with pytest.raises(ConfigError, match="cannot read the certificates"):
        async with sink(options(url="https://127.0.0.1:1", tls={"ca": str(path)})):
            pass
