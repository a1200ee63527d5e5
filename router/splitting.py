"""One event, several deliveries: an element each, in order, settled when all of them are.

All parts are mapped before the first is sent, so that a line which cannot be mapped keeps its whole document
back. How far a document has got is kept in memory, and in a table before a failure is told: what is tried
again goes on with the part that failed. After a crash parts may come again, under their own keys.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from msgspec import structs

from canonical.binding import ENRICHED_PART_VARIABLES, PART_VARIABLES
from canonical.errors import Invalid, Stage, TransientError
from canonical.event import Event, to_json
from canonical.expression import Expression, Values, bind, compile_expression
from canonical.ports import (
    Accepted,
    Delivery,
    Failed,
    Lookup,
    NotTried,
    Sink,
    SinkOutcome,
    Store,
    Transaction,
    Unknown,
)
from canonical.spec import SinkTraits

__all__ = ["TABLES", "Parts", "SplitSink", "Splitting", "forget", "part_key", "together"]

TABLES = (
    """CREATE TABLE IF NOT EXISTS split_progress (
        key TEXT PRIMARY KEY, route TEXT NOT NULL, done INTEGER NOT NULL
    ) WITHOUT ROWID""",
)
MOST_PARTS = 10_000
_ROUNDS_S = 30.0
"""A call ends after so long, and the document goes on with the next one."""


class Parts(Delivery, frozen=True, kw_only=True):
    """The deliveries of one event, as one."""

    parts: tuple[Delivery, ...] = ()


def part_key(key: str, number: int) -> str:
    """The idempotency key of a part: the event's, and the part's place."""
    return f"{key}-{number}"


def together(parts: Sequence[Delivery], key: str) -> Parts:
    """One delivery of them all. Its payload is for people to look at: theirs, a line each."""
    first = parts[0]
    return Parts(
        event=first.event,
        payload=b"\n".join(part.payload for part in parts),
        content_type=first.content_type,
        key=first.key,
        idempotency_key=key,
        attempt=first.attempt,
        parts=tuple(parts),
    )


class Splitting:
    """``split:`` of a route. ``source`` is CEL over event and data that gives a list."""

    def __init__(self, source: str) -> None:
        """Raises ExpressionError."""
        self._items: Expression = compile_expression(source)

    def elements(
        self, outward: Event, values: Values, enrich: Mapping[str, Any] | None = None
    ) -> Iterator[tuple[int, Any, Values]]:
        """(number, element, what expressions see of it). Raises Invalid, ExpressionError.

        ``enrich``: what else they see, on a route that enriches.
        """
        items = self._items.evaluate(values)
        if not isinstance(items, list):
            raise Invalid(f"split: {self._items.source} gives no list", code="split", stage=Stage.PROCESSING)
        if len(items) > MOST_PARTS:
            raise Invalid(
                f"split: {len(items)} parts are more than {MOST_PARTS}", code="split", stage=Stage.PROCESSING
            )
        event = to_json(outward)
        for number, item in enumerate(items, start=1):
            seen = {"event": event, "data": outward.data, "item": item, "number": number}
            if enrich is None:
                yield number, item, bind(seen, PART_VARIABLES)
            else:
                yield number, item, bind({**seen, "enrich": enrich}, ENRICHED_PART_VARIABLES)


class SplitSink:
    """A sink over another for one split route. ``limited``: what it is sent per second counts, so that a call
    sends no more parts than it was given deliveries."""

    def __init__(self, sink: Sink, route: str, traits: SinkTraits, store: Store, *, limited: bool) -> None:
        self._sink, self._route, self._traits, self._store = sink, route, traits, store
        self._limited = limited
        self._done: dict[str, int] = {}
        self._kept: set[str] = set()
        self._receipts: dict[str, list[str]] = {}
        self._loaded = False

    async def open(self) -> None:
        """Nothing: who built the sink opens it."""

    async def close(self) -> None:
        """Nothing: who built the sink closes it."""

    async def send(self, deliveries: Sequence[Delivery]) -> Sequence[SinkOutcome]:
        """Sends what is left of each; ``NotTried`` for one that has more parts than fit into this call."""
        await self._load()
        documents = [cast(Parts, delivery) for delivery in deliveries]
        failed: dict[str, SinkOutcome] = {}
        until = asyncio.get_running_loop().time() + _ROUNDS_S
        while not failed and (chosen := self._chosen(documents)):
            outcomes = await self._sink.send([part for _, part in chosen])
            arrived = self._conclude(chosen, outcomes, failed)
            if not arrived or self._limited or asyncio.get_running_loop().time() > until:
                break
        await self._keep([key for key in failed if self._done.get(key)])
        return [await self._outcome(document, failed) for document in documents]

    def _chosen(self, documents: Sequence[Parts]) -> list[tuple[str, Delivery]]:
        """(document, part) to send now: of an ordered sink as many as a call takes, else one of each."""
        most = len(documents) if self._limited else self._traits.max_batch
        each = most if self._traits.ordered else 1
        chosen: list[tuple[str, Delivery]] = []
        for document in documents:
            key = document.idempotency_key
            done = self._done.get(key, 0)
            left = document.parts[done : done + min(each, max(most - len(chosen), 0))]
            chosen += [(key, _under(part, key, number)) for number, part in enumerate(left, start=done + 1)]
        return chosen

    def _conclude(
        self,
        chosen: Sequence[tuple[str, Delivery]],
        outcomes: Sequence[SinkOutcome],
        failed: dict[str, SinkOutcome],
    ) -> int:
        """Counts the parts that arrived, up to the first of each document that did not; returns how many."""
        stopped: set[str] = set()
        arrived = 0
        for at, (key, part) in enumerate(chosen):
            outcome = outcomes[at] if at < len(outcomes) else _silent(part)
            if key in stopped:
                continue
            if isinstance(outcome, Accepted):
                self._done[key] = self._done.get(key, 0) + 1
                self._receipts.setdefault(key, []).append(outcome.receipt)
                arrived += 1
                continue
            stopped.add(key)
            if not isinstance(outcome, NotTried):
                failed[key] = outcome
        return arrived

    async def _outcome(self, document: Parts, failed: Mapping[str, SinkOutcome]) -> SinkOutcome:
        key = document.idempotency_key
        if key in failed:
            return failed[key]
        if self._done.get(key, 0) < len(document.parts):
            return NotTried()
        return await self._finished(key)

    async def _finished(self, key: str) -> Accepted:
        self._done.pop(key, None)
        receipts = [receipt for receipt in self._receipts.pop(key, []) if receipt]
        if key in self._kept:
            self._kept.discard(key)
            await self._store.write(lambda t: t.execute("DELETE FROM split_progress WHERE key = ?", (key,)))
        return Accepted(", ".join(receipts)[:200])

    async def lookup(self, delivery: Delivery) -> Accepted | Failed | None:
        """Asks for each part that may have arrived; Accepted when all have, None when one surely has not."""
        await self._load()
        key = delivery.idempotency_key
        done = self._done.get(key, 0)
        for number, part in enumerate(cast(Parts, delivery).parts[done:], start=done + 1):
            found = await cast(Lookup, self._sink).lookup(_under(part, key, number))
            if not isinstance(found, Accepted):
                return found
            self._done[key] = self._done.get(key, 0) + 1
            self._receipts.setdefault(key, []).append(found.receipt)
        return await self._finished(key)

    # ── what is kept ─────────────────────────────────────────────────────────────────────────────

    async def _load(self) -> None:
        if self._loaded:
            return
        rows = await self._store.read(
            lambda t: t.execute("SELECT key, done FROM split_progress WHERE route = ?", (self._route,))
        )
        self._done.update({key: done for key, done in rows if key not in self._done})
        self._kept.update(key for key, _ in rows)
        self._loaded = True

    async def _keep(self, keys: Sequence[str]) -> None:
        """Writes down how far these have got, before anybody is told that they failed."""
        if not keys:
            return
        rows = [(key, self._route, self._done[key]) for key in keys]

        def work(transaction: Transaction) -> None:
            for row in rows:
                transaction.execute(
                    "INSERT INTO split_progress VALUES (?, ?, ?) "
                    "ON CONFLICT DO UPDATE SET done = max(done, excluded.done)",
                    row,
                )

        await self._store.write(work)
        self._kept.update(keys)


def forget(transaction: Transaction, key: str) -> None:
    """How far a document has got is of no use any more: it was given up."""
    transaction.execute("DELETE FROM split_progress WHERE key = ?", (key,))


def _under(part: Delivery, key: str, number: int) -> Delivery:
    """The part under its document's key, which a replay may have given anew."""
    own = part_key(key, number)
    return part if part.idempotency_key == own else structs.replace(part, idempotency_key=own)


def _silent(part: Delivery) -> Unknown:
    return Unknown(
        TransientError(f"the sink did not say what became of {part.idempotency_key}", code="no_outcome")
    )
