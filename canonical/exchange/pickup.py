"""The source over a folder: looks, takes what is ready, and puts it away after the hub's commit.

One task does everything with the folder, so that calls come one after the other. Acknowledgements
are only noted; the files are moved as soon as the task is free. A file that was not moved before the
process ended is taken again under the same id, known as a duplicate, and moved then.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

from canonical.errors import CrossplantError, Unauthorized
from canonical.exchange.backoff import Backoff
from canonical.exchange.folder import Denied, Entry, Folder, NotFound, is_connection_failure
from canonical.exchange.naming import message_id
from canonical.exchange.options import PickUp
from canonical.exchange.putaway import Pick, PutAway, Refusal
from canonical.exchange.readiness import Choice, Readiness
from canonical.exchange.watchlist import Watchlist
from canonical.ledger import FileEntry
from canonical.ports import Inbound, Outcome, RawMessage
from canonical.spec import AdapterContext

__all__ = ["PickUpSource"]

_BATCH_FILES = 50
_BATCH_BYTES = 2_000_000
_FIRST_RETRY_S = 1.0
_GATHER_S = 0.05  # one look for many events
_DRAIN_S = 5.0


class PickUpSource:
    """Yields what a folder has, a batch ahead of the hub at most."""

    def __init__(
        self,
        folder: Folder,
        rules: PickUp,
        context: AdapterContext,
        *,
        where: str,
        least_age_s: float = 0.0,
        longest_pause_s: float = 300.0,
    ) -> None:
        """``where``: the folder for people and logs. ``least_age_s``: the resolution of its times."""
        self._folder, self._rules, self._context, self._where = folder, rules, context, where
        self._readiness = Readiness(rules, least_age_s)
        self._put_away = PutAway(folder, rules, where, context.clock, context.log)
        self._watchlist = Watchlist(context.name, context.log)
        self._backoff = Backoff(_FIRST_RETRY_S, longest_pause_s)
        self._failing = ""
        self._taken: dict[str, Entry] = {}
        self._settling: deque[tuple[Pick, Outcome]] = deque()
        self._stuck: list[tuple[Pick, Outcome]] = []
        self._slot: Inbound | None = None
        self._filled, self._wake = asyncio.Event(), asyncio.Event()
        self._look = self._closing = False
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Starts to look; returns at once, also when the folder is away."""
        self._context.health.detail = f"first look into {self._where}"
        self._task = asyncio.create_task(self._run(), name=f"pick-up {self._context.name}")
        self._task.add_done_callback(lambda _: self._filled.set())

    async def receive(self) -> AsyncIterator[Inbound]:
        """Batches until ``close``; failures are logged, shown in health, and tried again."""
        while not self._closing and self._task is not None:
            batch, self._slot = self._slot, None
            if batch is not None:
                self._wake.set()
                yield batch
            elif self._task.done():
                self._task.result()  # a defect of ours ends the source loudly
                return
            else:
                self._filled.clear()
                await self._filled.wait()

    async def close(self) -> None:
        """Moves what is acknowledged, if that goes quickly, and leaves the folder; safe to call twice."""
        self._closing = True
        self._slot = None
        self._wake.set()
        self._filled.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=_DRAIN_S if self._context.health.connected else 0)
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._folder.close()
        self._context.health.connected, self._context.health.detail = False, "closed"

    def look_now(self) -> None:
        """Something may have changed: looks soon. Only from the event loop's thread."""
        self._look = True
        self._wake.set()

    # ── the task ────────────────────────────────────────────────────────────────────────────────

    async def _run(self) -> None:
        while not self._closing:
            try:
                pause_s = await self._round()
                await self._rest(pause_s)
            except CrossplantError as error:
                await self._pause(self._failed(error))
        if self._context.health.connected:
            try:
                await self._settle()
            except CrossplantError as error:
                self._failed(error)  # what was not moved is known again when the hub is back

    async def _rest(self, pause_s: float) -> None:
        """Until it is time to look again, moving what is acknowledged meanwhile."""
        loop = asyncio.get_running_loop()
        until = loop.time() + pause_s
        while not self._closing:
            await self._settle()
            if self._look:
                self._look = False
                until = min(until, loop.time() + _GATHER_S)
            left_s = until - loop.time()
            if left_s <= 0:
                return
            await self._woken(left_s)

    async def _pause(self, pause_s: float) -> None:
        """After a failure nothing is tried before its time, whatever happens meanwhile."""
        until = asyncio.get_running_loop().time() + pause_s
        while not self._closing and (left_s := until - asyncio.get_running_loop().time()) > 0:
            await self._woken(left_s)

    async def _woken(self, within_s: float | None) -> None:
        try:
            async with asyncio.timeout(within_s):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()

    async def _round(self) -> float:
        """One look, and what it brings; seconds until the next."""
        self._settling.extend(self._stuck)
        self._stuck.clear()
        await self._settle()
        self._look = False
        entries = await self._folder.entries()
        self._reached()
        now_s = asyncio.get_running_loop().time()
        choice = self._readiness.look(entries, now_s, held=self._taken)
        await self._clear(choice.leftovers)
        self._watchlist.report(choice, now_s)
        self._describe(choice)
        await self._take(choice.ready[: self._rules.limit])
        if len(choice.ready) > self._rules.limit:
            return 0.0
        return min(self._rules.every, self._rules.every if choice.recheck_s is None else choice.recheck_s)

    async def _take(self, entries: Sequence[Entry]) -> None:
        """Reads and hands over; what was read before a failure is handed over all the same."""
        picks: list[Pick] = []
        messages: list[RawMessage] = []
        failure: CrossplantError | None = None
        for entry in entries:
            if self._closing:
                return
            try:
                message = await self._read(entry)
            except CrossplantError as error:
                failure = error
                break
            if message is None:
                continue
            picks.append(Pick(entry, message.id))
            messages.append(message)
            if len(picks) >= _BATCH_FILES or sum(len(each.body) for each in messages) >= _BATCH_BYTES:
                await self._give(picks, messages)
                picks, messages = [], []
        if picks:
            await self._give(picks, messages, settles=failure is None)
        if failure is not None:
            raise failure

    async def _read(self, entry: Entry) -> RawMessage | None:
        """The file as a message; None when it is refused, gone, or not whole."""
        if (refusal := self._refusal(entry)) is not None:
            await self._refuse(entry, refusal)
            return None
        try:
            body = await self._folder.read(entry.name, self._rules.max_size)
            after = await self._folder.stat(entry.name)
        except NotFound:
            return None
        except CrossplantError as error:
            if is_connection_failure(error):
                raise
            self._watchlist.tell("file_unreadable", entry.name, error.message)
            return None
        if not entry.same_version(after) or len(body) != entry.size_bytes:
            self._readiness.forget(entry.name)  # its sender was not done
            return None
        return self._message(entry, body)

    def _message(self, entry: Entry, body: bytes) -> RawMessage:
        changed_at = datetime.fromtimestamp(entry.mtime_ns / 1e9, UTC)
        return RawMessage(
            adapter=self._context.name,
            id=message_id(self._where, entry, body),
            body=body,
            received_at=self._context.clock(),
            attributes={
                "file": entry.name,
                "folder": self._where,
                "size_bytes": entry.size_bytes,
                "changed_at": changed_at.isoformat(),
            },
        )

    def _refusal(self, entry: Entry) -> Refusal | None:
        if entry.size_bytes > self._rules.max_size:
            return Refusal(
                f"it has {entry.size_bytes} bytes, and max_size is {self._rules.max_size}",
                "Raise max_size and move it back, or have its sender split it.",
            )
        if entry.size_bytes == 0 and self._rules.empty == "refuse":
            return Refusal("it is empty", "Ask its sender for the content; nothing was taken from it.")
        return None

    async def _clear(self, leftovers: Sequence[Entry]) -> None:
        for entry in leftovers:
            try:
                await self._put_away.clear(entry)
            except CrossplantError as error:
                if is_connection_failure(error):
                    raise
                self._watchlist.tell("file_not_removed", entry.name, error.message)

    async def _refuse(self, entry: Entry, refusal: Refusal) -> None:
        try:
            await self._put_away.refuse(entry, refusal)
        except CrossplantError as error:
            if is_connection_failure(error):
                raise
            self._watchlist.tell("file_not_moved", entry.name, error.message)

    # ── to and from the hub ─────────────────────────────────────────────────────────────────────

    def _inbound(self, picks: Sequence[Pick], messages: Sequence[RawMessage]) -> Inbound:
        async def ack(outcomes: Sequence[Outcome]) -> None:
            self._settling.extend(zip(picks, outcomes, strict=True))
            self._wake.set()

        files = [self._file(pick.entry, message.body) for pick, message in zip(picks, messages, strict=True)]
        return Inbound(messages=messages, ack=ack, files=files)

    def _file(self, entry: Entry, body: bytes) -> FileEntry:
        return FileEntry(
            path=f"{self._where}/{entry.name}",
            size_bytes=entry.size_bytes,
            changed_ns=entry.mtime_ns,
            sha256=hashlib.sha256(body).digest(),
        )

    async def _give(
        self, picks: Sequence[Pick], messages: Sequence[RawMessage], *, settles: bool = True
    ) -> None:
        """Hands a batch over once the one before it was taken."""
        while self._slot is not None and not self._closing:
            await self._woken(None)
            if settles:
                await self._settle()
        if self._closing:
            return
        self._taken |= {pick.entry.name: pick.entry for pick in picks}
        self._slot = self._inbound(picks, messages)
        self._filled.set()
        self._context.health.last_good_at = self._context.clock()

    async def _settle(self) -> None:
        """Puts away what is acknowledged; raises when the folder cannot be reached, and goes on later."""
        while self._settling:
            pick, outcome = self._settling[0]
            try:
                await self._put_away.settle(pick, outcome)
            except CrossplantError as error:
                if is_connection_failure(error):
                    raise
                self._watchlist.tell("file_not_moved", pick.entry.name, error.message)
                self._stuck.append(self._settling.popleft())  # still held, so it is not taken again
            else:
                self._settling.popleft()
                self._taken.pop(pick.entry.name, None)
                self._watchlist.forget(pick.entry.name)

    # ── what is said about it ───────────────────────────────────────────────────────────────────

    def _reached(self) -> None:
        if self._failing:
            self._context.log.info("folder_reached", adapter=self._context.name, folder=self._where)
        self._failing = ""
        self._backoff.reset()
        self._context.health.connected = True

    def _describe(self, choice: Choice) -> None:
        parts = [f"looks into {self._where}"]
        if choice.waiting:
            oldest = min(choice.waiting, key=lambda each: each.since_s)
            parts.append(f"{len(choice.waiting)} not ready, such as {oldest.entry.name!r}: {oldest.why}")
        if choice.refused:
            name, why = choice.refused[0]
            parts.append(f"{len(choice.refused)} never taken, such as {name!r}: {why}")
        if self._stuck:
            parts.append(f"{len(self._stuck)} taken, but not to be moved: check the permissions")
        self._context.health.detail = "; ".join(parts)

    def _failed(self, error: CrossplantError) -> float:
        """Seconds until the next try."""
        health = self._context.health
        health.connected, health.detail = False, error.message
        hopeless = isinstance(error, Unauthorized) and not isinstance(error, Denied)  # a login
        pause_s = self._backoff.longest() if hopeless else self._backoff.next()
        say = self._context.log.debug if error.message == self._failing else self._context.log.warning
        say(
            "folder_not_reached",
            adapter=self._context.name,
            code=error.code,
            reason=error.message,
            retry_in_s=round(pause_s, 1),
        )
        self._failing = error.message
        return pause_s
