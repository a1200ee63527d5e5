"""One route at work: buffer → condition, codes, map → sink → settle.

Order per key: a key has one delivery under way at most; what fails for longer moves into its lane
together with what comes after it, so that the cursor goes on and other keys flow. A position is
settled when its delivery was accepted, or excluded by the condition, or is durably in a lane.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from datetime import datetime

from canonical.errors import PermanentError
from canonical.event import Event
from canonical.ports import Accepted, Delivery, Failed, NotTried, Recorded, Sink, SinkOutcome, Unknown
from canonical.spec import Log, SinkTraits
from router.aggregating import COLLECTED
from router.alarm import Alarm
from router.breaker import Breaker
from router.concluding import Concluding
from router.crosswalk import Crosswalk
from router.dispatch import Feed
from router.failpoint import failpoint
from router.handover import Handover
from router.journal import Journal
from router.lanekeeper import LaneKeeper
from router.making import Made, Maker
from router.ratelimit import Share
from router.recoverability import Failure
from router.routes import Route
from router.settling import Settling
from router.status import Observer, RouteStatus
from router.turns import Turns
from router.window import Part, Window
from router.work import Work

__all__ = ["Engine"]

WINDOW_EVENTS = 2000
"""Events of a route taken and not settled; after a crash at most so many are delivered again."""
_IDLE_S = 5.0
_WORTHWHILE = 200  # events that are worth a call of their own beside one that is under way
_AT_ONCE = 500  # events that are looked at before the loop's other tasks have their turn
_ACCEPTED = Accepted()


class Engine:
    """Runs one route until ``stop``."""

    def __init__(
        self,
        route: Route,
        *,
        sink: Sink,
        traits: SinkTraits,
        feed: Feed,
        journal: Journal,
        crosswalk: Callable[[], Crosswalk],
        keeper: LaneKeeper,
        observer: Observer,
        clock: Callable[[], datetime],
        log: Log,
        share: Share | None = None,
    ) -> None:
        """``share``: the route's part in the limit of its sink, when that has one."""
        self.route, self.feed, self.keeper = route, feed, keeper
        self._traits = traits
        self._handover = Handover(
            route.name, sink, traits, log, doubtful_until=journal.head, doubtful=WINDOW_EVENTS
        )
        self._crosswalk = crosswalk
        self._most_calls = _calls(route, traits)
        full = traits.max_batch * self._most_calls if traits.ordered else traits.concurrency
        self.breaker = Breaker(full, share=share)
        self._turns = Turns()
        self._window = Window()
        self._maker = Maker(route)
        self._sends: set[asyncio.Task[None]] = set()
        self._on_their_way = 0
        self._settling = Settling(route.name, journal, observer, clock)
        self._concluding = Concluding(
            route,
            breaker=self.breaker,
            keeper=keeper,
            turns=self._turns,
            observer=observer,
            clock=clock,
            log=log,
        )
        self._wake = asyncio.Event()
        self._draining = False
        self._alarm = Alarm(self._wake.set)
        feed.wake = self._offered
        if share is not None:
            share.wake = self._wake.set
        keeper.attach(self)

    # ── life ─────────────────────────────────────────────────────────────────────────────────────

    async def run(self) -> None:
        """Delivers until ``stop``; returns with everything settled that could be."""
        self._settling.cursor = self.feed.passed
        await self.keeper.restore(self._settling.cursor)
        while not (self._draining and not self._sends):
            self._wake.clear()
            more = self._take() if not self._draining else False
            if self.keeper.failure is not None:
                raise self.keeper.failure
            self.keeper.start_due()
            more = self._start() or more
            self._settle()
            if more:
                await asyncio.sleep(0)
                continue
            self._alarm.ring_within(self._idle_s())
            await self._wake.wait()
        self._alarm.cancel()
        await self.keeper.flush()
        self._settle()

    def stop(self) -> None:
        """Takes nothing more; ``run`` ends when what is on its way has come back."""
        self._draining = True
        self._wake.set()

    def wake(self) -> None:
        """Looks again for something to do."""
        self._wake.set()

    def _idle_s(self) -> float:
        probe_s = self.breaker.probe_in_s or None  # once it is due, there is nothing to wait for
        due = [due for due in (probe_s, self.keeper.due_in_s()) if due is not None]
        return max(min([_IDLE_S, *due]), 0.001)

    def waiting_events(self) -> Iterator[Event]:
        """What it has taken or buffered and not settled, oldest first."""
        yield from self._window.events()
        for item in self.feed.waiting:
            yield item.event

    @property
    def status(self) -> RouteStatus:
        """A snapshot."""
        since = self.breaker.paused_since
        open_one = self._window.oldest
        oldest = open_one[1] if open_one else None
        if oldest is None and self.feed.waiting:
            oldest = self.feed.waiting[0].event
        return RouteStatus(
            name=self.route.name,
            state="paused" if self.breaker.state != "flowing" else "flowing",
            reason=self.breaker.reason,
            paused_for_s=None if since is None else time.monotonic() - since,
            probe_in_s=self.breaker.probe_in_s,
            cursor=self._settling.cursor,
            waiting=self._window.open + len(self.feed.waiting),
            in_flight=self._on_their_way,
            lagging=self.feed.lagging,
            oldest_at=oldest.recordedtime if oldest else None,
        )

    def _offered(self) -> None:
        """Something is there to be taken; while an ordered sink is at work that can wait."""
        if not self._traits.ordered or not self._sends or self._goes_ahead():
            self._wake.set()

    def _goes_ahead(self) -> bool:
        """Whether an ordered sink gets one more call: where that is allowed, and enough waits to be worth it.
        What is less waits for the call under way, and gathers."""
        return len(self._sends) < self._most_calls and len(self.feed.waiting) >= _WORTHWHILE

    # ── taking ───────────────────────────────────────────────────────────────────────────────────

    def _take(self) -> bool:
        """For a sink that is sent one delivery per key at a time; others get theirs by the run."""
        taken = self.feed.take(0 if self._traits.ordered else WINDOW_EVENTS - self._window.open)
        if not taken:
            return False
        part = self._window.take(taken)
        free = taken if self.keeper.clear else self._free(taken, part)
        self._turns.add(self._work(item, part) for item in free)
        return True

    def _work(self, item: Recorded, part: Part) -> Work:
        return Work(item.position, item.event, self.route.key(item.event), part=part)

    def _free(self, taken: Iterable[Recorded], part: Part) -> list[Recorded]:
        """Those that need not wait; what is held is settled, and what is blocked goes into its lane."""
        free = []
        for item in taken:
            if self.keeper.holds(item.position):
                part.settle_one(item.position)
            elif self.keeper.blocks(self.route.key(item.event)):
                self.keeper.behind(self._work(item, part))
            else:
                free.append(item)
        return free

    def again(self, work: Work) -> None:
        """Puts work of a lane at the front."""
        self._turns.put_first([work])
        self._wake.set()

    # ── sending ──────────────────────────────────────────────────────────────────────────────────

    def _start(self) -> bool:
        """Starts what may be sent now; returns whether it stopped only to let others run."""
        budget = _AT_ONCE
        while budget > 0 and self._has_something():
            if self._traits.ordered and self._sends and not self._goes_ahead():
                return False
            before = self._on_their_way
            size = min(self.breaker.room(before), self._traits.max_batch, budget)
            if size <= 0:
                return False
            looked = self._send_ready(size, budget) if self._turns else self._send_run(size)
            self.breaker.sent(self._on_their_way - before)
            if not looked:
                return False
            budget -= looked
        return budget <= 0 and self._has_something()

    def _has_something(self) -> bool:
        """Whether something waits to be sent; an ordered sink takes it from the buffer."""
        return bool(self._turns or (self._traits.ordered and not self._draining and self.feed.waiting))

    def _launch(self, sending: Coroutine[None, None, None], deliveries: int) -> None:
        self._on_their_way += deliveries
        task = asyncio.get_running_loop().create_task(sending)
        self._sends.add(task)
        task.add_done_callback(self._sent)

    def _send_ready(self, size: int, budget: int) -> int:
        batch, looked = self._batch(size, budget)
        if batch:
            self._launch(self._send(batch), len(batch))
        return looked

    def _send_run(self, size: int) -> int:
        """Events in a row as one call, for a sink that keeps their order; returns how many were taken.

        Nothing is kept per event unless something is wrong with one. It is only asked when nothing that was
        taken earlier is left to be sent and, where keys have an order, nothing is on its way: no key is
        overtaken.
        """
        taken = self.feed.take(min(size, WINDOW_EVENTS - self._window.open))
        if not taken:
            return 0
        part = self._window.take(taken)
        free = taken if self.keeper.clear else self._free(taken, part)
        if self._handover.doubts(taken[0].position):  # one by one, so that each is asked for
            self._turns.add(self._work(item, part) for item in free)
            return len(taken)
        made = self._maker.make(free, self._crosswalk())
        whole = made.error is None and len(free) == len(taken)
        if not whole:
            self._part_ways(part, free, made)
        if made.deliveries:
            self._launch(self._send_made(made, part, whole=whole), len(made.deliveries))
        elif whole:
            part.settle()
        return len(taken)

    def _part_ways(self, part: Part, free: Sequence[Recorded], made: Made) -> None:
        """Of a run that is no whole any more: what is excluded, what failed, and what comes after it."""
        if made.error is None:
            self._pass_over(part, (item.position for item in free), made)
            return
        self._pass_over(part, (item.position for item in free[: made.looked - 1]), made)
        self._turns.add(self._work(item, part) for item in free[made.looked :])
        self._concluding.failed(self._work(free[made.looked - 1], part), Failure(made.error))

    @staticmethod
    def _pass_over(part: Part, looked: Iterable[int], made: Made) -> None:
        wanted = {item.position for item in made.recorded}
        for position in looked:
            if position not in wanted:
                part.settle_one(position)

    def _batch(self, size: int, budget: int) -> tuple[list[tuple[Work, Delivery]], int]:
        batch: list[tuple[Work, Delivery]] = []
        looked = 0
        crosswalk = self._crosswalk()
        while self._turns and len(batch) < size and looked < budget:
            work = self._turns.next()
            looked += 1
            if not work.from_lane and self.keeper.blocks(work.key):
                self.keeper.behind(work)
                continue
            if not self._traits.ordered and self._turns.waits(work):
                continue
            try:
                failpoint("engine.before_map")
                delivery = self.route.deliver(work.event, crosswalk, work.attempts + 1)
            except PermanentError as error:
                self._concluding.failed(work, Failure(error))
                continue
            if delivery is None:
                self._finished(work)
                continue
            self._turns.begin(work)
            batch.append((work, delivery))
        return batch, looked

    async def _send(self, batch: Sequence[tuple[Work, Delivery]]) -> None:
        failpoint("engine.before_send")
        outcomes = await self._handover.deliver(batch)
        failpoint("engine.after_send")
        self._on_their_way -= len(batch)
        self._conclude_all(zip((work for work, _ in batch), outcomes, strict=True))

    async def _send_made(self, made: Made, part: Part, *, whole: bool) -> None:
        failpoint("engine.before_send")
        outcomes = await self._handover.send(made.deliveries)
        failpoint("engine.after_send")
        self._on_their_way -= len(outcomes)
        if whole and outcomes.count(_ACCEPTED) == len(outcomes):
            self._concluding.alive(len(outcomes))
            self._settling.delivered(made.recorded)
            part.settle()
            return
        if whole:
            self._pass_over(part, [position for position, _ in part], made)
        works = [self._work(item, part) for item in made.recorded]
        self._conclude_all(zip(works, outcomes, strict=True))

    def _conclude_all(self, concluded: Iterable[tuple[Work, SinkOutcome]]) -> None:
        for work, outcome in concluded:
            self._concluded(work, outcome)
        self._turns.give_back()

    def _sent(self, task: asyncio.Task[None]) -> None:
        """Wakes ``run`` only once the task counts no more: an ordered sink takes one call at a time."""
        self._sends.discard(task)
        self._wake.set()

    def _concluded(self, work: Work, outcome: SinkOutcome) -> None:
        match outcome:
            case Accepted(receipt):
                if outcome is not COLLECTED:  # which says nothing of the sink
                    self._concluding.alive(1)
                self._settling.arrived(work, receipt)
                self._finished(work)
            case NotTried():
                self._turns.back(work)
            case Failed(error):
                self._concluding.failed(work, Failure(error))
            case Unknown(error):
                self._concluding.failed(work, Failure(error, ambiguous=True))

    # ── concluding ───────────────────────────────────────────────────────────────────────────────

    def _finished(self, work: Work) -> None:
        """Delivered, or not wanted: its key is free for the next."""
        self._turns.release(work.key)
        if work.from_lane:
            self.keeper.done(work)
        else:
            self.settled(work)

    @property
    def idle(self) -> bool:
        """Whether nothing but lanes has something to send, and nothing is on its way."""
        return not self._has_something() and not self._on_their_way

    def settled(self, work: Work) -> None:
        """The cursor may pass it."""
        if work.part is not None:
            work.part.settle_one(work.position)

    def _settle(self) -> None:
        oldest = self._window.oldest
        self._settling.settle(oldest[0] - 1 if oldest else self.feed.passed)


def _calls(route: Route, traits: SinkTraits) -> int:
    """How many calls an ordered sink may have at once: only one where a key's order must be kept, since the
    first could fail in part."""
    return 1 if any(map(route.keeps_order, route.types)) else traits.ahead
