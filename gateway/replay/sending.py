"""A real replay: a stretch of the journal delivered through a route again, beside its own work.

Cursors, lanes and figures are left alone. What waits in a lane, was discarded, or is not settled yet is the
route's own business and passed over. Order holds per key within the replay; behind one that failed, what
comes after it with its key is held back.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Final

from msgspec import Struct, msgpack, structs

from canonical.errors import CrossplantError, PermanentError
from canonical.event import Event
from canonical.ports import (
    Accepted,
    Delivery,
    Failed,
    NotTried,
    Outcome,
    Recorded,
    Sink,
    SinkOutcome,
    Transaction,
    Unknown,
)
from canonical.spec import Log, SinkTraits
from deadletter.service import NotPossible
from router.crosswalk import Crosswalk
from router.enrichment import NotKnown
from router.handover import Handover
from router.journal import IngestBatch, StorageError
from router.journal.sqlite import SQLiteJournal
from router.notices import HUB, is_notice, notice, notice_message
from router.ratelimit import Share
from router.recoverability import Failure, PauseRoute, Policy, Retry, State, decide
from router.routes import Route
from router.splitting import Parts, part_key
from router.work import Work

__all__ = ["KINDS", "Gone", "Outlet", "Sending", "TooManyFailures"]

KINDS: Final = ("delivered", "left_out", "passed_over", "failed", "held_back")
_PAGE: Final = 500
_AT_ONCE: Final = 100
_ROOM_S: Final = 1.0
_MOST_FAILURES: Final = 1000


class Gone(NotPossible):
    """The route does not run, or delivers nothing."""


class TooManyFailures(Exception):
    """So many failed that somebody should look first."""


class Outlet(Struct, frozen=True):
    """Where a route delivers. ``share``: a part of its own in the limit of the sink."""

    route: Route
    sink: Sink
    traits: SinkTraits
    share: Share | None = None


class Sending:
    """One of them. ``reached`` is how far it is, ``counts`` what came of it."""

    def __init__(
        self,
        number: int,
        journal: SQLiteJournal,
        outlet: Callable[[], Outlet],
        crosswalk: Callable[[], Crosswalk],
        *,
        by: str,
        rate: float,
        as_new: bool,
        reached: int,
        last: int,
        counts: dict[str, int],
        sees: Callable[[Event], bool],
        save: Callable[[Transaction], None],
        clock: Callable[[], datetime],
        log: Log,
    ) -> None:
        """``outlet`` raises Gone. ``save`` writes the progress down within a transaction."""
        self._number, self._journal, self._outlet, self._crosswalk = number, journal, outlet, crosswalk
        self._by, self._rate, self._as_new, self._sees, self._save = by, rate, as_new, sees, save
        self._clock, self._log = clock, log
        self.reached, self._last = reached, last
        self.counts: Counter[str] = Counter(dict.fromkeys(KINDS, 0) | counts)
        self._fresh: Counter[str] = Counter()
        self._failed_keys: set[str] = set()
        self._turn = asyncio.Event()

    async def run(self) -> None:
        """To the end. Raises Gone, TooManyFailures, StorageError."""
        rows = await self._journal.read(
            lambda t: t.execute("SELECT key FROM replay_failures WHERE replay = ?", (self._number,))
        )
        self._failed_keys = {key for (key,) in rows}
        while self.reached < self._last:
            await self._some(self._outlet().route)

    async def _some(self, route: Route) -> None:
        page, reached = await self._journal.events(self.reached, limit=_PAGE, wanted=route.wants)
        end = min(reached, self._last) if page or reached > self.reached else self._last
        items = [
            one for one in page if one.position <= end and route.takes(one.event) and self._sees(one.event)
        ]
        held = await self._journal.read(lambda t: _held(t, route.name, self.reached, end))
        size = max(1, min(_AT_ONCE, int(self._rate)))
        for start in range(0, len(items), size):
            part = items[start : start + size]
            if self._journal.full:  # what is said about it needs room, too
                await self._journal.append(IngestBatch(adapter="hub", messages=()))
            began_s = time.monotonic()
            tried = await self._part(part, held)
            await asyncio.sleep(max(tried / self._rate - (time.monotonic() - began_s), 0.0))
        await self._keep(route, [], [], end)

    async def _part(self, items: Sequence[Recorded], held: set[int]) -> int:
        """Delivers some by the route as it runs now; returns how many it sent. Raises Gone."""
        outlet = self._outlet()
        try:
            return await self._deliver(outlet, items, held)
        finally:
            self._fresh.clear()
            if outlet.share is not None:
                outlet.share.leave()

    async def _deliver(self, outlet: Outlet, items: Sequence[Recorded], held: set[int]) -> int:
        """In order per key."""
        done: list[tuple[int, str, Event]] = []
        failures: list[tuple[int, str, str, str]] = []
        made = [self._made(outlet, item, held, failures) for item in items]
        waiting = [one for one in made if one is not None]
        tried = len(waiting)
        while waiting:
            wave = _wave(waiting, ordered=outlet.traits.ordered)
            for (work, _), outcome in zip(wave, await self._send(outlet, wave), strict=True):
                if isinstance(outcome, Accepted):
                    done.append((work.position, outcome.receipt, work.event))
                    self._fresh["delivered"] += 1
                else:
                    assert isinstance(outcome, Failed)
                    self._fail(work, outcome.error, failures)
            sent = {work.position for work, _ in wave}
            rest = [one for one in waiting if one[0].position not in sent]
            waiting = [one for one in rest if not self._behind(one[0], failures)]
        await self._keep(outlet.route, done, failures, items[-1].position)
        return tried

    def _made(
        self, outlet: Outlet, item: Recorded, held: set[int], failures: list[tuple[int, str, str, str]]
    ) -> tuple[Work, Delivery] | None:
        work = Work(item.position, item.event, outlet.route.key(item.event))
        if item.position in held:
            self._fresh["passed_over"] += 1
            return None
        if self._behind(work, failures):
            return None
        try:
            delivery = outlet.route.deliver(item.event, self._crosswalk())
        except PermanentError as error:
            self._fail(work, error, failures)
            return None
        if delivery is None:
            self._fresh["left_out"] += 1
            return None
        if self._as_new:
            delivery = _rekeyed(delivery, self._new_key(outlet.route, item.event))
        return work, delivery

    def _new_key(self, route: Route, event: Event) -> str:
        """Another one than the route's own, the same over the attempts of this replay."""
        text = f"{self._number}\0{event.source}\0{event.id}"
        return f"{route.name}:replay-{self._number}:{blake2b(text.encode(), digest_size=13).hexdigest()}"

    def _behind(self, work: Work, failures: list[tuple[int, str, str, str]]) -> bool:
        if work.key not in self._failed_keys:
            return False
        self._fresh["held_back"] += 1
        failures.append((work.position, work.key, "held_back", "an earlier one with its key failed"))
        return True

    def _fail(self, work: Work, error: CrossplantError, failures: list[tuple[int, str, str, str]]) -> None:
        self._fresh["failed"] += 1
        self._failed_keys.add(work.key)
        failures.append((work.position, work.key, error.code, error.message))

    # ── sending ──────────────────────────────────────────────────────────────────────────────────

    async def _send(self, outlet: Outlet, wave: Sequence[tuple[Work, Delivery]]) -> list[SinkOutcome]:
        """Accepted or Failed for each; what may come right is tried until it does or is given up."""
        size, traits = max(outlet.traits.max_batch, 1), outlet.traits
        batches = [wave[start : start + size] for start in range(0, len(wave), size)]
        handover = Handover(outlet.route.name, outlet.sink, traits, self._log)
        free = asyncio.Semaphore(1 if traits.ordered else max(traits.concurrency // size, 1))

        async def one(batch: Sequence[tuple[Work, Delivery]]) -> list[SinkOutcome]:
            async with free:
                return await self._until_known(outlet, handover, batch)

        results = await asyncio.gather(*(one(batch) for batch in batches))
        return [outcome for result in results for outcome in result]

    async def _until_known(
        self, outlet: Outlet, handover: Handover, batch: Sequence[tuple[Work, Delivery]]
    ) -> list[SinkOutcome]:
        known: dict[int, SinkOutcome] = {}
        waiting, patience = list(batch), _Patience(outlet.route.policy, self._clock)
        while waiting:
            await self._granted(outlet.share, len(waiting))
            outcomes = await handover.deliver(waiting)
            again = []
            for (work, delivery), outcome in zip(waiting, outcomes, strict=True):
                if isinstance(outcome, Accepted):
                    known[work.position] = outcome
                elif isinstance(outcome, NotTried) or patience.allows(work, outcome):
                    again.append((work, structs.replace(delivery, attempt=work.attempts + 1)))
                else:
                    known[work.position] = Failed(outcome.error)
            waiting = again
            if waiting:
                await asyncio.sleep(patience.wait_s())
        return [known[work.position] for work, _ in batch]

    async def _granted(self, share: Share | None, wanted: int) -> None:
        """Waits for the sink's limit, a share of which the replay has like a route."""
        while share is not None and wanted > 0:
            share.wake = self._turn.set
            self._turn.clear()
            room = min(share.room(), wanted)
            if room:
                share.took(room)
                wanted -= room
            else:
                await self._turn.wait()

    # ── keeping ──────────────────────────────────────────────────────────────────────────────────

    async def _keep(
        self,
        route: Route,
        done: Sequence[tuple[int, str, Event]],
        failures: Sequence[tuple[int, str, str, str]],
        reached: int,
    ) -> None:
        """In one transaction: notices, deliveries, failures, progress."""
        self.reached = reached
        self.counts.update(self._fresh)
        self._fresh.clear()
        now, number = self._clock().timestamp(), self._number

        def within(transaction: Transaction, outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
            if done:
                positions = [position for position, _, _ in done]
                detail = msgpack.encode(([(at, receipt) for at, receipt, _ in done], {}, None, None))
                transaction.execute(
                    "INSERT INTO deliveries (route, first, last, at, detail) VALUES (?, ?, ?, ?, ?)",
                    (route.name, min(positions), max(positions), now, detail),
                )
            for row in failures:
                transaction.execute(
                    "INSERT OR REPLACE INTO replay_failures VALUES (?, ?, ?, ?, ?)", (number, *row)
                )
            self._save(transaction)
            return outcomes

        messages = [
            notice_message(self._notice(route, event)) for _, _, event in done if not is_notice(event)
        ]
        batch = IngestBatch(adapter="hub", messages=messages, within=within)
        await asyncio.shield(asyncio.create_task(self._append(batch)))  # what was sent is not forgotten
        if self.counts["failed"] >= _MOST_FAILURES:
            raise TooManyFailures(f"{self.counts['failed']} deliveries failed: look at them first")

    async def _append(self, batch: IngestBatch) -> None:
        while True:
            try:
                await self._journal.append(batch, urgent=True)
                return
            except StorageError as error:
                self._log.error("replay_held_up", replay=self._number, error=error.message)
                await asyncio.sleep(_ROOM_S)

    def _notice(self, route: Route, event: Event) -> Event:
        data = {
            "message": event.id,
            "by": self._by,
            "reason": f"replay {self._number}",
            "outcome": "delivered",
        }
        source = f"{HUB}/routes/{route.name}"
        identifier = f"replayed-{self._number}-{event.source}#{event.id}"
        return notice("integration.message.replayed", source, identifier, event, data)


def _rekeyed(delivery: Delivery, key: str) -> Delivery:
    """The same under another key; the parts of a split one under theirs."""
    if isinstance(delivery, Parts):
        parts = [
            structs.replace(part, idempotency_key=part_key(key, number))
            for number, part in enumerate(delivery.parts, start=1)
        ]
        return structs.replace(delivery, idempotency_key=key, parts=tuple(parts))
    return structs.replace(delivery, idempotency_key=key)


class _Patience:
    """How long a batch is tried: by the route's own policy; an outage is waited for."""

    def __init__(self, policy: Policy, clock: Callable[[], datetime]) -> None:
        self._policy, self._clock = policy, clock
        self._pauses = 0
        self._failing_since_s: float | None = None
        self._wait_s = 0.0

    def allows(self, work: Work, outcome: Failed | Unknown) -> bool:
        """Whether it is tried again; after ``wait_s``. History that the read models do not know is not waited
        for."""
        if isinstance(outcome.error, NotKnown):
            return False
        now_s = time.monotonic()
        if self._failing_since_s is None:
            self._failing_since_s = now_s
        work.attempts += 1
        state = State(
            attempts=work.attempts,
            failing_s=now_s - self._failing_since_s,
            suspects=0,
            pauses=self._pauses,
            spread=random.random(),  # noqa: S311 - jitter
            now=self._clock(),
        )
        ambiguous = isinstance(outcome, Unknown)
        match decide(self._policy, Failure(outcome.error, ambiguous=ambiguous), state):
            case Retry(after_s, lookup):
                work.lookup = work.lookup or lookup
            case PauseRoute(after_s):
                work.lookup = work.lookup or ambiguous
                self._pauses, self._failing_since_s = self._pauses + 1, None
            case _:
                return False
        self._wait_s = max(self._wait_s, after_s)
        return True

    def wait_s(self) -> float:
        """Until the next round."""
        wait_s, self._wait_s = self._wait_s, 0.0
        return wait_s


def _wave(waiting: Sequence[tuple[Work, Delivery]], *, ordered: bool) -> Sequence[tuple[Work, Delivery]]:
    """What may be under way together: one per key, or all where the sink keeps the order itself."""
    if ordered:
        return waiting
    first: dict[str, tuple[Work, Delivery]] = {}
    for work, delivery in waiting:
        first.setdefault(work.key, (work, delivery))
    return list(first.values())


def _held(transaction: Transaction, route: str, after: int, last: int) -> set[int]:
    """Positions in the route's lanes, and those that somebody discarded."""
    rows = transaction.execute(
        "SELECT position FROM lanes WHERE route = ?1 AND position > ?2 AND position <= ?3 UNION "
        "SELECT position FROM dead_letters WHERE kind = 'delivery' AND route = ?1 AND position > ?2 "
        "AND position <= ?3 AND status = 'discarded'",
        (route, after, last),
    )
    return {position for (position,) in rows}
