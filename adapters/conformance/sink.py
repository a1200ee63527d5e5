"""The cases that every sink passes. Each is a coroutine function that takes a fresh harness."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from adapters.conformance.harness import SinkHarness
from adapters.conformance.hub import Hub, eventually, expect, leaves_nothing
from adapters.conformance.proxy import FaultProxy
from canonical.errors import CrossplantError, PermanentError, TransientError
from canonical.ports import Accepted, Delivery, Failed, NotTried, Sink, SinkOutcome, Unknown

__all__ = ["Case", "cases"]

Case = Callable[[SinkHarness], Awaitable[None]]

MOST = 20
RETURNS_AT_ONCE_S = 5.0
IDLE_S = 0.2


def cases() -> Sequence[Case]:
    """All cases, for ``pytest.mark.parametrize`` or a loop of your own."""
    return (
        all_are_accepted_and_there,
        nothing_to_send_is_fine,
        absent_server_is_an_outage,
        server_that_appears_is_used,
        black_hole_is_a_value_within_the_deadline,
        cut_never_accepts_what_is_not_there,
        server_restart_heals,
        poison_harms_nobody_else,
        close_is_final,
        cancelling_leaves_nothing,
        unopened_sink_closes,
    )


class Bench:
    """One case's set-up: the peer behind a fault proxy, and deliveries numbered through."""

    def __init__(self, harness: SinkHarness, hub: Hub, proxy: FaultProxy) -> None:
        self.harness = harness
        self.hub = hub
        self.proxy = proxy
        self.made = 0

    def sink(self) -> Sink:
        """A sink behind the proxy, not opened."""
        return self.harness.make_sink(self.hub.new_context(), self.proxy.host, self.proxy.port)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Sink]:
        """A sink that is open."""
        sink = self.sink()
        await sink.open()
        try:
            yield sink
        finally:
            async with asyncio.timeout(self.harness.patience_s):
                await sink.close()

    def deliveries(self) -> list[Delivery]:
        """As many fresh ones as one call may hold, 20 at most."""
        return [self._delivery() for _ in range(min(MOST, self.harness.traits.max_batch))]

    def _delivery(self) -> Delivery:
        self.made += 1
        delivery = self.harness.delivery(self.made)
        if delivery is None:
            raise AssertionError("the harness returned None for a delivery that is not poison")
        return delivery

    def poison(self) -> Delivery | None:
        """One that the peer refuses, where there is such a thing."""
        self.made += 1
        return self.harness.delivery(self.made, poison=True)

    async def send(self, sink: Sink, deliveries: Sequence[Delivery]) -> list[SinkOutcome]:
        """Sends within the harness's patience; one outcome for each is there."""
        try:
            async with asyncio.timeout(self.harness.patience_s):
                outcomes = list(await sink.send(deliveries))
        except TimeoutError:
            raise AssertionError(f"send did not return within {self.harness.patience_s:g} s") from None
        except CrossplantError as error:
            raise AssertionError(f"send raised {error!r}: a failure is a value in the report") from error
        expect(
            len(outcomes) == len(deliveries), f"{len(deliveries)} deliveries, but {len(outcomes)} outcomes"
        )
        return outcomes

    async def sends_again(self, sink: Sink) -> None:
        """Waits until fresh deliveries are accepted, and there."""

        async def accepted() -> bool:
            deliveries = self.deliveries()
            outcomes = await self.send(sink, deliveries)
            if not all(isinstance(outcome, Accepted) for outcome in outcomes):
                return False
            await self.are_there(deliveries)
            return True

        await eventually(accepted, 2 * self.harness.patience_s, "deliveries are accepted again")

    async def are_there(self, deliveries: Sequence[Delivery]) -> None:
        """Waits, briefly, until another way than the sink shows them."""
        wanted = {delivery.idempotency_key for delivery in deliveries}

        async def there() -> bool:
            return wanted <= set(await self.harness.received())

        await eventually(there, RETURNS_AT_ONCE_S, "what was accepted is really there")


@asynccontextmanager
async def bench(harness: SinkHarness) -> AsyncIterator[Bench]:
    """A running peer, a proxy before it."""
    host, port = await harness.start_server()
    with tempfile.TemporaryDirectory() as folder:
        async with FaultProxy(host, port) as proxy:
            yield Bench(harness, Hub(Path(folder)), proxy)


async def all_are_accepted_and_there(harness: SinkHarness) -> None:
    """One outcome each, Accepted, and the peer has them, in order if the sink declares so, and once."""
    async with bench(harness) as on, on.running() as sink:
        deliveries = on.deliveries()
        outcomes = await on.send(sink, deliveries)
        refused = [outcome for outcome in outcomes if not isinstance(outcome, Accepted)]
        expect(not refused, f"{len(refused)} of {len(outcomes)} were not accepted, first {refused[:1]}")
        await on.are_there(deliveries)
        keys, there = [d.idempotency_key for d in deliveries], list(await harness.received())
        expect(sorted(there) == sorted(keys), f"sent {keys}, but the peer has {there}")
        expect(not harness.traits.ordered or there == keys, f"declared ordered, but arrived as {there}")


async def nothing_to_send_is_fine(harness: SinkHarness) -> None:
    """An empty call returns an empty report."""
    async with bench(harness) as on, on.running() as sink:
        await on.send(sink, [])


async def absent_server_is_an_outage(harness: SinkHarness) -> None:
    """With the peer away ``open`` returns; ``send`` reports Failed with a TransientError that says outage."""
    async with bench(harness) as on:
        await harness.stop_server()
        await on.proxy.refuse()
        async with on.running() as sink:
            deliveries = on.deliveries()
            outcomes = await on.send(sink, deliveries)
            expect(_is_outage(outcomes[0]), f"no outage was reported, but {outcomes[0]!r}")
            others = [o for o in outcomes[1:] if not (_is_outage(o) or isinstance(o, NotTried))]
            expect(not others, f"beside the outage there is {others[:1]}")


async def server_that_appears_is_used(harness: SinkHarness) -> None:
    """A sink that was opened without its server delivers once the server is there."""
    async with bench(harness) as on:
        await harness.stop_server()
        async with on.running() as sink:
            await on.send(sink, on.deliveries())
            await harness.start_server()
            await on.sends_again(sink)


async def black_hole_is_a_value_within_the_deadline(harness: SinkHarness) -> None:
    """When nothing comes back, ``send`` returns in time and accepts nothing; then it recovers."""
    async with bench(harness) as on, on.running() as sink:
        await on.sends_again(sink)
        on.proxy.black_hole()
        outcomes = await on.send(sink, on.deliveries())
        accepted = [outcome for outcome in outcomes if isinstance(outcome, Accepted)]
        expect(not accepted, f"{len(accepted)} were accepted through a black hole")
        for outcome in outcomes:
            expect(
                isinstance(outcome, NotTried) or _is_transient(outcome),
                f"a black hole is no fault of the message, yet {outcome!r}",
            )
        on.proxy.heal()
        await on.sends_again(sink)


async def cut_never_accepts_what_is_not_there(harness: SinkHarness) -> None:
    """The connection is reset while deliveries are on their way: every Accepted is true."""
    async with bench(harness) as on, on.running() as sink:
        await on.sends_again(sink)
        for size_bytes in (1, 200, 1_000, 4_000):
            on.proxy.cut_after(size_bytes)
            deliveries = on.deliveries()
            outcomes = await on.send(sink, deliveries)
            on.proxy.heal()
            accepted = [d for d, o in zip(deliveries, outcomes, strict=True) if isinstance(o, Accepted)]
            await on.are_there(accepted)
            await on.sends_again(sink)


async def server_restart_heals(harness: SinkHarness) -> None:
    """The peer ends and comes back: deliveries go through again by themselves."""
    async with bench(harness) as on, on.running() as sink:
        await on.sends_again(sink)
        await harness.stop_server()
        outcomes = await on.send(sink, on.deliveries())
        accepted = [outcome for outcome in outcomes if isinstance(outcome, Accepted)]
        expect(not accepted, f"{len(accepted)} were accepted without a server")
        await harness.start_server()
        await on.sends_again(sink)


async def poison_harms_nobody_else(harness: SinkHarness) -> None:
    """A delivery that the peer refuses fails for good; the others are accepted, at once or next time."""
    async with bench(harness) as on, on.running() as sink:
        poison = on.poison()
        if poison is None:
            return
        others = on.deliveries()[: max(0, harness.traits.max_batch - 1)]
        middle = len(others) // 2
        outcomes = await on.send(sink, [*others[:middle], poison, *others[middle:]])
        refused = outcomes.pop(middle)
        expect(
            isinstance(refused, Failed) and isinstance(refused.error, PermanentError),
            f"a refused delivery is Failed with a PermanentError, not {refused!r}",
        )
        wrong = [o for o in outcomes if not isinstance(o, Accepted | NotTried)]
        expect(not wrong, f"beside a refused delivery another one became {wrong[:1]}")
        await on.sends_again(sink)


async def close_is_final(harness: SinkHarness) -> None:
    """``close`` may be called twice and leaves no task, thread or connection behind."""
    async with bench(harness) as on:
        async with leaves_nothing(harness.patience_s):
            async with on.running() as sink:
                await on.sends_again(sink)
            async with asyncio.timeout(harness.patience_s):
                await sink.close()
        await eventually(
            lambda: on.proxy.open_connections == 0, harness.patience_s, "all connections are closed"
        )


async def cancelling_leaves_nothing(harness: SinkHarness) -> None:
    """A ``send`` that is cancelled while it waits ends as cancelled, and the sink closes all the same."""
    async with bench(harness) as on, leaves_nothing(harness.patience_s):
        async with on.running() as sink:
            await on.sends_again(sink)
            on.proxy.black_hole()
            sending = asyncio.create_task(_send(sink, on.deliveries()))
            await asyncio.wait([sending], timeout=0.05)
            expect(not sending.done(), "send returned at once from a black hole")
            sending.cancel()
            await asyncio.wait([sending], timeout=RETURNS_AT_ONCE_S)
            expect(sending.done() and sending.cancelled(), "send swallowed the cancellation")
        on.proxy.heal()


async def unopened_sink_closes(harness: SinkHarness) -> None:
    """Making a sink does nothing; closing it unopened is fine."""
    async with bench(harness) as on, leaves_nothing(harness.patience_s):
        sink = on.sink()
        await asyncio.sleep(IDLE_S)  # time enough for what a constructor should not have started
        await sink.close()
        expect(on.proxy.connections == 0, "a sink connected before it was opened")


async def _send(sink: Sink, deliveries: Sequence[Delivery]) -> None:
    await sink.send(deliveries)


def _is_transient(outcome: SinkOutcome) -> bool:
    return isinstance(outcome, Failed | Unknown) and isinstance(outcome.error, TransientError)


def _is_outage(outcome: SinkOutcome) -> bool:
    return isinstance(outcome, Failed) and isinstance(outcome.error, TransientError) and outcome.error.outage
