"""What many requests publish at once, recorded together.

One commit is under way at a time, and what comes meanwhile shares the next one: the journal's work for
each commit, and its fsync, is paid once for all of them. After a commit those whom it answered get a
moment to come back, so that they do not fall into two halves that take turns.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from canonical.ports import Outcome
from gateway.deadlines import Deadlines
from router.journal import Message, StorageError

__all__ = ["Gathering", "TooSlow"]

_MESSAGES: Final = 1000
"""Of one commit; a request is never cut in two."""
_SHARE: Final = 0.25
_LINGER_S: Final = 0.005
"""Those who were answered are waited for a quarter of the time that the commit took, and 5 ms at most."""

Answer = asyncio.Future[Sequence[Outcome]]
Asked = tuple[Sequence[Message], Answer]
Record = Callable[[Sequence[Message]], Awaitable[Sequence[Outcome]]]


class TooSlow(Exception):
    """The journal has not answered in time; what was asked for may be, or become, recorded all the same."""


class Gathering:
    """Records for many. ``record`` makes durable what it is given, with an outcome for each message."""

    def __init__(self, record: Record, *, within_s: float) -> None:
        self._record = record
        self._waiting: deque[Asked] = deque()
        self._deadlines = Deadlines[Answer](within_s, _late)
        self._running: asyncio.Task[None] | None = None
        self._expected = 1
        self._back: asyncio.Event | None = None

    async def record(self, messages: Sequence[Message]) -> Sequence[Outcome]:
        """The outcomes, once durable. Raises TooSlow, and what ``record`` raises."""
        answer: Answer = asyncio.get_running_loop().create_future()
        self._waiting.append((messages, answer))
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        elif self._back is not None and len(self._waiting) >= self._expected:
            self._back.set()
        self._deadlines.add(answer)
        try:
            return await answer
        finally:
            self._deadlines.discard(answer)
            self._forget()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                taken, began = self._taken(), loop.time()
                if taken:
                    await self._recorded(taken)
                    await self._linger(len(taken), loop.time() - began)
        finally:
            self._running = None

    def _forget(self) -> None:
        """Drops those at the front whom nobody waits for any more: a disk that hangs costs no memory."""
        while self._waiting and self._waiting[0][1].done():
            self._waiting.popleft()

    def _taken(self) -> list[Asked]:
        taken: list[Asked] = []
        messages = 0
        while self._waiting and messages < _MESSAGES:
            asked = self._waiting.popleft()
            if not asked[1].done():
                taken.append(asked)
                messages += len(asked[0])
        return taken

    async def _recorded(self, taken: Sequence[Asked]) -> None:
        try:
            outcomes = await self._record([message for messages, _ in taken for message in messages])
        except StorageError as error:
            _failed(taken, error)
        except Exception as error:  # noqa: BLE001 - told to who asked for it, and to nobody else
            if len(taken) == 1:
                _failed(taken, error)
                return
            for one in taken:
                await self._recorded([one])
        else:
            _answered(taken, outcomes)

    async def _linger(self, answered: int, took_s: float) -> None:
        """Returns when as many wait as were answered and waited before, or after a moment."""
        self._expected = answered + len(self._waiting)
        self._back = asyncio.Event()
        try:
            async with asyncio.timeout(min(took_s * _SHARE, _LINGER_S)):
                await self._back.wait()
        except TimeoutError:
            pass
        finally:
            self._back = None


def _answered(taken: Sequence[Asked], outcomes: Sequence[Outcome]) -> None:
    first = 0
    for messages, answer in taken:
        if not answer.done():
            answer.set_result(outcomes[first : first + len(messages)])
        first += len(messages)


def _failed(taken: Sequence[Asked], error: Exception) -> None:
    for _, answer in taken:
        if not answer.done():
            answer.set_exception(error)


def _late(answer: Answer) -> None:
    if not answer.done():
        answer.set_exception(TooSlow())
