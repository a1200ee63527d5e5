"""Slow clients, silent sockets and bombs: refused or closed in bounded time and memory, on real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from config.model import Tls
from gateway import problems, serving
from gateway.limits import Limits, UnderWay
from gateway.problems import Problem
from tests.certificates import Authority
from tests.gateway.hubs import STRUCTURED, Served, cloud_event
from tests.waiting import eventually

SOON_S = 0.3


async def connect(live: Served) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(*live.address)


async def closed_within(reader: asyncio.StreamReader, seconds: float) -> bytes:
    """What came until the server closed, or cut off who went on sending. Fails when it does neither."""
    answer = b""
    async with asyncio.timeout(seconds):
        with contextlib.suppress(ConnectionResetError):
            while part := await reader.read(4096):
                answer += part
    return answer


@pytest.fixture
async def hasty(live: Served, monkeypatch: pytest.MonkeyPatch) -> Served:
    """A server with short deadlines."""
    monkeypatch.setattr(serving.Guarded, "headers_s", SOON_S)
    monkeypatch.setattr(serving.Guarded, "stalled_s", SOON_S)
    return live


async def test_a_silent_socket_is_closed(hasty: Served) -> None:
    reader, writer = await connect(hasty)
    assert await closed_within(reader, 5) == b""
    writer.close()


async def test_headers_that_drip_are_closed_however_steadily(hasty: Served) -> None:
    reader, writer = await connect(hasty)
    writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\n")
    started = time.monotonic()

    async def drip() -> None:
        while True:
            writer.write(b"X: y\r\n")
            await asyncio.sleep(0.02)

    dripping = asyncio.create_task(drip())
    answer = await closed_within(reader, 5)
    dripping.cancel()
    assert answer.startswith(b"HTTP/1.1 408")
    assert time.monotonic() - started < 30
    writer.close()


async def test_a_kept_connection_that_falls_silent_is_closed(hasty: Served) -> None:
    reader, writer = await connect(hasty)
    writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
    answer = await closed_within(reader, 5)
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.count(b"HTTP/1.1") == 1
    writer.close()


async def test_a_body_that_comes_after_its_refusal_does_not_keep_the_connection(hasty: Served) -> None:
    reader, writer = await connect(hasty)
    writer.write(b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")  # no key

    async def drip() -> None:
        while True:
            writer.write(b"x")
            await asyncio.sleep(0.02)

    dripping = asyncio.create_task(drip())
    answer = await closed_within(reader, 5)
    dripping.cancel()
    assert answer.startswith(b"HTTP/1.1 401")
    writer.close()


async def test_a_request_that_takes_long_is_not_cut(hasty: Served) -> None:
    """The deadline for headers is none for answers."""
    key = await hasty.key("viewer")
    reader, writer = await connect(hasty)
    stream = f"GET /v1/events/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n"
    writer.write(stream.encode())
    async with asyncio.timeout(5):
        assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
        await reader.readuntil(b"retry: 2000")
    reading = asyncio.create_task(reader.read())
    done, _ = await asyncio.wait({reading}, timeout=SOON_S * 3)
    assert not done
    writer.close()
    await reading


async def test_a_reader_that_does_not_read_is_cut(hasty: Served) -> None:
    """What waits for it in memory is bounded, and it goes after a while."""
    from tests.gateway.hubs import event

    key = await hasty.key("viewer")
    await hasty.record(*(event(number, subject="S" * 1000) for number in range(1, 1001)))
    _, writer = await asyncio.open_connection(*hasty.address, limit=1000)
    pages = f"GET /v1/events?limit=1000 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n"
    writer.write(pages.encode() * 50)
    await eventually(lambda: len(hasty.server.server_state.connections) == 1)
    await eventually(lambda: not hasty.server.server_state.connections)
    writer.close()


async def test_too_large_by_its_own_word_is_413_before_it_is_sent(live: Served) -> None:
    key = await live.key("integrator")
    reader, writer = await connect(live)
    writer.write(
        f"POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: {STRUCTURED}\r\nContent-Length: 99999999999\r\nExpect: 100-continue\r\n\r\n".encode()
    )
    answer = await closed_within(reader, 5)
    assert answer.startswith(b"HTTP/1.1 413")
    assert b'"code":"too_large"' in answer
    writer.close()


async def test_too_large_in_pieces_is_413(live: Served) -> None:
    client = await live.client("integrator")
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 200_000_000:
            sent += 1_000_000
            yield b" " * 1_000_000

    try:
        answer = await client.post("/v1/events", content=endless(), headers={"content-type": STRUCTURED})
        assert answer.status_code == 413
    except (httpx.WriteError, httpx.ReadError):  # closed while it was sending on
        pass
    assert sent < 60_000_000
    assert (await client.get("/v1/plants")).status_code == 200


async def test_packed_bodies_are_415(live: Served) -> None:
    client = await live.client("integrator")
    bomb = gzip.compress(b" " * 10_000_000)
    headers = {"content-type": STRUCTURED, "content-encoding": "gzip"}
    answer = await client.post("/v1/events", content=bomb, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (415, "content_encoding")


async def test_headers_have_a_limit(live: Served) -> None:
    reader, writer = await connect(live)
    writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 60_000)
    answer = await closed_within(reader, 5)
    assert answer.startswith(b"HTTP/1.1 4")
    writer.close()


# ── the body's own limits, on a small app ──


async def echo(request: Request) -> Response:
    return Response(str(len(await request.body())))


def small(limit: Callable[[ASGIApp], ASGIApp]) -> Starlette:
    app = Starlette(routes=[Route("/", echo, methods=["POST"])])
    problems.install(app)
    app.add_middleware(limit)
    return app


@asynccontextmanager
async def serving_small(app: Starlette) -> AsyncIterator[tuple[str, int]]:
    server = serving.server(app, host="127.0.0.1", port=0)
    task = asyncio.create_task(server.serve())
    await eventually(lambda: server.started)
    name = server.servers[0].sockets[0].getsockname()
    yield name[0], name[1]
    server.should_exit = True
    await task


async def test_a_body_that_drips_is_408() -> None:
    app = small(lambda inner: Limits(inner, body_s=SOON_S))
    async with serving_small(app) as address:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")

        async def drip() -> None:
            while True:
                writer.write(b"x")
                await asyncio.sleep(0.02)

        dripping = asyncio.create_task(drip())
        answer = await closed_within(reader, 5)
        dripping.cancel()
        assert answer.startswith(b"HTTP/1.1 408")
        assert b'"retryable":true' in answer
        writer.close()


async def test_all_bodies_under_way_together_are_bounded() -> None:
    under_way = UnderWay()

    def limit(inner: ASGIApp) -> ASGIApp:
        return Limits(inner, bodies_bytes=100_000, under_way=under_way)

    async with serving_small(small(limit)) as address:
        opened = [await asyncio.open_connection(*address) for _ in range(3)]
        for _, writer in opened:
            writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n" + b"x" * 40_000)
        await eventually(lambda: under_way.size >= 80_000)
        answers = [asyncio.create_task(reader.read(100)) for reader, _ in opened]
        done, _ = await asyncio.wait(answers, timeout=5, return_when=asyncio.FIRST_COMPLETED)
        assert done.pop().result().startswith(b"HTTP/1.1 503")
        for _, writer in opened:
            writer.close()
        await eventually(lambda: under_way.size == 0)
        for task in answers:
            task.cancel()


def test_a_problem_may_say_more() -> None:
    body = problems.body_of(Problem(410, "pruned", "gone", more={"oldest": 7}), "t")
    assert b'"oldest":7' in body


# ── TLS ──


async def test_tls_12_and_later_with_a_key_that_is_never_in_a_file(tmp_path: Path, live: Served) -> None:
    authority = Authority.create(tmp_path / "pki")
    issued = authority.issue("gateway")
    key = SecretStr(issued.key_path.read_text())
    tls = Tls(certificate=issued.certificate_path.read_text(), key=key)
    server = serving.server(live.app, host="127.0.0.1", port=0, tls=tls)
    task = asyncio.create_task(server.serve())
    await eventually(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    context = ssl.create_default_context(cafile=str(authority.certificate_path))
    async with httpx.AsyncClient(verify=context) as client:
        answer = await client.get(f"https://localhost:{port}/livez")
        assert answer.headers["strict-transport-security"]
    server.should_exit = True
    await task


async def test_many_clients_at_once_are_served(live: Served) -> None:
    client = await live.client("integrator")

    async def one(number: int) -> int:
        answer = await client.post(
            "/v1/events", json=cloud_event(f"c-{number}"), headers={"content-type": STRUCTURED}
        )
        return answer.status_code

    assert set(await asyncio.gather(*(one(number) for number in range(200)))) == {202}
