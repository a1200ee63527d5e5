"""The fault proxy does what it says, or every test that relies on it proves nothing."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable

import pytest

from adapters.conformance.proxy import Direction, FaultProxy
from tests.waiting import eventually

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


@pytest.fixture
async def proxy() -> AsyncIterator[FaultProxy]:
    server = await asyncio.start_server(_echo, "127.0.0.1", 0)
    async with FaultProxy("127.0.0.1", server.sockets[0].getsockname()[1]) as proxy:
        yield proxy
    server.close()


@pytest.fixture
async def client(proxy: FaultProxy) -> AsyncIterator[Streams]:
    reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
    yield reader, writer
    writer.close()


async def _echoed(client: Streams, data: bytes) -> bytes:
    reader, writer = client
    writer.write(data)
    await writer.drain()
    return await asyncio.wait_for(reader.readexactly(len(data)), 5)


async def _nothing_comes(client: Streams) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(client[0].read(1), 0.2)


async def test_it_forwards_and_counts(proxy: FaultProxy, client: Streams) -> None:
    data = bytes(range(256)) * 4_000
    assert await _echoed(client, data) == data
    assert (proxy.connections, proxy.open_connections) == (1, 1)
    assert proxy.bytes_up == proxy.bytes_down == len(data)


@pytest.mark.parametrize("direction", ["up", "down", "both"])
async def test_a_black_hole_keeps_connections_open_and_passes_nothing(
    proxy: FaultProxy, client: Streams, direction: Direction
) -> None:
    await _echoed(client, b"before")
    proxy.black_hole(direction)
    client[1].write(b"into the hole")
    await _nothing_comes(client)
    assert proxy.open_connections == 1
    proxy.heal()
    assert await asyncio.wait_for(client[0].readexactly(13), 5) == b"into the hole"


async def test_a_connection_opened_in_a_hole_is_made_when_it_heals(proxy: FaultProxy) -> None:
    proxy.black_hole()
    client = await asyncio.open_connection(proxy.host, proxy.port)
    client[1].write(b"hello")
    await _nothing_comes(client)
    proxy.heal()
    assert await asyncio.wait_for(client[0].readexactly(5), 5) == b"hello"
    client[1].close()


async def test_a_cut_resets_what_is_connected_and_nothing_else(proxy: FaultProxy, client: Streams) -> None:
    await _echoed(client, b"before")
    proxy.cut()
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(client[0].read(1), 5)
    again = await asyncio.open_connection(proxy.host, proxy.port)
    assert await _echoed(again, b"after") == b"after"
    again[1].close()


async def test_an_orderly_cut_is_an_end_of_stream(proxy: FaultProxy, client: Streams) -> None:
    await _echoed(client, b"before")
    proxy.cut(reset=False)
    assert await asyncio.wait_for(client[0].read(1), 5) == b""


async def test_a_cut_works_in_a_hole(proxy: FaultProxy, client: Streams) -> None:
    await _echoed(client, b"before")
    proxy.black_hole()
    client[1].write(b"lost")
    proxy.cut()
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(client[0].read(1), 5)
    await eventually(lambda: proxy.open_connections == 0)


async def test_it_cuts_after_so_many_bytes(proxy: FaultProxy, client: Streams) -> None:
    proxy.cut_after(100)
    client[1].write(b"x" * 1_000)
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(client[0].readexactly(1_000), 5)
    assert proxy.bytes_up + proxy.bytes_down == 100
    again = await asyncio.open_connection(proxy.host, proxy.port)
    assert await _echoed(again, b"y" * 1_000) == b"y" * 1_000
    again[1].close()


async def test_delay_is_latency_not_a_limit(proxy: FaultProxy, client: Streams) -> None:
    proxy.delay(0.1)
    started = time.monotonic()
    writer = client[1]
    for _ in range(20):
        writer.write(b"x" * 1_000)
        await asyncio.sleep(0.005)
    await asyncio.wait_for(client[0].readexactly(20_000), 10)
    assert 0.2 <= time.monotonic() - started < 30.0


async def test_the_rate_is_limited(proxy: FaultProxy, client: Streams) -> None:
    proxy.limit_rate(20_000)
    started = time.monotonic()
    await _echoed(client, b"x" * 10_000)
    assert time.monotonic() - started > 0.4


async def test_it_refuses_and_comes_back_on_the_same_port(proxy: FaultProxy) -> None:
    port = proxy.port
    await proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(proxy.host, port)
    await proxy.start()
    again = await asyncio.open_connection(proxy.host, port)
    assert await _echoed(again, b"back") == b"back"
    again[1].close()


async def test_an_absent_server_shows_as_a_reset(free_port: Callable[[], int]) -> None:
    async with FaultProxy("127.0.0.1", free_port()) as proxy:
        reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(1), 5)
        writer.close()


async def test_closing_leaves_no_task() -> None:
    server = await asyncio.start_server(_echo, "127.0.0.1", 0)
    before = asyncio.all_tasks()
    async with FaultProxy("127.0.0.1", server.sockets[0].getsockname()[1]) as proxy:
        client = await asyncio.open_connection(proxy.host, proxy.port)
        await _echoed(client, b"x")
        proxy.black_hole()
    await eventually(lambda: asyncio.all_tasks() <= before)
    client[1].close()
    server.close()
