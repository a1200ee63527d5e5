"""One route at work: buffer → condition, codes, map → sink → settle.

Order per key: a key has one delivery under way at most; what fails for longer moves into its lane
together with what comes after it, so that the cursor goes on and other keys flow. A position is
settled when its delivery was accepted, or excluded by the condition, or is durably in a lane.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from datetime import datetime

from canonical.errors import CrossplantError, PermanentError, Stage, TransientError
from canonical.event import Event
from canonical.ports import Accepted, Delivery, Failed, NotTried, Recorded, Sink, SinkOutcome, Unknown
from canonical.spec import Log, SinkTraits
from router.aggregating import COLLECTED
from router.breaker import Breaker
from router.crosswalk import Crosswalk
from router.dispatch import Feed
from router.failpoint import failpoint
from router.handover import Handover
from router.journal import Journal, Settlement
from router.lanekeeper import LaneKeeper
from router.making import Made, Maker
from router.ratelimit import Share
from router.recoverability import (
    DeadLetterIt,
    Decision,
    Discard,
    Failure,
    Park,
    PauseRoute,
    Retry,
    State,
    blames_sink,
    decide,
)
from router.routes import Route
from router.spans import spans
from router.status import Observer, RouteStatus
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
        self._traits, self._journal = traits, journal
        self._handover = Handover(
            route.name, sink, traits, log, doubtful_until=journal.head, doubtful=WINDOW_EVENTS
        )
        self._crosswalk, self._observer, self._clock, self._log = crosswalk, observer, clock, log
        self._most_calls = _calls(route, traits)
        full = traits.max_batch * self._most_calls if traits.ordered else traits.concurrency
        self.breaker = Breaker(full, share=share)
        self._ready: deque[Work] = deque()
        self._deferred: dict[str, deque[Work]] = {}
        self._busy: set[str] = set()
        self._returned: list[Work] = []
        self._window = Window()
        self._maker = Maker(route)
        self._sends: set[asyncio.Task[None]] = set()
        self._on_their_way = 0
        self._delivered: list[Recorded] = []
        self._receipts: dict[int, str] = {}
        self._attempts: dict[int, int] = {}
        self._cursor = 0
        self._wake = asyncio.Event()
        self._draining = False
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_due = 0.0
        feed.wake = self._offered
        if share is not None:
            share.wake = self._wake.set
        keeper.attach(self)

    # ── life ─────────────────────────────────────────────────────────────────────────────────────

    async def run(self) -> None:
        """Delivers until ``stop``; returns with everything settled that could be."""
        self._cursor = self.feed.passed
        await self.keeper.restore(self._cursor)
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
            self._set_alarm(self._idle_s())
            await self._wake.wait()
        if self._alarm is not None:
            self._alarm.cancel()
        await self.keeper.flush()
        self._settle()

    def _set_alarm(self, within_s: float) -> None:
        """Wakes it in so many seconds at the latest. An alarm that rings earlier does no harm, and most are
        left as they are: setting one costs more than a look around."""
        loop = asyncio.get_running_loop()
        due = loop.time() + within_s
        if self._alarm is not None:
            if self._alarm_due <= due:
                return
            self._alarm.cancel()
        self._alarm, self._alarm_due = loop.call_at(due, self._ring), due

    def _ring(self) -> None:
        self._alarm = None  # not told by its time: uvloop's timers ring up to a millisecond early
        self._wake.set()

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
            cursor=self._cursor,
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
        for item in taken if self.keeper.clear else self._free(taken, part):
            self._ready.append(self._work(item, part))
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
        self._ready.appendleft(work)
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
            looked = self._send_ready(size, budget) if self._ready else self._send_run(size)
            self.breaker.sent(self._on_their_way - before)
            if not looked:
                return False
            budget -= looked
        return budget <= 0 and self._has_something()

    def _has_something(self) -> bool:
        """Whether something waits to be sent; an ordered sink takes it from the buffer."""
        return bool(self._ready or (self._traits.ordered and not self._draining and self.feed.waiting))

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
            self._ready.extend(self._work(item, part) for item in free)
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
        self._ready.extend(self._work(item, part) for item in free[made.looked :])
        self._failed(self._work(free[made.looked - 1], part), Failure(made.error))

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
        while self._ready and len(batch) < size and looked < budget:
            work = self._ready.popleft()
            looked += 1
            if not work.from_lane and self.keeper.blocks(work.key):
                self.keeper.behind(work)
                continue
            if not self._traits.ordered and (
                work.key in self._busy or (work.key in self._deferred and not work.promoted)
            ):
                self._deferred.setdefault(work.key, deque()).append(work)
                continue
            try:
                failpoint("engine.before_map")
                delivery = self.route.deliver(work.event, crosswalk, work.attempts + 1)
            except PermanentError as error:
                self._failed(work, Failure(error))
                continue
            if delivery is None:
                self._finished(work)
                continue
            self._busy.add(work.key)
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
            self._alive(len(outcomes))
            self._delivered += made.recorded
            part.settle()
            return
        if whole:
            self._pass_over(part, [position for position, _ in part], made)
        works = [self._work(item, part) for item in made.recorded]
        self._conclude_all(zip(works, outcomes, strict=True))

    def _conclude_all(self, concluded: Iterable[tuple[Work, SinkOutcome]]) -> None:
        for work, outcome in concluded:
            self._concluded(work, outcome)
        self._ready.extendleft(reversed(self._returned))
        self._returned = []

    def _alive(self, answers: int) -> None:
        if self.breaker.alive(answers):
            self._log.info("route_resumed", route=self.route.name)
            if answers > 1:
                self.breaker.alive(answers - 1)

    def _sent(self, task: asyncio.Task[None]) -> None:
        """Wakes ``run`` only once the task counts no more: an ordered sink takes one call at a time."""
        self._sends.discard(task)
        self._wake.set()

    def _concluded(self, work: Work, outcome: SinkOutcome) -> None:
        match outcome:
            case Accepted(receipt):
                if outcome is not COLLECTED:  # which says nothing of the sink
                    self._alive(1)
                self._delivered.append(Recorded(work.position, work.event))
                if receipt:
                    self._receipts[work.position] = receipt
                if work.attempts:
                    self._attempts[work.position] = work.attempts + 1
                self._finished(work)
            case NotTried():
                self._back(work)
            case Failed(error):
                self._failed(work, Failure(error))
            case Unknown(error):
                self._failed(work, Failure(error, ambiguous=True))

    # ── concluding ───────────────────────────────────────────────────────────────────────────────

    def _finished(self, work: Work) -> None:
        """Delivered, or not wanted: its key is free for the next."""
        self._release_key(work.key)
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

    def _release_key(self, key: str) -> None:
        self._busy.discard(key)
        waiting = self._deferred.get(key)
        if waiting:
            following = waiting.popleft()
            following.promoted = True
            self._ready.appendleft(following)
        if not waiting:
            self._deferred.pop(key, None)

    def _back(self, work: Work) -> None:
        """To the front again, before its successors; those of one call keep their order."""
        self._busy.discard(work.key)
        work.promoted = True
        self._returned.append(work)

    def _decide(self, work: Work, failure: Failure) -> Decision:
        """What to do about it; tells the breaker whether the sink is to blame, or has proved to be alive."""
        error = failure.error
        if work.first_failed_s is None:
            work.first_failed_s = self.breaker.open_s
        decision = decide(
            self.route.policy,
            failure,
            State(
                attempts=work.attempts + 1,
                failing_s=self.breaker.open_s - work.first_failed_s,
                suspects=self.breaker.suspect(work.position) if blames_sink(error) else 0,
                pauses=self.breaker.pauses,
                spread=random.random(),  # noqa: S311 - jitter
                now=self._clock(),
                expires_at=work.event.expirytime,
            ),
        )
        if self._resumes(decision, error, work.position):
            self._log.info("route_resumed", route=self.route.name)
        return decision

    def _resumes(self, decision: Decision, error: CrossplantError, position: int) -> bool:
        """Whether a pause ends: the sink has answered, or too few fail to go on blaming it."""
        if not blames_sink(error):
            return error.stage is Stage.SENDING and self.breaker.alive()
        if isinstance(decision, PauseRoute):
            return False
        return self.breaker.absolve(None if isinstance(decision, Retry) else position)

    def _failed(self, work: Work, failure: Failure) -> None:
        error, decision = failure.error, self._decide(work, failure)
        if isinstance(decision, PauseRoute):
            self._pause(work, failure, decision.after_s)
            return
        self._aside(work, decision, error)
        self._observer.ended(self.route.name, work.event, type(decision).__name__)

    def _pause(self, work: Work, failure: Failure, after_s: float) -> None:
        """An outage keeps the delivery at its place. Where the message may be to blame it makes way, so
        that the probe is made with another one; its attempts are not counted."""
        if self.breaker.pause(after_s, failure.error.message):
            self._log.warning(
                "route_paused",
                route=self.route.name,
                reason=failure.error.message,
                probe_in_s=round(after_s, 1),
            )
        work.lookup = work.lookup or failure.ambiguous
        if isinstance(failure.error, TransientError) and failure.error.outage:
            self._back(work)
        else:
            work.attempts -= 0 if work.alone else 1
            self._aside(work, Retry(after_s), failure.error)

    def _aside(
        self, work: Work, decision: Retry | Park | DeadLetterIt | Discard, error: CrossplantError
    ) -> None:
        """Into its lane, with what waits for its key; or away."""
        work.attempts += 1
        work.error = error
        self._busy.discard(work.key)
        behind = self._deferred.pop(work.key, deque())
        match decision:
            case Retry(after_s, lookup):
                work.lookup = work.lookup or lookup
                self.keeper.retry(work, after_s)
            case Park():
                self.keeper.park(work)
            case DeadLetterIt(why):
                self.keeper.bury(work, why)
            case Discard(why):
                self.keeper.discard(work, why)
        if behind and not self.keeper.blocks(work.key):  # discarded: nothing holds the others back
            self._ready.extendleft(reversed(behind))
        else:
            for follower in behind:
                self.keeper.behind(follower)

    def _settle(self) -> None:
        """Hands the cursor and the deliveries to the journal, which writes them with its next commit."""
        oldest = self._window.oldest
        cursor = oldest[0] - 1 if oldest else self.feed.passed
        if cursor <= self._cursor and not self._delivered:
            return
        failpoint("engine.before_settle")
        self._cursor = max(cursor, self._cursor)
        now, measured = self._clock(), None
        delivered, self._delivered = self._delivered, []
        if delivered:
            events = [item.event for item in delivered]
            measured = self._observer.delivered(self.route.name, events, now)
        self._journal.settle(
            Settlement(
                route=self.route.name,
                position=self._cursor,
                delivered=spans([item.position for item in delivered], self._receipts),
                attempts=self._attempts,
                measured=measured,
                at=now.timestamp(),
            )
        )
        self._receipts, self._attempts = {}, {}


def _calls(route: Route, traits: SinkTraits) -> int:
    """How many calls an ordered sink may have at once: only one where a key's order must be kept, since the
    first could fail in part."""
    return 1 if any(map(route.keeps_order, route.types)) else traits.ahead
