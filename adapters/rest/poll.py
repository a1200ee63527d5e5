"""The polling source: asks a resource again and again, and takes in what is new."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing

import aiohttp

from adapters.rest.client import open_session, reason
from adapters.rest.config import RestConfig
from adapters.rest.handoff import Handoff
from adapters.rest.progress import Progress, restored, stored
from adapters.rest.walk import Step, resource, walk
from canonical.errors import ConfigError, CrossplantError, PermanentError, TransientError
from canonical.ports import Inbound, Outcome, RawMessage
from canonical.spec import AdapterContext

__all__ = ["PollingSource"]

_BATCH = 500
_FIRST_RETRY_S = 1.0
_ACK_PATIENCE_S = 60.0


class PollingSource:
    """Yields the elements of each page; the last batch of a page carries where to go on.

    A poll starts once the one before it is acknowledged. What is not, after a while or because the
    hub ended, comes again with the same ids.
    """

    def __init__(self, settings: RestConfig, context: AdapterContext) -> None:
        """Raises ConfigError when the adapter has neither poll nor webhook."""
        if settings.poll is None:
            raise ConfigError("used as a source, so it needs poll or webhook", key="poll")
        self._settings, self._poll, self._context = settings, settings.poll, context
        self._progress = self._acknowledged = Progress()
        self._waiting: set[object] = set()
        self._all_acknowledged = asyncio.Event()
        self._handoff = Handoff()
        self._failures = 0
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Starts to poll. Raises ConfigError for bad certificates and a path that leaves its place."""
        try:
            where = resource(self._settings)
        except CrossplantError as error:
            raise ConfigError(error.message, key="poll.path") from error
        session = await open_session(self._settings)
        self._progress = self._acknowledged = restored(self._context)
        self._context.health.fresh_within_s = 2 * self._poll.every + self._settings.timeout
        self._context.health.detail = f"first poll of {where.host} is under way"
        self._task = asyncio.create_task(self._run(session), name=f"poll {self._context.name}")

    async def receive(self) -> AsyncIterator[Inbound]:
        """Batches until ``close``; failures are logged, shown in health, and tried again."""
        async for batch in self._handoff.take():
            yield batch
        if self._task is not None:
            await asyncio.wait([self._task])
            if not self._task.cancelled():
                self._task.result()  # a defect of ours ends the source loudly

    async def close(self) -> None:
        """Ends the poll that is under way; safe to call twice."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._handoff.end()
        self._context.health.connected, self._context.health.detail = False, "closed"

    async def _run(self, session: aiohttp.ClientSession) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                started = loop.time()
                try:
                    await self._ask(session)
                    self._succeeded()
                    spread = random.uniform(0.9, 1.1)  # noqa: S311 so that many sources do not ask at once
                    pause_s = self._poll.every * spread - (loop.time() - started)
                except (CrossplantError, aiohttp.ClientError, OSError) as error:
                    pause_s = self._failed(error)
                await asyncio.sleep(max(0.0, pause_s))
                await self._settle()
        finally:
            await session.close()
            await self._handoff.end()

    async def _ask(self, session: aiohttp.ClientSession) -> None:
        async with aclosing(walk(session, self._settings, self._progress, self._context.clock)) as steps:
            async for step in steps:
                self._answered()
                self._progress = step.progress
                if step.faults:
                    self._context.log.warning(
                        "poll_expressions_failed", adapter=self._context.name, faults=list(step.faults)[:10]
                    )
                for batch in self._batches(step):
                    await self._handoff.give(batch)

    async def _settle(self) -> None:
        """Waits for what is not yet acknowledged; goes back to before it when that takes too long."""
        if not self._waiting:
            return
        try:
            async with asyncio.timeout(max(_ACK_PATIENCE_S, self._poll.every)):
                await self._all_acknowledged.wait()
        except TimeoutError:
            self._waiting.clear()
            self._progress = self._acknowledged
            self._context.log.warning("poll_not_acknowledged", adapter=self._context.name)

    def _batches(self, step: Step) -> Sequence[Inbound]:
        now = self._context.clock()
        messages = [
            RawMessage(
                adapter=self._context.name,
                id=element.id,
                body=element.body,
                received_at=now,
                content_type=step.content_type,
                attributes={"path": step.path},
            )
            for element in step.elements
        ]
        parts = [messages[at : at + _BATCH] for at in range(0, len(messages), _BATCH)]
        return [self._inbound(part, step.progress if part is parts[-1] else None) for part in parts]

    def _inbound(self, messages: Sequence[RawMessage], progress: Progress | None) -> Inbound:
        token = object()
        self._waiting.add(token)
        self._all_acknowledged.clear()

        async def ack(_outcomes: Sequence[Outcome]) -> None:
            if progress is not None:
                self._acknowledged = progress
            self._waiting.discard(token)
            if not self._waiting:
                self._all_acknowledged.set()

        return Inbound(messages=messages, ack=ack, state=stored(progress) if progress else None)

    def _answered(self) -> None:
        health = self._context.health
        health.connected, health.detail, health.last_good_at = True, "answers", self._context.clock()

    def _succeeded(self) -> None:
        self._answered()
        if self._failures:
            self._context.log.info("poll_recovered", adapter=self._context.name, failures=self._failures)
        self._failures = 0

    def _failed(self, error: BaseException) -> float:
        """Seconds until the next try: longer each time, spread, and never before the server asked for it."""
        self._failures += 1
        if isinstance(error, PermanentError):
            self._progress = (
                self._progress.restarted()
            )  # a page that is no longer there, or pages in a circle
        code, text = (error.code, error.message) if isinstance(error, CrossplantError) else reason(error)
        asked_s = (error.retry_after_s or 0.0) if isinstance(error, TransientError) else 0.0
        backoff_s = min(self._poll.retry_max, _FIRST_RETRY_S * 2.0 ** min(self._failures - 1, 30))
        pause_s = max(asked_s, backoff_s * random.uniform(0.5, 1.0))  # noqa: S311 spreads the retries
        health = self._context.health
        health.connected, health.detail = False, f"{text} ({self._settings.url})"
        self._context.log.warning(
            "poll_failed",
            adapter=self._context.name,
            code=code,
            detail=text,
            failures=self._failures,
            retry_in_s=round(pause_s, 1),
        )
        return pause_s
