"""What happens to a connection in a plant, and what becomes of the values meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from adapters.conformance.hub import Hub
from adapters.conformance.proxy import FaultProxy
from adapters.opcua import SPEC
from tests.adapters.opcua.running import Running, options, running
from tests.servers import OpcuaPeer, StartOpcuaPeer
from tests.waiting import eventually


def through(proxy: FaultProxy) -> str:
    return f"opc.tcp://{proxy.host}:{proxy.port}/UA/peer"


def unbroken(numbers: Sequence[int]) -> bool:
    """Whether a counter that was seen often enough lacks no step."""
    return list(numbers) == list(range(numbers[0], numbers[0] + len(numbers)))


async def test_a_cut_loses_nothing(machine: OpcuaPeer, tmp_path: Path) -> None:
    async with FaultProxy("127.0.0.1", machine.port) as proxy:
        settings = options(through(proxy), "counter", sampling_interval="0ms")
        async with running(settings, tmp_path) as run:
            for away_s in (0.0, 0.5, 3.0):
                await run.comes_anew("counter", 5)
                await proxy.refuse()
                proxy.cut()
                await eventually(lambda: not run.hub.context.health.connected)
                await asyncio.sleep(away_s)
                await proxy.start()
                await run.connected()
            await run.comes_anew("counter", 5)
            assert unbroken(run.values("counter"))
            assert run.gaps() == []
            assert run.statuses() == ["online"] + ["stale", "online"] * 3


async def test_a_black_hole_of_ten_seconds_ends_with_data_and_the_gap_written_down(
    machine: OpcuaPeer, tmp_path: Path
) -> None:
    async with FaultProxy("127.0.0.1", machine.port) as proxy:
        # The server gives the subscription up meanwhile, and its queue is short: values must get lost.
        settings = options(through(proxy), "counter", lifetime_count=30, queue_size=5)
        async with running(settings, tmp_path) as run:
            await run.comes_anew("counter", 5)
            proxy.black_hole()
            loop = asyncio.get_running_loop()
            began = loop.time()
            await eventually(lambda: not run.hub.context.health.connected)
            assert loop.time() - began < 30.0
            last = run.values("counter")[-1]
            await eventually(lambda: loop.time() - began > 10.0, 12.0)
            proxy.heal()
            await run.connected()
            await run.comes_anew("counter", 10)
            first = next(value for value in run.values("counter") if value > last)
            gap = next(gap for gap in run.gaps() if gap["reason"] != "queue_overflow")
            assert first > last + 1
            assert gap["reason"] == "subscription_recreated"
            assert gap["from"] < gap["to"]
            assert run.statuses()[:3] == ["online", "stale", "online"]


async def test_a_black_hole_that_the_servers_queue_outlasts_loses_nothing(
    machine: OpcuaPeer, tmp_path: Path
) -> None:
    async with FaultProxy("127.0.0.1", machine.port) as proxy:
        settings = options(through(proxy), "counter", sampling_interval="0ms")
        async with running(settings, tmp_path) as run:
            await run.comes_anew("counter", 5)
            proxy.black_hole()
            await eventually(lambda: not run.hub.context.health.connected)
            proxy.heal()
            await run.connected()
            await run.comes_anew("counter", 10)
            assert unbroken(run.values("counter"))
            assert run.gaps() == []


async def test_the_next_process_takes_the_subscription_over(machine: OpcuaPeer, tmp_path: Path) -> None:
    settings = options(machine.url, "counter", sampling_interval="0ms")
    async with running(settings, tmp_path) as run:
        await run.comes_anew("counter", 5)
    later = await _another_life(settings_of=run)
    assert unbroken(later.values("counter"))
    assert later.gaps() == []


async def _another_life(settings_of: Running) -> Running:
    hub: Hub = settings_of.hub
    async with running(settings_of.settings, hub.data_dir, hub=hub) as run:
        await run.connected()
        await run.comes_anew("counter", 5)
    return run


async def test_a_second_hub_that_takes_over_is_told_apart(machine: OpcuaPeer, tmp_path: Path) -> None:
    settings = options(machine.url, "counter")
    async with running(settings, tmp_path) as first:
        await first.comes_anew("counter", 3)
        second_hub = Hub(tmp_path)
        second_hub.state = first.hub.state
        async with running(settings, tmp_path, hub=second_hub) as second:
            await second.comes_anew("counter", 3)
            await eventually(lambda: "taken_over" in first.kinds())
            await first.connected()
            await first.comes_anew("counter", 5)
            await second.comes_anew("counter", 5)
            assert second.statuses() == ["online"]  # no fight: the first one has a new subscription


async def test_changed_tags_make_a_new_subscription(machine: OpcuaPeer, tmp_path: Path) -> None:
    async with running(options(machine.url, "counter"), tmp_path) as run:
        await run.comes_anew("counter", 3)
    settings = options(machine.url, "counter", "temperature")
    async with running(settings, tmp_path, hub=run.hub) as later:
        await later.comes_anew("temperature", 3)
        assert [gap["reason"] for gap in later.gaps()] == ["reconfigured"]


async def test_a_server_restart_is_written_down(opcua_peer: OpcuaPeer, tmp_path: Path) -> None:
    async with running(options(opcua_peer.url, "counter"), tmp_path) as run:
        await run.comes_anew("counter", 3)
        await asyncio.to_thread(opcua_peer.kill9)
        await eventually(lambda: not run.hub.context.health.connected)
        await asyncio.to_thread(opcua_peer.start)
        await run.connected()
        await run.comes_anew("counter", 3)
        assert [gap["reason"] for gap in run.gaps()] == ["server_restarted"]
        assert run.statuses() == ["online", "stale", "online"]


async def test_a_frozen_server_is_noticed(opcua_peer: OpcuaPeer, tmp_path: Path) -> None:
    async with running(options(opcua_peer.url, "counter"), tmp_path) as run:
        await run.comes_anew("counter", 3)
        opcua_peer.process.freeze()
        await eventually(lambda: not run.hub.context.health.connected, 5.0)
        opcua_peer.process.thaw()
        await run.connected()
        await run.comes_anew("counter", 3)


async def test_a_server_that_comes_late_is_found(
    start_opcua_peer: StartOpcuaPeer, opcua_peer: OpcuaPeer, tmp_path: Path
) -> None:
    await asyncio.to_thread(opcua_peer.stop)
    async with running(options(opcua_peer.url, "counter"), tmp_path) as run:
        await eventually(lambda: run.statuses() == ["offline"])
        assert "cannot be reached" in run.hub.context.health.detail
        await asyncio.to_thread(opcua_peer.start)
        await run.comes_anew("counter", 3)
        assert run.statuses() == ["offline", "online"]
        assert run.gaps() == []


async def test_renumbered_namespaces_are_found_by_their_uri(opcua_peer: OpcuaPeer, tmp_path: Path) -> None:
    async with running(options(opcua_peer.url, "counter"), tmp_path) as run:
        await run.comes_anew("counter", 3)
        await asyncio.to_thread(opcua_peer.restart, swap_namespaces=True)
        await run.connected()
        await run.comes_anew("counter", 3)
        assert [data["quality"] for data in run.measured("counter")] == ["good"] * len(
            run.measured("counter")
        )


async def test_a_slow_hub_makes_the_server_wait_and_loses_nothing(machine: OpcuaPeer, tmp_path: Path) -> None:
    settings = options(machine.url, "counter", sampling_interval="0ms", buffer=2, queue_size=1000)
    hub = Hub(tmp_path)
    run = Running(settings, hub)
    async with _only_open(run):
        await eventually(lambda: hub.context.health.connected)
        await eventually(lambda: hub.context.health.last_good_at is not None)
        seen = hub.context.health.last_good_at
        await asyncio.sleep(1.5)  # nobody takes: longer than the limit for silence
        assert hub.context.health.connected
        assert seen is not None
        async with hub.takes_from(run.source):
            await run.comes_anew("counter", 30)
        assert unbroken(run.values("counter"))
        assert run.statuses() == ["online"]


@asynccontextmanager
async def _only_open(run: Running) -> AsyncIterator[None]:
    """The source is open, but nobody takes from it."""
    assert SPEC.source is not None
    run.source = SPEC.source(run.settings, run.hub.new_context())
    await run.source.open()
    try:
        yield
    finally:
        await run.source.close()
