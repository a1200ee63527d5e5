"""GET /v1/events/stream over a real connection."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from router.journal.retention import Retention
from tests.gateway.hubs import Served, event, served
from tests.waiting import eventually


class Reader:
    """Server-sent events as a browser reads them."""

    def __init__(self, answer: httpx.Response) -> None:
        self._lines = answer.aiter_lines()
        self.last_id = ""
        self.comments: list[str] = []

    async def next(self) -> dict[str, Any] | None:
        """The next event's data; None at the end."""
        data: list[str] = []
        async with asyncio.timeout(10):
            async for line in self._lines:
                name, _, value = line.partition(":")
                if not line and data:
                    read: dict[str, Any] = json.loads("\n".join(data))
                    return read
                if line.startswith(":"):
                    self.comments.append(line)
                elif name == "data":
                    data.append(value.removeprefix(" "))
                elif name == "id":
                    self.last_id = value.removeprefix(" ")
        return None

    async def positions(self, number: int) -> list[int]:
        found = []
        for _ in range(number):
            read = await self.next()
            assert read is not None
            found.append(int(read["position"]))
        return found


@asynccontextmanager
async def listening(client: httpx.AsyncClient, query: str = "", last: str = "") -> AsyncIterator[Reader]:
    headers = {"Last-Event-ID": last} if last else {}
    async with client.stream("GET", f"/v1/events/stream{query}", headers=headers, timeout=10) as answer:
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield Reader(answer)


async def test_events_come_as_they_are_committed(live: Served) -> None:
    client = await live.client("viewer")
    await live.record(event(1))
    async with listening(client) as reader:
        await eventually(lambda: live.app.state.streams == 1)
        await live.record(event(2), event(3))
        read = await reader.next()
        assert read is not None
        assert (read["position"], read["id"], reader.last_id) == (2, "000002", "2")
        assert await reader.positions(1) == [3]
    await eventually(lambda: live.app.state.streams == 0)


async def test_who_comes_back_goes_on_where_they_were(live: Served) -> None:
    client = await live.client("viewer")
    await live.record(*(event(number) for number in range(1, 21)))
    async with listening(client, last="15") as reader:
        assert await reader.positions(5) == [16, 17, 18, 19, 20]
        await live.record(event(21))
        assert await reader.positions(1) == [21]
    async with listening(client, "?after=0") as reader:
        assert await reader.positions(21) == list(range(1, 22))


async def test_resuming_after_a_restart_reads_the_journal(tmp_path: Path) -> None:
    async with served(tmp_path / "data") as first:
        await first.record(*(event(number) for number in range(1, 1500)))
    async with served(tmp_path / "data") as second:
        client = await second.client("viewer")
        async with listening(client, last="10") as reader:
            assert await reader.positions(1489) == list(range(11, 1500))
            await second.record(event(1500))
            assert await reader.positions(1) == [1500]


async def test_a_stream_is_filtered_and_bounded_by_the_key(live: Served) -> None:
    client = await live.client("viewer", plants=["brno"])
    async with listening(client, "?subject=O-4&after=0") as reader:
        await live.record(event(1), event(2, plantid="brno"), event(4), event(3, plantid="brno"))
        await live.record(event(5, plantid="brno", data={**event(4).data}))
        assert await reader.positions(1) == [5]


async def test_silence_is_filled_with_heartbeats_that_move_on(tmp_path: Path) -> None:
    async with served(tmp_path / "data", app_state={"heartbeat_s": 0.05}) as live:
        client = await live.client("viewer")
        async with listening(client, "?plant=brno") as reader:
            await eventually(lambda: live.app.state.streams == 1)
            await live.record(event(1), event(2))
            reading = asyncio.create_task(reader.next())
            await eventually(lambda: len(reader.comments) >= 3 and reader.last_id == "2")
            await live.record(event(3, plantid="brno"))
            read = await reading
            assert read is not None
            assert read["position"] == 3


async def test_a_revoked_key_ends_its_stream(tmp_path: Path) -> None:
    async with served(tmp_path / "data", app_state={"heartbeat_s": 0.05}) as live:
        client = await live.client("viewer")
        async with listening(client) as reader:
            (key,) = await live.hub.keys.list()
            await live.hub.keys.revoke(key.id, by="test")
            assert await reader.next() is None


async def test_what_was_pruned_is_410(live: Served) -> None:
    client = await live.client("viewer")
    for number in range(1, 6):
        await live.record(event(number))
    await eventually(lambda: live.hub.search.position == 5)
    live.hub.journal._retention = Retention(retain_s=0.0, keep_after=lambda: 3)
    await live.hub.journal.retain()
    answer = await client.get("/v1/events/stream", headers={"Last-Event-ID": "1"})
    assert answer.status_code == 410
    assert (answer.json()["code"], answer.json()["oldest"]) == ("pruned", 4)
    async with listening(client, last="3") as reader:
        assert await reader.positions(2) == [4, 5]


async def test_rubbish_ids_are_422(live: Served) -> None:
    client = await live.client("viewer")
    for last in ("abc", "-1", "1e9", "9" * 40):
        assert (await client.get("/v1/events/stream", headers={"Last-Event-ID": last})).status_code == 422


async def test_stopping_the_server_ends_streams_at_once(live: Served) -> None:
    client = await live.client("viewer")
    async with listening(client) as reader:
        await eventually(lambda: live.app.state.streams == 1)
        live.server.should_exit = True
        assert await reader.next() is None
    await eventually(lambda: not live.server.server_state.connections)


async def test_a_slow_listener_misses_nothing_and_holds_nobody_back(live: Served) -> None:
    client = await live.client("viewer")
    async with listening(client) as reader:
        await eventually(lambda: live.app.state.streams == 1)
        for start in range(0, 6000, 500):
            await live.record(*(event(number) for number in range(start, start + 500)))
        assert await reader.positions(6000) == list(range(1, 6001))
