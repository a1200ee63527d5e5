"""A route on a real journal with a sink that does as it is told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog
from msgspec import json

from canonical import catalogue
from canonical.event import Event, new_id
from canonical.expression import FieldMap, compile_expression
from canonical.ports import Accepted, Delivery, Outcome, RawMessage, SinkOutcome
from canonical.spec import SinkTraits
from deadletter import store as dead_letters
from deadletter.entry import DeadLetter
from router import aggregates, batches, crosswalk, lanes, sequences, splitting
from router.dispatch import Dispatcher, Feed
from router.engine import Engine
from router.gathering import GatheringFeed
from router.journal import IngestBatch, Message
from router.journal.sqlite import SQLiteJournal
from router.lanekeeper import LaneKeeper
from router.ratelimit import Share
from router.recoverability import Policy
from router.routes import Codes, Route

TABLES = (
    *dead_letters.TABLES,
    *lanes.TABLES,
    *crosswalk.TABLES,
    *sequences.TABLES,
    *splitting.TABLES,
    *aggregates.TABLES,
    *batches.TABLES,
)
HOLD = "quality.hold.placed"
SOURCE = "/plants/aachen/adapters/mes"
Behaviour = Callable[[Delivery], Awaitable[SinkOutcome] | SinkOutcome]


class JsonFormatter:
    content_type = "application/json"

    def format(self, payload: Any) -> bytes:
        return json.encode(payload)

    def format_all(self, payloads: Sequence[Any]) -> list[bytes]:
        return [json.encode(payload) for payload in payloads]


class ScriptedSink:
    """Keeps what it accepted, in order; ``behave`` decides per delivery."""

    def __init__(self, behave: Behaviour = lambda _: Accepted("ok")) -> None:
        self.behave = behave
        self.accepted: list[Delivery] = []
        self.calls: list[Delivery] = []
        self.keys_under_way: set[str] = set()

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def send(self, deliveries: Sequence[Delivery]) -> Sequence[SinkOutcome]:
        return [await self._one(delivery) for delivery in deliveries]

    async def _one(self, delivery: Delivery) -> SinkOutcome:
        self.calls.append(delivery)
        assert delivery.key not in self.keys_under_way, "two deliveries of one key at once"
        self.keys_under_way.add(delivery.key)
        try:
            outcome = self.behave(delivery)
            if isinstance(outcome, Awaitable):
                outcome = await outcome
        finally:
            self.keys_under_way.discard(delivery.key)
        if isinstance(outcome, Accepted):
            self.accepted.append(delivery)
        return outcome

    @property
    def numbers(self) -> list[int]:
        """``n`` of what was accepted, in order."""
        return [number_of(delivery) for delivery in self.accepted]


class SilentObserver:
    def delivered(self, route: str, events: Sequence[Event], at: datetime) -> None: ...

    def ended(self, route: str, event: Event, outcome: str) -> None: ...


def order(number: int, key: str, item: str = "A-1") -> Event:
    """A production order event; ``number`` is its identity, ``key`` its partition key."""
    now = datetime.now(UTC)
    return Event(
        id=f"{number:06d}",
        source=SOURCE,
        type=catalogue.full_name("production.order.created"),
        time=now,
        recordedtime=now,
        subject=key,
        partitionkey=key,
        plantid="aachen",
        domain="production",
        srcmsgid=f"m{number}",
        data={"order": key, "item": item, "number": number},
    )


def number_of(delivery: Delivery) -> int:
    """The number that ``order`` gave the delivery's event."""
    return int(delivery.event.data["number"])


def message(event: Event) -> Message:
    """The event as if a source had sent it."""
    raw = RawMessage(
        adapter="mes",
        id=event.srcmsgid or new_id(),
        body=json.encode(event.data),
        received_at=datetime.now(UTC),
    )
    return Message(raw=raw, events=[event])


def route(**options: Any) -> Route:
    """A route for production orders; ``when`` and ``map`` as text."""
    if "when" in options:
        options["when"] = compile_expression(options["when"])
    if "map" in options:
        options["fields"] = FieldMap(options.pop("map"))
    settings: dict[str, Any] = {
        "name": "orders",
        "types": frozenset({catalogue.full_name("production.order.created")}),
        "plants": frozenset(),
        "to": "erp",
        "formatter": JsonFormatter(),
        "policy": Policy(first_s=0.01, max_s=0.05, give_up_after_s=60.0),
    }
    return Route(**{**settings, **options})


PARALLEL = SinkTraits(concurrency=8)
ITEMS = Codes(system="mes", fields=("data.item",))


class Rig:
    """One journal, any number of routes."""

    def __init__(self, folder: Path, tables: Sequence[str] = TABLES, window_s: float = 7 * 86400.0) -> None:
        self.folder, self._tables, self._window_s = folder, tables, window_s
        self.crosswalk = crosswalk.Crosswalk()
        self.engines: list[Engine] = []
        self._tasks: list[asyncio.Task[None]] = []
        self.log = structlog.get_logger()

    async def open(self) -> None:
        self.journal = SQLiteJournal(self.folder, tables=self._tables, window_s=self._window_s)
        await self.journal.open()
        self.dispatcher = Dispatcher(self.journal, self.log)

    async def start(
        self, compiled: Route, sink: Any, traits: SinkTraits = PARALLEL, share: Share | None = None
    ) -> Engine:
        cursors = await self.journal.cursors()
        engine = Engine(
            compiled,
            sink=sink,
            traits=traits,
            feed=self._feed(compiled, cursors.get(compiled.name, 0)),
            journal=self.journal,
            crosswalk=lambda: self.crosswalk,
            keeper=LaneKeeper(compiled.name, self.journal, self.log),
            observer=SilentObserver(),
            clock=lambda: datetime.now(UTC),
            log=self.log,
            share=share,
        )
        self.engines.append(engine)
        self._tasks.append(asyncio.create_task(engine.run()))
        return engine

    def _feed(self, compiled: Route, after: int) -> Feed:
        batch = compiled.batch
        if batch is None:
            return self.dispatcher.feed(compiled, after)
        gathering = GatheringFeed(compiled, self.dispatcher, after, size=batch.size, within_s=batch.within_s)
        return self.dispatcher.add(gathering)

    async def append(self, *events: Event) -> Sequence[Outcome]:
        return await self.journal.append(
            IngestBatch(adapter="mes", messages=[message(event) for event in events])
        )

    async def lanes(self) -> list[lanes.Lane]:
        return await self.journal.read(lambda t: lanes.page(t, limit=-1))

    async def clear(self) -> bool:
        """Whether no lane is left."""
        return not await self.lanes()

    async def letters(self) -> list[DeadLetter]:
        return await self.journal.read(lambda t: dead_letters.page(t, {}, limit=-1))

    async def approve(self, **columns: str) -> None:
        """Adds a crosswalk row and lets what waits for it go, as the gateway does."""
        row = crosswalk.Row(**columns)  # type: ignore[arg-type]

        def work(transaction: Any) -> tuple[list[crosswalk.Row], list[tuple[str, str]]]:
            crosswalk.add(transaction, row)
            return crosswalk.rows(transaction), lanes.parked_on(
                transaction, row.domain, row.system, row.value
            )

        known, waiting = await self.journal.write(work)
        self.crosswalk = crosswalk.Crosswalk(known)
        for name, key in waiting:
            for engine in self.engines:
                if engine.route.name == name:
                    engine.keeper.release(key)

    async def stop(self) -> None:
        """As the hub stops: engines first, then the journal."""
        for engine in self.engines:
            engine.stop()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait_for(task, 10)
        for engine in self.engines:
            await engine.feed.close()
        await self.journal.close()
        self.engines, self._tasks = [], []


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Rig]:
    """An open rig, stopped at the end."""
    rig = Rig(folder)
    await rig.open()
    try:
        yield rig
    finally:
        await rig.stop()


async def until(condition: Callable[[], Any], within_s: float = 30.0) -> None:
    """Waits for a condition, which may be a coroutine function. Fails after the deadline."""
    async with asyncio.timeout(within_s):
        while True:
            found = condition()
            if isinstance(found, Awaitable):
                found = await found
            if found:
                return
            await asyncio.sleep(0.005)
