"""A route's lanes while it runs: which keys are blocked, and when their heads are due.

What is in memory says at once whether a key is blocked; the rows follow in the journal's next
transaction, and only then is the position settled. A key is free again when its last row is gone.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from msgspec import structs

from canonical.errors import Unresolved
from canonical.event import Event, decode, encode
from canonical.ports import Transaction
from canonical.spec import Log
from deadletter import store as dead_letters
from deadletter.entry import DeadLetter
from router import lanes, settled
from router.breaker import Breaker
from router.journal import Journal
from router.lanes import Entry
from router.lanewriter import Change, LaneWriter, letter_of
from router.notices import dead_lettered, is_notice, unresolved
from router.work import Work

__all__ = ["LaneKeeper"]


class _Lane:
    """One blocked key. ``size`` counts rows, those on their way to the disk included."""

    __slots__ = ("active", "due", "failed_since", "queue", "size")

    def __init__(self) -> None:
        self.size = 0
        self.due: float | None = None
        self.failed_since: float | None = None
        self.active = False
        self.queue: deque[Work] = deque()


class Owner(Protocol):
    """The engine, as its lanes see it."""

    breaker: Breaker

    @property
    def idle(self) -> bool: ...

    def again(self, work: Work) -> None: ...
    def settled(self, work: Work) -> None: ...
    def wake(self) -> None: ...


class LaneKeeper:
    """The lanes of one route."""

    def __init__(self, route: str, journal: Journal, log: Log) -> None:
        self._route, self._journal = route, journal
        self._lanes: dict[str, _Lane] = {}
        self._held: set[int] = set()
        self._due: list[tuple[float, str]] = []
        self._changes: list[Change] = []
        self._writer = LaneWriter(route, journal, log)
        self._flushing: asyncio.Task[None] | None = None
        self.failure: Exception | None = None
        """What kept the lanes from being written; the route cannot go on."""
        self._opening: set[asyncio.Task[None]] = set()
        self._early: set[str] | None = set()  # keys released before the lanes are known; None from then on
        self._owner: Owner

    def attach(self, owner: Owner) -> None:
        """Says whose lanes these are."""
        self._owner = owner

    async def restore(self, cursor: int) -> None:
        """Takes up the rows that an earlier run left; what that one delivered is not delivered again."""

        def work(transaction: Transaction) -> tuple[list[lanes.Lane], set[int], set[int]]:
            for key, position, letter in settled.out_of_lanes(transaction, self._route):
                lanes.remove(transaction, self._route, [(key, position)])
                if letter is not None:
                    dead_letters.resolve(transaction, letter, "recovered", at=time.time())
            lanes.remove(transaction, self._route, lanes.discarded(transaction, self._route))
            found = lanes.lanes_of(transaction, self._route)
            asked = dead_letters.page(transaction, {"route": self._route, "status": "retrying"}, limit=-1)
            held = lanes.positions_after(transaction, self._route, cursor)
            held |= settled.beyond(transaction, self._route, cursor)
            return found, held, {letter.position for letter in asked if letter.position is not None}

        found, self._held, asked = await self._journal.write(work)
        for lane in found:
            kept = self._lanes[lane.head.key] = _Lane()
            kept.size = lane.size
            match lane.head.state:
                case "retrying":
                    self._schedule(lane.head.key, max(lane.head.due_at - time.time(), 0.0))
                case "waiting":
                    self._schedule(lane.head.key, 0.0)
                case "parked" | "dead":
                    if lane.head.position in asked:
                        self._schedule(lane.head.key, 0.0)
        early, self._early = self._early, None
        for key in early or ():
            self.release(key)

    # ── what the engine asks ─────────────────────────────────────────────────────────────────────

    @property
    def clear(self) -> bool:
        """Whether no key is blocked and no position held: nobody needs to be asked about."""
        return not self._lanes and not self._held

    def holds(self, position: int) -> bool:
        """Whether it went into a lane, or arrived, before a crash kept the cursor from passing it."""
        if position not in self._held:
            return False
        self._held.discard(position)
        return True

    def blocks(self, key: str) -> bool:
        """Whether something with this key waits in a lane."""
        return key in self._lanes

    def due_in_s(self) -> float | None:
        """Seconds until the next lane is due; None when none is, or something else goes first."""
        if not self._due or self._held_up():
            return None
        return max(self._due[0][0] - time.monotonic(), 0.0)

    def start_due(self) -> None:
        """Lets the heads of lanes that are due try again.

        A probe is made with what has not failed yet; with one lane only when there is nothing else, each
        lane in its turn. Such a head ages by the pause that was made for it.
        """
        if self._held_up():
            return
        now, probing = time.monotonic(), self._owner.breaker.state == "probing"
        while self._due and self._due[0][0] <= now:
            due, key = heapq.heappop(self._due)
            lane = self._lanes.get(key)
            if lane is None or lane.due != due:
                continue
            lane.due = None
            if not lane.active:
                self._open(key, lane, self._owner.breaker.waited_s)
                if probing:
                    return

    def _held_up(self) -> bool:
        """Whether lanes have to wait: for the end of a pause, or for the probe that is made now."""
        match self._owner.breaker.state:
            case "flowing":
                return False
            case "paused":
                return True
            case "probing":
                return not self._owner.idle or bool(self._opening)

    # ── what the engine tells ────────────────────────────────────────────────────────────────────

    def behind(self, work: Work) -> None:
        """Puts it behind what blocks its key."""
        self._put(work, "waiting")

    def retry(self, work: Work, after_s: float) -> None:
        """Due again after so many seconds."""
        if self._put(work, "retrying", due_at=time.time() + after_s):
            self._schedule(work.key, after_s)

    def park(self, work: Work) -> None:
        """Waits for a crosswalk row."""
        self._put(work, "parked", notice=unresolved(self._route, work.position, work.event, work.error))

    def bury(self, work: Work, why: str) -> None:
        """Waits for a person, as a dead letter."""
        letter = letter_of(self._route, work, why)
        self._put(work, "dead", letter=letter, notice=dead_lettered(letter, work.event))

    def discard(self, work: Work, why: str) -> None:
        """Leaves it for good; a row says so."""
        now = time.time()
        letter = structs.replace(
            letter_of(self._route, work, why), status="discarded", resolved_at=now, reason=why
        )
        if work.from_lane:
            self._change(Change(work=work, removed=(work.key, work.position), letter=letter))
            self._next(work.key)
        else:
            self._change(Change(work=work, letter=letter))

    def done(self, work: Work) -> None:
        """The work of a lane was delivered, or is not wanted any more."""
        self._change(Change(work=work, removed=(work.key, work.position), recovered=work.dead_letter))
        self._next(work.key)

    # ── what people ask ──────────────────────────────────────────────────────────────────────────

    def release(self, key: str) -> int:
        """Lets a lane try again now, whatever its head waits for; returns its size.

        0 while the route starts, too: the lane is let go as soon as it is known.
        """
        lane = self._lanes.get(key)
        if lane is None:
            if self._early is not None:
                self._early.add(key)
            return 0
        self._schedule(key, 0.0)
        self._owner.wake()
        return lane.size

    def hurry(self, key: str) -> None:
        """Lets a lane that would be tried again by itself be tried now; others stay as they are."""
        lane = self._lanes.get(key)
        if lane is not None and lane.due is not None:
            self._schedule(key, 0.0)
            self._owner.wake()

    def drop(self, key: str, position: int) -> None:
        """Takes one row out; the rest of its lane is tried."""
        if key in self._lanes:
            self._change(Change(removed=(key, position)))

    # ── within ───────────────────────────────────────────────────────────────────────────────────

    def _put(
        self,
        work: Work,
        state: lanes.State,
        *,
        due_at: float = 0.0,
        letter: DeadLetter | None = None,
        notice: Event | None = None,
    ) -> bool:
        """Writes the row; False when the key was blocked already and it only joins the others."""
        lane = self._lanes.setdefault(work.key, _Lane())
        joins = not work.from_lane and lane.size > 0
        if joins:
            state, due_at, letter, notice = "waiting", 0.0, None, None
        if not work.from_lane:
            lane.size += 1
            work.entered_at = time.time()
        else:
            lane.active, lane.due = False, None
            lane.queue.clear()
        if not joins:
            lane.failed_since = work.first_failed_s
        error = work.error
        missing = error if isinstance(error, Unresolved) and state == "parked" else None
        opened = self._owner.breaker.open_s
        entry = Entry(
            route=self._route,
            key=work.key,
            position=work.position,
            state=state,
            plant=work.event.plantid or "",
            event=encode(work.event),
            attempts=work.attempts,
            failing_s=0.0 if work.first_failed_s is None else opened - work.first_failed_s,
            due_at=due_at,
            ambiguous=work.lookup,
            code=error.code if error else "",
            error=error.message if error else "",
            code_domain=missing.domain if missing else "",
            code_system=missing.system if missing else "",
            code_value=missing.value if missing else "",
            dead_letter=work.dead_letter if state in {"dead", "retrying"} else None,
            entered_at=work.entered_at,
        )
        recovered = work.dead_letter if state == "parked" else None
        self._change(
            Change(
                work=work,
                entry=entry,
                letter=letter,
                recovered=recovered,
                notice=None if is_notice(work.event) else notice,
            )
        )
        return not joins

    def _schedule(self, key: str, after_s: float) -> None:
        lane = self._lanes[key]
        lane.due = time.monotonic() + after_s
        heapq.heappush(self._due, (lane.due, key))

    def _open(self, key: str, lane: _Lane, aged_s: float) -> None:
        lane.active, lane.due = True, None
        task = asyncio.get_running_loop().create_task(self._load(key, lane, aged_s))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _load(self, key: str, lane: _Lane, aged_s: float) -> None:
        """Reads the oldest rows and sends the head on its way; ``aged_s`` is added to its age."""
        if self._flushing is not None:
            await asyncio.shield(self._flushing)
        rows = await self._journal.read(lambda t: lanes.heads(t, self._route, key))
        opened = self._owner.breaker.open_s
        since, lane.failed_since = lane.failed_since, None
        for row in rows:
            failed = None
            if row.state != "waiting":
                failed = (opened - row.failing_s if since is None else since) - aged_s
            lane.queue.append(
                Work(
                    position=row.position,
                    event=decode(row.event),
                    key=key,
                    attempts=row.attempts,
                    first_failed_s=failed,
                    promoted=True,
                    lookup=row.ambiguous,
                    from_lane=True,
                    alone=aged_s > 0 and row.state != "waiting",
                    dead_letter=row.dead_letter,
                    entered_at=row.entered_at,
                )
            )
        self._next(key)

    def _next(self, key: str) -> None:
        lane = self._lanes.get(key)
        if lane is None:
            return
        if lane.queue:
            lane.active = True
            self._owner.again(lane.queue.popleft())
            return
        lane.active = False  # the flush that is due looks whether rows are left

    def _change(self, change: Change) -> None:
        self._changes.append(change)
        if self._flushing is None:
            self._flushing = asyncio.get_running_loop().create_task(self._flush())

    async def flush(self) -> None:
        """Waits until everything is written."""
        while self._flushing is not None:
            await asyncio.shield(self._flushing)

    async def _flush(self) -> None:
        try:
            while self._changes:
                changes, self._changes = self._changes, []
                await self._writer.write(changes)
                self._written(changes)
        except Exception as error:  # noqa: BLE001 - the engine raises it, and its route begins anew
            self.failure = error
        finally:
            self._flushing = None
        self._owner.wake()

    def _written(self, changes: Sequence[Change]) -> None:
        for change in changes:
            if change.work is not None and not change.work.from_lane:
                self._owner.settled(change.work)
            if change.removed is None:
                continue
            lane = self._lanes.get(change.removed[0])
            if lane is None:
                continue
            lane.size -= 1
            if lane.size <= 0:
                del self._lanes[change.removed[0]]
            elif not lane.active and lane.due is None:
                self._schedule(change.removed[0], 0.0)
