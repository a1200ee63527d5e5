"""Following the journal, off its commit path: what a projection does to stay up to date.

What was committed is handed over in memory; a projection that falls behind a bound reads the journal
instead, so that it never holds ingest back and never grows without limit.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Protocol

from canonical.errors import TransientError
from canonical.ports import Recorded
from canonical.spec import Log
from router.journal import Header, Journal

__all__ = ["WAIT_S", "Behind", "Follower", "Target"]

WAIT_S = 2.0
_RETRY_S = 1.0


class Behind(TransientError):
    """The projection has not caught up with the journal in time; an answer might lack something."""

    code = "index_behind"


class Target(Protocol):
    """What is kept up to date."""

    @property
    def position(self) -> int:
        """Up to here everything is in."""
        ...

    async def add(self, recorded: Sequence[Recorded], reached: int) -> None:
        """Takes in what comes after ``position``, which is ``reached`` then. All or nothing."""
        ...


class Follower:
    """Hands a target what it wants of the journal, in order, batch by batch."""

    def __init__(
        self,
        name: str,
        target: Target,
        log: Log,
        *,
        types: Collection[str] | None = None,
        linger_s: float = 0.025,
        batch: int = 2000,
        idle: Callable[[], Awaitable[None]] | None = None,
        idle_every_s: float = 60.0,
    ) -> None:
        """``types``: full CloudEvents types; others are passed over unread. ``linger_s``: for so long small
        commits may gather while nobody asks; ``batch``: about so many events at once. ``idle`` is called
        about every ``idle_every_s``."""
        self._name, self._target, self._log, self._linger_s = name, target, log, linger_s
        self._types = None if types is None else frozenset(types)
        self._batch, self._most = batch, 5 * batch // 2
        self._idle, self._idle_every_s, self._idled_s = idle, idle_every_s, 0.0
        self._buffer: deque[tuple[Sequence[Recorded], int]] = deque()
        self._buffered = 0
        self._missed = True
        self._wake, self._advanced, self._asked = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._waiting = 0
        self._task: asyncio.Task[None] | None = None

    def start(self, journal: Journal) -> None:
        """Begins; once only."""
        self._journal = journal
        self._idled_s = asyncio.get_running_loop().time()
        journal.subscribe(self._committed)
        self._task = asyncio.create_task(self._run(), name=self._name)

    async def stop(self) -> None:
        """Ends it after the batch under way; what was not taken in, is at the next start."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def again(self) -> None:
        """Says that the target's position went back: what was handed over in memory does not fit any more."""
        self._missed = True
        self._wake.set()

    @property
    def lagging(self) -> bool:
        """Whether it reads the journal, having missed what was handed over in memory."""
        return self._missed

    @property
    def behind(self) -> int:
        """Events of the journal that the target has not seen."""
        return max(0, self._journal.head - self._target.position)

    async def caught_up(self, within_s: float = WAIT_S) -> None:
        """Returns once everything that is committed now is in. Raises Behind."""
        head = self._journal.head
        if self._target.position >= head:
            return
        self._waiting += 1
        self._asked.set()
        try:
            async with asyncio.timeout(within_s):
                while self._target.position < head:
                    await self._advanced.wait()
        except TimeoutError:
            raise Behind(
                f"{self._name} is at position {self._target.position} of {head}: ask again in a moment",
                retry_after_s=within_s,
            ) from None
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._asked.clear()

    # ── following ────────────────────────────────────────────────────────────────────────────────

    def _committed(self, recorded: Sequence[Recorded]) -> None:
        """Called in the loop with each commit."""
        wanted = self._wanted(recorded)
        if self._missed or self._buffered + len(wanted) > self._most:
            self._missed = True
        else:
            self._buffer.append((wanted, recorded[-1].position))
            self._buffered += len(wanted)
        self._wake.set()

    def _wanted(self, recorded: Sequence[Recorded]) -> Sequence[Recorded]:
        types = self._types
        return recorded if types is None else [item for item in recorded if item.event.type in types]

    def _header(self, header: Header) -> bool:
        types = self._types
        return types is None or any(not types.isdisjoint(counts) for counts in header.counts.values())

    async def _run(self) -> None:
        while True:
            try:
                self._wake.clear()
                await self._linger()
                taken, reached = await self._take()
                if reached > self._target.position:
                    await self._target.add(taken, reached)
                    self._advanced.set()
                    self._advanced = asyncio.Event()
                elif not self._missed and not self._buffer:
                    await self._rest()
                await self._keep_house()
            except Exception as error:  # noqa: BLE001 - a full disk, say: the next attempt may do better
                self._log.error(f"{self._name}_held_up", error=repr(error), retry_in_s=_RETRY_S)
                self._missed = True
                await asyncio.sleep(_RETRY_S)

    async def _linger(self) -> None:
        """Lets small commits gather, as long as nobody waits for them: a transaction each would cost much."""
        if self._missed or not self._buffer or self._buffered >= self._batch:
            return
        try:
            async with asyncio.timeout(self._linger_s):
                await self._asked.wait()
        except TimeoutError:
            return

    async def _take(self) -> tuple[Sequence[Recorded], int]:
        """What comes next, and how far it goes: from memory, or from the journal after falling behind."""
        if not self._missed:
            taken: list[Recorded] = []
            reached = self._target.position
            while self._buffer and len(taken) < self._batch:
                part, reached = self._buffer.popleft()
                taken += part
            self._buffered -= len(taken)
            return taken, reached
        self._buffer.clear()
        self._buffered = 0
        position = self._target.position
        if position >= self._journal.head:
            self._missed = False  # nothing was committed since the line above
            return (), position
        found, reached = await self._journal.events(position, limit=self._batch, wanted=self._header)
        return self._wanted(found), reached

    async def _rest(self) -> None:
        try:
            async with asyncio.timeout(self._idle_every_s):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _keep_house(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._idle is not None and now - self._idled_s >= self._idle_every_s:
            self._idled_s = now
            await self._idle()
