"""The cases that every source passes. Each is a coroutine function that takes a fresh harness.

A case about a guarantee that the kind does not declare is left out by ``cases``.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from adapters.conformance.harness import SourceHarness
from adapters.conformance.hub import ACCEPTED, Hub, eventually, expect, leaves_nothing
from adapters.conformance.proxy import FaultProxy
from canonical.ports import Inbound, Source
from canonical.spec import Guarantees

__all__ = ["Case", "cases"]

Case = Callable[[SourceHarness], Awaitable[None]]

FEW = 20
BULK = 1_000
BULK_BYTES = 16_000
HELD_SHARE = 0.75
QUIET_S = 1.0
IDLE_S = 0.2
RETURNS_AT_ONCE_S = 5.0


def cases(guarantees: Guarantees, *, acknowledges_by_connection: bool = True) -> Sequence[Case]:
    """The cases for a source with these guarantees, for ``pytest.mark.parametrize`` or a loop of your own.

    ``acknowledges_by_connection``: an acknowledgement belongs to the connection that brought the
    message, as in MQTT and AMQP; false where it moves a position of ours (polling, files).
    """
    chosen: list[Case] = list(ALWAYS)
    chosen += REDELIVERING if guarantees.redelivers else ()
    chosen += BY_CONNECTION if guarantees.redelivers and acknowledges_by_connection else ()
    chosen += STABLE if guarantees.redelivers and guarantees.stable_ids else ()
    chosen += PACED if guarantees.back_pressure else ()
    return chosen


class Bench:
    """One case's set-up: the peer behind a fault proxy, and a stand-in for the hub."""

    def __init__(self, harness: SourceHarness, hub: Hub, proxy: FaultProxy) -> None:
        self.harness = harness
        self.hub = hub
        self.proxy = proxy

    def source(self) -> Source:
        """A source behind the proxy, as after a restart of the hub's process."""
        return self.harness.make_source(self.hub.new_context(), self.proxy.host, self.proxy.port)

    @asynccontextmanager
    async def running(self, *, acknowledges: bool = True) -> AsyncIterator[Source]:
        """A source that is open, connected and taken from."""
        source = self.source()
        async with self.hub.runs(source, acknowledges=acknowledges):
            await self.connected()
            yield source

    async def connected(self) -> None:
        health = self.hub.context.health
        await eventually(
            lambda: health.connected,
            self.harness.patience_s,
            lambda: f"health.connected is true; its detail says {health.detail!r}",
        )

    def arrived(self) -> list[str]:
        """The marks of what came in, in order, repeats included."""
        marks = (self.harness.mark(raw) for raw in self.hub.committed)
        return [mark for mark in marks if mark is not None]

    async def arrive(self, marks: Sequence[str], what: str = "") -> None:
        """Waits until all of them came in."""
        await eventually(
            lambda: set(marks) <= set(self.arrived()),
            self.harness.patience_s,
            lambda: f"all messages have come in{what}; {self._missing(marks)}",
        )

    async def arrive_again(self, marks: Sequence[str], since: int, what: str) -> None:
        """Waits until all of them came in after the first ``since`` messages."""
        await eventually(
            lambda: set(marks) <= set(self.arrived()[since:]),
            self.harness.patience_s,
            lambda: f"{what}; {len(set(marks) - set(self.arrived()[since:]))} of {len(marks)} did not",
        )

    def ids(self) -> dict[str, set[str]]:
        """Mark → all message ids that it came in under."""
        found: dict[str, set[str]] = {}
        for raw in self.hub.committed:
            if (mark := self.harness.mark(raw)) is not None:
                found.setdefault(mark, set()).add(raw.id)
        return found

    def _missing(self, marks: Sequence[str]) -> str:
        missing = [mark for mark in marks if mark not in set(self.arrived())]
        return f"{len(missing)} of {len(marks)} are missing, first {missing[:3]}"


@asynccontextmanager
async def bench(harness: SourceHarness) -> AsyncIterator[Bench]:
    """A running peer, a proxy before it, a hub without a past."""
    host, port = await harness.start_server()
    with tempfile.TemporaryDirectory() as folder:
        async with FaultProxy(host, port) as proxy:
            yield Bench(harness, Hub(Path(folder)), proxy)


async def messages_arrive_once_and_in_order(harness: SourceHarness) -> None:
    """What the peer sends comes in, with ids of its own and the adapter's name."""
    async with bench(harness) as on, on.running():
        marks = list(await harness.publish(FEW))
        await on.arrive(marks)
        expect(on.arrived() == marks, f"sent {marks}, but came in as {on.arrived()}")
        ids = Counter(raw.id for raw in on.hub.committed)
        expect(max(ids.values()) == 1, f"ids of different messages are the same: {ids.most_common(3)}")
        for raw in on.hub.committed:
            expect(raw.adapter == on.hub.context.name, f"adapter is {raw.adapter!r}, not the context's name")
            expect(raw.received_at.utcoffset() is not None, "received_at has no time zone")


async def health_tells_when_data_came(harness: SourceHarness) -> None:
    """``last_good_at`` is set by data."""
    async with bench(harness) as on, on.running():
        await on.arrive(await harness.publish(1))
        health = on.hub.context.health
        expect(health.last_good_at is not None, "health.last_good_at is not set although data came")
        expect(health.flowing(on.hub.context.clock()), "health says that data does not flow")


async def absent_server_is_awaited(harness: SourceHarness) -> None:
    """With the peer away ``open`` returns, health says so, and data comes once the peer is there."""
    async with bench(harness) as on:
        async with on.running():
            pass  # so that the peer knows us, where it must
        await harness.stop_server()
        await on.proxy.refuse()
        async with asyncio.timeout(RETURNS_AT_ONCE_S), on.hub.runs(on.source()):
            expect(not on.hub.context.health.connected, "health.connected is true without a server")
        await on.proxy.start()
        async with on.hub.runs(on.source()):
            await eventually(
                lambda: on.proxy.connections > 0, harness.patience_s, "the source has tried to connect"
            )
            await harness.start_server()
            await on.connected()
            await on.arrive(await harness.publish(FEW), " after the server appeared")


async def cut_heals(harness: SourceHarness) -> None:
    """A connection that is reset amid the stream: nothing is lost where the protocol redelivers."""
    async with bench(harness) as on, on.running():
        before = list(await harness.publish(FEW))
        on.proxy.cut()
        if harness.guarantees.redelivers:
            before += await harness.publish(FEW)
            await on.arrive(before, " although the connection was cut")
        await flows_again(on, "the connection was cut")


async def black_hole_heals(harness: SourceHarness) -> None:
    """Nothing passes any more, although the connection stays open: health says so, and data comes back."""
    async with bench(harness) as on, on.running():
        await on.arrive(await harness.publish(1))
        on.proxy.black_hole()
        health = on.hub.context.health
        await eventually(
            lambda: not health.connected, harness.patience_s, "the source has noticed the black hole"
        )
        on.proxy.heal()
        await flows_again(on, "the black hole")


async def server_restart_heals(harness: SourceHarness) -> None:
    """The peer ends and comes back: data comes back by itself."""
    async with bench(harness) as on, on.running():
        await on.arrive(await harness.publish(1))
        await harness.stop_server()
        health = on.hub.context.health
        await eventually(
            lambda: not health.connected, harness.patience_s, "the source has noticed that its server is gone"
        )
        await harness.start_server()
        await flows_again(on, "the server's restart")


async def flows_again(on: Bench, after: str) -> None:
    """Connected again, and what is sent from now on arrives."""
    await on.connected()
    await on.arrive(await on.harness.publish(FEW), f" after {after}")


async def close_is_final(harness: SourceHarness) -> None:
    """``close`` ends ``receive``, may be called twice, and leaves no task, thread or connection behind."""
    async with bench(harness) as on:
        async with leaves_nothing(harness.patience_s):
            source = on.source()
            await source.open()
            intake = asyncio.create_task(_drain(source))
            await on.connected()
            for _ in range(2):
                async with asyncio.timeout(harness.patience_s):
                    await source.close()
            async with asyncio.timeout(RETURNS_AT_ONCE_S):
                await intake
        await eventually(
            lambda: on.proxy.open_connections == 0, harness.patience_s, "all connections are closed"
        )


async def cancelling_leaves_nothing(harness: SourceHarness) -> None:
    """A taker that is cancelled ends as cancelled, and the source closes all the same."""
    async with bench(harness) as on, leaves_nothing(harness.patience_s):
        source = on.source()
        await source.open()
        intake = asyncio.create_task(_drain(source))
        await on.connected()
        intake.cancel()
        await asyncio.wait([intake], timeout=RETURNS_AT_ONCE_S)
        expect(intake.done() and intake.cancelled(), "receive() swallowed the cancellation")
        await source.close()


async def close_in_a_hole_returns(harness: SourceHarness) -> None:
    """``close`` has a deadline also when the peer does not answer."""
    async with bench(harness) as on, leaves_nothing(harness.patience_s):
        source = on.source()
        await source.open()
        await on.connected()
        on.proxy.black_hole()
        async with asyncio.timeout(harness.patience_s):
            await source.close()
        on.proxy.heal()


async def unopened_source_closes(harness: SourceHarness) -> None:
    """Making a source does nothing; closing it unopened is fine."""
    async with bench(harness) as on, leaves_nothing(harness.patience_s):
        source = on.source()
        await asyncio.sleep(IDLE_S)  # time enough for what a constructor should not have started
        await source.close()
        expect(on.proxy.connections == 0, "a source connected before it was opened")


async def unacknowledged_comes_again(harness: SourceHarness) -> None:
    """Taken, even committed, and not acknowledged: the next life of the hub gets it again."""
    async with bench(harness) as on:
        async with on.running(acknowledges=False):
            marks = await harness.publish(FEW)
            await on.arrive(marks)
        taken = len(on.arrived())
        async with on.running():
            await on.arrive_again(marks, taken, "what was not acknowledged has come again")


async def acknowledged_does_not_come_again(harness: SourceHarness) -> None:
    """What was acknowledged, and the peer heard so, stays acknowledged."""
    async with bench(harness) as on:
        async with on.running():
            marks = list(await harness.publish(FEW))
            await on.arrive(marks)
        taken = len(on.arrived())
        async with on.running():
            later = await harness.publish(FEW)
            await on.arrive(later)
        again = set(marks) & set(on.arrived()[taken:])
        expect(not again, f"{len(again)} acknowledged messages came again")


async def cut_before_acknowledgement_comes_again(harness: SourceHarness) -> None:
    """A batch that was taken before a cut comes again; its late acknowledgement does nothing."""
    async with bench(harness) as on:
        async with on.running(acknowledges=False):
            marks = await harness.publish(FEW)
            await on.arrive(marks)
            stale = list(on.hub.batches)
            taken = len(on.arrived())
            on.proxy.cut()
            await on.arrive_again(marks, taken, "what was not acknowledged has come again after a cut")
            if harness.guarantees.stable_ids:
                _expect_one_id_each(on, marks, "after a cut")
            for inbound in stale:
                await _acknowledge(inbound)
            taken = len(on.arrived())
        async with on.running():
            await on.arrive_again(marks, taken, "a stale acknowledgement was without effect")


async def ids_are_stable(harness: SourceHarness) -> None:
    """The same message has the same id when it comes again in the hub's next life."""
    async with bench(harness) as on:
        async with on.running(acknowledges=False):
            marks = await harness.publish(FEW)
            await on.arrive(marks)
        taken = len(on.arrived())
        async with on.running():
            await on.arrive_again(marks, taken, "what was not acknowledged has come again")
            _expect_one_id_each(on, marks, "in the next life")


async def reader_sets_the_pace(harness: SourceHarness) -> None:
    """While nobody takes what comes, the peer has to wait; then everything arrives."""
    async with bench(harness) as on:
        source = on.source()
        await source.open()
        try:
            await on.connected()
            marks = await harness.publish(BULK, BULK_BYTES)
            await _settled(on.proxy)
            held, sent = on.proxy.bytes_down, BULK * BULK_BYTES
            expect(held < sent * HELD_SHARE, f"{held} bytes of {sent} came in although nobody took them")
            async with on.hub.takes_from(source):
                await on.arrive(marks, " after the reader started")
        finally:
            await source.close()


async def _settled(proxy: FaultProxy) -> None:
    """Returns once next to nothing comes down any more; signs of life may."""
    seen = -BULK_BYTES
    while proxy.bytes_down - seen >= BULK_BYTES:
        seen = proxy.bytes_down
        await asyncio.sleep(QUIET_S)


async def _acknowledge(inbound: Inbound) -> None:
    await inbound.ack([ACCEPTED] * len(inbound.messages))


async def _drain(source: Source) -> None:
    async for inbound in source.receive():
        await _acknowledge(inbound)


def _expect_one_id_each(on: Bench, marks: Sequence[str], when: str) -> None:
    several = {mark: ids for mark, ids in on.ids().items() if mark in set(marks) and len(ids) > 1}
    expect(not several, f"{len(several)} messages got another id {when}, first {list(several.items())[:1]}")


ALWAYS: tuple[Case, ...] = (
    messages_arrive_once_and_in_order,
    health_tells_when_data_came,
    absent_server_is_awaited,
    cut_heals,
    black_hole_heals,
    server_restart_heals,
    close_is_final,
    cancelling_leaves_nothing,
    close_in_a_hole_returns,
    unopened_source_closes,
)
REDELIVERING: tuple[Case, ...] = (
    unacknowledged_comes_again,
    acknowledged_does_not_come_again,
)
BY_CONNECTION: tuple[Case, ...] = (cut_before_acknowledgement_comes_again,)
STABLE: tuple[Case, ...] = (ids_are_stable,)
PACED: tuple[Case, ...] = (reader_sets_the_pace,)
