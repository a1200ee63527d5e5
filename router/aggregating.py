"""The sink of a route that aggregates: keeps what comes until a group is complete, then delivers the group.

What is kept commits together with the completed group's event, which comes back to the route through the
journal and is delivered like any other: retried, parked, under one idempotency key. An event that comes
again after a crash is found by its key and not kept twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, cast

from canonical.errors import PermanentError, TransientError
from canonical.event import Event
from canonical.ports import (
    Accepted,
    Delivery,
    Failed,
    Lookup,
    NotTried,
    Sink,
    SinkOutcome,
    Store,
    Unknown,
)
from canonical.spec import Log, SinkTraits
from router.aggregates import Kept
from router.grouping import Aggregation, Group, Member, Why, completed
from router.journal import Journal
from router.ratelimit import Share, Turn

__all__ = ["COLLECTED", "TRAITS", "AggregateSink", "Collected"]

TRAITS = SinkTraits(ordered=True, max_batch=500, lookup=True)
"""How the engine feeds it, whatever the sink behind it is like."""
COLLECTED = Accepted("collected")
_PATIENCE_S = 60.0
_STORAGE_RETRY_S = 1.0
_SILENT = Unknown(TransientError("the sink did not say what became of it", code="no_outcome"))


class Collected(Delivery, frozen=True, kw_only=True):
    """An event on its way into its group."""

    group: str
    data: Any = None


class AggregateSink:
    """A sink over another for one route; ``start`` it when its engine runs."""

    def __init__(
        self,
        sink: Sink,
        route: str,
        traits: SinkTraits,
        aggregation: Aggregation,
        journal: Journal,
        store: Store,
        clock: Callable[[], datetime],
        log: Log,
        share: Share | None = None,
    ) -> None:
        """``traits`` are those of ``sink``, ``share`` the route's part in its limit."""
        self._sink, self._route, self._traits, self._aggregation = sink, route, traits, aggregation
        self._kept, self._clock, self._log = Kept(route, journal, store), clock, log
        self._room = Turn(share, _PATIENCE_S)
        self._groups: dict[str, Group] = {}
        self._turn = asyncio.Lock()
        self._work: asyncio.Task[None] | None = None
        self._loaded = asyncio.Event()
        self._sooner = asyncio.Event()

    async def open(self) -> None:
        """Nothing: who built the sink opens it."""

    async def close(self) -> None:
        """Nothing: who built the sink closes it."""

    def start(self) -> None:
        """Takes up what earlier runs kept, and watches the time until ``stop``."""
        self._work = asyncio.create_task(self._run(), name=f"aggregate {self._route}")

    def stop(self) -> None:
        """Ends the watch; what is kept stays kept."""
        if self._work is not None:
            self._work.cancel()

    async def _run(self) -> None:
        while not self._loaded.is_set():
            try:
                await self._load()
            except Exception as error:  # noqa: BLE001 - nothing is collected before it has worked
                self._log.error("aggregate_not_read", route=self._route, error=repr(error))
                await asyncio.sleep(_STORAGE_RETRY_S)
        if self._aggregation.within_s is not None:
            await self._watch()

    async def _load(self) -> None:
        for member in await self._kept.load():
            group = self._groups.setdefault(member.group, Group(name=member.group, members=[]))
            group.members.append(member)
        self._loaded.set()

    # ── what the engine asks ─────────────────────────────────────────────────────────────────────

    async def send(self, deliveries: Sequence[Delivery]) -> Sequence[SinkOutcome]:
        """Keeps members, and hands completed groups on, one by one; behind one that failed none is tried."""
        members = [each for each in deliveries if isinstance(each, Collected)]
        # To its end, whoever gives up waiting: what is in memory must be what is on disk.
        refused = await asyncio.shield(asyncio.ensure_future(self._collect(members))) if members else {}
        outcomes: list[SinkOutcome] = []
        stopped = False
        for each in deliveries:
            if isinstance(each, Collected):
                error = refused.get(each.idempotency_key)
                outcomes.append(COLLECTED if error is None else Failed(error))
            elif stopped or not await self._room.take():
                outcomes.append(NotTried())
            else:
                outcome = next(iter(await self._sink.send([each])), _SILENT)
                stopped = not isinstance(outcome, Accepted)
                outcomes.append(outcome)
        return outcomes

    async def lookup(self, delivery: Delivery) -> Accepted | Failed | None:
        """Whether a member is kept already, or the sink has a completed group."""
        if isinstance(delivery, Collected):
            return COLLECTED if await self._kept.has(delivery.idempotency_key) else None
        return await cast(Lookup, self._sink).lookup(delivery) if self._traits.lookup else None

    # ── groups ───────────────────────────────────────────────────────────────────────────────────

    async def _collect(self, deliveries: Sequence[Collected]) -> dict[str, PermanentError]:
        """Durable when it returns; by their keys, those of which a condition cannot be evaluated are left
        out. Raises StorageError, and nothing is kept then."""
        refused: dict[str, PermanentError] = {}
        await self._loaded.wait()
        async with self._turn:
            now = self._clock()
            touched: dict[str, Group | None] = {}
            made: list[Event] = []
            rows: list[Member] = []
            for each in deliveries:
                before = touched[each.group] if each.group in touched else self._groups.get(each.group)
                known = before.members if before is not None else []
                if any(member.key == each.idempotency_key for member in known):
                    continue
                member = _member(each, now)
                group = Group(name=each.group, members=[*known, member])
                try:
                    why = self._aggregation.complete(group, each.event)
                except PermanentError as error:
                    refused[member.key] = error
                    continue
                rows.append(member)
                touched[each.group] = None if why else group
                if why:
                    made.append(completed(self._route, group, why, now))
            if rows:
                await self._write(rows, made, touched)
        self._sooner.set()
        return refused

    def _replace(self, touched: dict[str, Group | None]) -> None:
        for name, group in touched.items():
            if group is None:
                self._groups.pop(name, None)
            else:
                self._groups[name] = group

    async def _write(
        self, rows: Sequence[Member], made: Sequence[Event], touched: dict[str, Group | None]
    ) -> None:
        """Members and completed groups in one commit, then in memory. Of a group that ended and began anew in
        it, the members of its new beginning stay."""
        kept = {member.key for group in touched.values() if group is not None for member in group.members}
        done = [member.key for member in rows if member.key not in kept]
        done += [
            member.key
            for name in touched
            if (before := self._groups.get(name)) is not None
            for member in before.members
            if member.key not in kept
        ]
        await self._kept.write(rows, made, done)
        self._replace(touched)

    # ── time ─────────────────────────────────────────────────────────────────────────────────────

    async def _watch(self) -> None:
        while True:
            self._sooner.clear()
            due = [
                at for group in self._groups.values() if (at := self._aggregation.due_at(group)) is not None
            ]
            wait_s = max(min(due) - self._clock().timestamp(), 0.0) if due else None
            try:
                async with asyncio.timeout(wait_s):
                    await self._sooner.wait()
                    continue
            except TimeoutError:
                pass
            try:
                await self._end_due()
            except Exception as error:  # noqa: BLE001 - whatever it is, the groups' time comes again
                self._log.error("aggregate_not_written", route=self._route, error=repr(error))
                await asyncio.sleep(_STORAGE_RETRY_S)

    async def _end_due(self) -> None:
        async with self._turn:
            now = self._clock()
            why: Why = "time"
            due = [
                group
                for group in self._groups.values()
                if (at := self._aggregation.due_at(group)) is not None and at <= now.timestamp()
            ]
            if due:
                touched: dict[str, Group | None] = {group.name: None for group in due}
                made = [completed(self._route, group, why, now) for group in due]
                await self._write([], made, touched)


def _member(each: Collected, now: datetime) -> Member:
    return Member(
        key=each.idempotency_key,
        group=each.group,
        data=each.data,
        at=now.timestamp(),
        plant=each.event.plantid,
    )
