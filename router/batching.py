"""The sink of a route that batches: what the engine hands over goes out as one request of several documents.

A refusal of the request does not say which of its documents is wrong. So a refused batch is halved until the
culprit is alone; the others arrive, and only what has the culprit's key waits behind it. A batch whose answer
is missing stays what it is: whichever of its members is tried again, the same members go out again under the
same key, and the others count as delivered when their turn comes; after a kill, too (``batches``).
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from typing import Any, cast

from canonical.errors import CrossplantError, TransientError
from canonical.ports import Accepted, Delivery, Failed, Lookup, NotTried, Sink, SinkOutcome, Store, Unknown
from router.batches import Kept
from router.ratelimit import Share, Turn
from router.recoverability import blames_sink
from router.together import Batch, Batching, divisible, is_outage, together

__all__ = ["BatchSink"]

_ROUNDS_S = 20.0
"""After so long a call begins no further request, and the rest comes with the next one."""
_PATIENCE_S = 30.0
_REMEMBERED = 10_000
"""Members known to have arrived, or in doubt; of older ones it is forgotten, and they are sent again."""
_BUSY_TIMES = 5
"""So often a batch in doubt may be answered 409, as its first attempt may be at work there still."""
_SILENT = Unknown(TransientError("the sink did not say what became of it", code="no_outcome"))


class _Call:
    """What the engine handed over at once: batches to be sent, keys that were asked for, and what failed."""

    def __init__(self, batches: deque[Batch], asked: set[str]) -> None:
        self.batches, self.asked = batches, asked
        self.failed: dict[str, SinkOutcome] = {}
        self.held: set[str] = set()

    def fail(self, members: Sequence[Delivery], outcome: SinkOutcome) -> None:
        """These did not arrive, so nothing of their keys may follow."""
        self.failed |= {member.idempotency_key: outcome for member in members}
        self.held |= {member.key for member in members}


class BatchSink:
    """A sink over another for one route. ``share``: its part in a limit, which counts requests."""

    def __init__(
        self,
        sink: Sink,
        route: str,
        batching: Batching,
        store: Store,
        *,
        looks_up: bool,
        share: Share | None = None,
    ) -> None:
        self._sink, self._route, self._batching = sink, route, batching
        self._kept, self._loaded = Kept(route, store), False
        self._busy: Counter[str] = Counter()
        self._looks_up, self._turn = looks_up, Turn(share, _PATIENCE_S)
        self._doubt: dict[str, Batch] = {}
        self._arrived: dict[str, tuple[bytes, Accepted]] = {}

    async def open(self) -> None:
        """Nothing: who built the sink opens it."""

    async def close(self) -> None:
        """Nothing: who built the sink closes it."""

    async def send(self, deliveries: Sequence[Delivery]) -> Sequence[SinkOutcome]:
        """Sends them in as few requests as their targets allow; behind an outage none is tried."""
        try:
            await self._load()
        except CrossplantError as error:
            return [_unkept(error), *([NotTried()] * (len(deliveries) - 1))]
        call = _Call(deque(self._batches(deliveries)), {each.idempotency_key for each in deliveries})
        until = asyncio.get_running_loop().time() + _ROUNDS_S
        while call.batches and asyncio.get_running_loop().time() < until:
            batch = self._without(call.batches.popleft(), call.held)
            if batch is None:
                continue
            if not await self._turn.take() or not self._goes_on(call, batch, await self._exchange(batch)):
                break
        return [self._outcome(delivery, call.failed) for delivery in deliveries]

    def _goes_on(self, call: _Call, batch: Batch, outcome: SinkOutcome) -> bool:
        """Notes what became of a batch; returns whether another may be tried after it."""
        asked = [member for member in batch.members if member.idempotency_key in call.asked]
        match outcome:
            case Accepted():
                return True
            case NotTried():
                return False
            case Failed(error) if divisible(error) and not self._doubted(batch):
                if len(batch.members) > 1:
                    call.batches.extendleft(reversed(self._halves(asked)))
                    return True
                call.fail(asked, outcome)
                return not blames_sink(error)
            case Failed(error) if not blames_sink(error):
                call.fail(asked, outcome)
            case Failed() | Unknown():  # the first is enough to decide by; the others keep their places
                call.fail(asked[:1], outcome)
        return False

    def _outcome(self, delivery: Delivery, failed: dict[str, SinkOutcome]) -> SinkOutcome:
        key = delivery.idempotency_key
        if key in failed:
            return failed[key]
        return self._arrived.pop(key)[1] if self._has(delivery) else NotTried()

    async def _load(self) -> None:
        if self._loaded:
            return
        for members in await self._kept.load():
            batch = self._batch(members)
            self._doubt |= {member.idempotency_key: batch for member in members}
        self._loaded = True

    # ── what goes out together ───────────────────────────────────────────────────────────────────

    def _batches(self, deliveries: Sequence[Delivery]) -> Iterator[Batch]:
        """In order; one in doubt as it was, with members that were not asked for. Not those that arrived."""
        fresh: list[Delivery] = []
        begun: set[str] = set()
        for delivery in deliveries:
            if self._has(delivery):
                continue
            doubtful = self._in_doubt(delivery)
            if fresh and (doubtful is not None or not self._fits(delivery, fresh)):
                yield self._batch(fresh)
                fresh = []
            if doubtful is None:
                fresh.append(delivery)
            elif doubtful.whole.idempotency_key not in begun:
                begun.add(doubtful.whole.idempotency_key)
                yield doubtful
        if fresh:
            yield self._batch(fresh)

    def _fits(self, delivery: Delivery, others: Sequence[Delivery]) -> bool:
        """Whether it goes to the same place, and there is room."""
        return len(others) < self._batching.size and delivery.target == others[0].target

    def _has(self, delivery: Delivery) -> bool:
        found = self._arrived.get(delivery.idempotency_key)
        return found is not None and found[0] == delivery.payload

    def _in_doubt(self, delivery: Delivery) -> Batch | None:
        """The batch that may have brought it; not when it says something else by now: an edit, say."""
        batch = self._doubt.get(delivery.idempotency_key)
        if batch is None:
            return None
        own = next(one for one in batch.members if one.idempotency_key == delivery.idempotency_key)
        return batch if own.payload == delivery.payload else None

    def _batch(self, members: Sequence[Delivery]) -> Batch:
        return together(members, self._route, self._batching.form)

    def _halves(self, members: Sequence[Delivery]) -> list[Batch]:
        middle = (len(members) + 1) // 2
        return [self._batch(half) for half in (members[:middle], members[middle:]) if half]

    def _without(self, batch: Batch, held: set[str]) -> Batch | None:
        """What may go: nothing behind one of its key that failed. A batch in doubt went before that one."""
        if not held or self._doubted(batch):
            return batch
        free = [member for member in batch.members if member.key not in held]
        if len(free) == len(batch.members):
            return batch
        return self._batch(free) if free else None

    # ── one request ──────────────────────────────────────────────────────────────────────────────

    async def _exchange(self, batch: Batch) -> SinkOutcome:
        """The outcome of a batch. Whoever gives up waiting for it leaves it in doubt."""
        before = self._doubted(batch)
        if before and self._looks_up:
            found = await cast(Lookup, self._sink).lookup(batch.whole)
            if isinstance(found, Failed):
                return Unknown(found.error)
            if found is not None:
                return self._settled(batch, found)
        if not before:
            try:
                await self._kept.begin(batch.whole.idempotency_key, batch.members)
            except CrossplantError as error:
                return _unkept(error)
        self._remember(self._doubt, {member.idempotency_key: batch for member in batch.members})
        outcome = next(iter(await self._sink.send([batch.whole])), _SILENT)
        if isinstance(outcome, Accepted):
            return self._settled(batch, outcome)
        if self._surely_not(batch, outcome, before=before):
            self._certain(batch)
            self._kept.refused(batch.whole.idempotency_key)
        return outcome

    def _surely_not(self, batch: Batch, outcome: SinkOutcome, *, before: bool) -> bool:
        """Whether this attempt has not arrived, nor one before it. Behind a gateway's 502 to 504 it may have,
        and a 409 may mean that the one before is still at work there."""
        if not isinstance(outcome, Failed) or is_outage(outcome.error):
            return False
        if not before:
            return True
        if outcome.error.code == "http_409":
            self._busy[batch.whole.idempotency_key] += 1
            return self._busy[batch.whole.idempotency_key] >= _BUSY_TIMES
        return divisible(outcome.error)

    def _settled(self, batch: Batch, outcome: Accepted) -> Accepted:
        self._certain(batch)
        self._kept.arrived(batch.whole.idempotency_key, len(batch.members))
        self._remember(
            self._arrived, {member.idempotency_key: (member.payload, outcome) for member in batch.members}
        )
        return outcome

    def _doubted(self, batch: Batch) -> bool:
        return any(self._doubt.get(member.idempotency_key) is batch for member in batch.members)

    def _certain(self, batch: Batch) -> None:
        self._busy.pop(batch.whole.idempotency_key, None)
        for member in batch.members:
            if self._doubt.get(member.idempotency_key) is batch:
                del self._doubt[member.idempotency_key]

    @staticmethod
    def _remember(known: dict[str, Any], more: dict[str, Any]) -> None:
        known |= more
        while len(known) > _REMEMBERED:
            del known[next(iter(known))]


def _unkept(error: CrossplantError) -> Failed:
    """Nothing goes out that could not be written down: the route waits for the disk."""
    text = f"the batch was not written down: {error.message}"
    return Failed(TransientError(text, code="storage", outage=True))
