"""Interchanges of ours: their control references, and the acknowledgements that they wait for.

A reference is allocated once per delivery, in the transaction that writes the interchange down: it grows
without a gap, is never given twice, and stays the same over attempts and restarts. The rows are kept.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

from msgspec import Struct

from canonical.event import Event
from canonical.ledger import Control
from canonical.ports import Delivery, InterchangeFormatter, Store, Transaction

__all__ = ["Outgoing", "Written", "unsent"]

Counter = tuple[str, str, str]
"""(standard, sender, receiver)."""


class Written(Struct, frozen=True, kw_only=True):
    """An interchange with its reference; ``body`` is what goes out."""

    reference: str
    prepared_at: datetime
    body: bytes


class Outgoing:
    """Writes interchanges down, in the store of the journal."""

    def __init__(self, store: Store, clock: Callable[[], datetime]) -> None:
        self._store, self._clock = store, clock
        self._turns: defaultdict[Counter, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def write(
        self, route: str, formatter: InterchangeFormatter, payload: Any, delivery: Delivery
    ) -> Written:
        """The interchange of a delivery, under the reference that it has or now gets.

        Written anew at each attempt, so that what was mended meanwhile is in it. Raises Invalid for a payload
        that has no form, which uses no reference up, and StorageError.
        """
        control = formatter.control(payload)
        async with self._turns[control.standard, control.sender, control.receiver]:
            found, last = await self._store.read(lambda t: _known(t, delivery.idempotency_key, control))
            if found is None:
                at = self._clock().astimezone(UTC).replace(microsecond=0)
                reference = control.reference or str(last % control.highest + 1)
            else:
                at, reference = datetime.fromtimestamp(found[1], UTC), control.reference or found[0]
            body = formatter.interchange(payload, reference, at)
            written = Written(reference=reference, prepared_at=at, body=body)
            counted = found is None and not control.reference
            row = _row(route, delivery, control, written)
            await self._store.write(lambda t: _keep(t, row, control, int(reference) if counted else None))
        return written

    async def sent(self, deliveries: Sequence[Delivery]) -> None:
        """Notes that the partner has them; from now on their acknowledgements are waited for."""
        now, keys = self._clock().timestamp(), [delivery.idempotency_key for delivery in deliveries]

        def work(transaction: Transaction) -> None:
            for key in keys:
                transaction.execute(
                    "UPDATE interchanges_sent SET sent_at = ?1, due_at = ?1 + answer_due_s "
                    "WHERE key = ?2 AND sent_at IS NULL",
                    (now, key),
                )

        await self._store.write(work)


def unsent(transaction: Transaction, key: str) -> tuple[str, str, str, str] | None:
    """(standard, sender, receiver, reference) of a delivery's interchange that nobody is known to have."""
    rows = transaction.execute(
        "SELECT standard, sender, receiver, reference FROM interchanges_sent "
        "WHERE key = ? AND sent_at IS NULL",
        (key,),
    )
    for standard, sender, receiver, reference in rows:
        return standard, sender, receiver, reference
    return None


def _known(transaction: Transaction, key: str, control: Control) -> tuple[tuple[str, float] | None, int]:
    """((reference, prepared at) that the delivery has, the last number of the counter)."""
    counter = (control.standard, control.sender, control.receiver)
    rows = transaction.execute(
        "SELECT reference, prepared_at FROM interchanges_sent "
        "WHERE key = ? AND standard = ? AND sender = ? AND receiver = ?",
        (key, *counter),
    )
    last = transaction.execute(
        "SELECT last FROM control_numbers WHERE standard = ? AND sender = ? AND receiver = ?", counter
    )
    return (rows[0][0], rows[0][1]) if rows else None, last[0][0] if last else 0


def _row(route: str, delivery: Delivery, control: Control, written: Written) -> tuple[Any, ...]:
    event: Event = delivery.event
    digest = blake2b(written.body, digest_size=16).digest()
    return (
        *(delivery.idempotency_key, route, control.standard, control.sender, control.receiver),
        *(written.reference, event.id, event.plantid or "", event.subject or ""),
        *(written.prepared_at.timestamp(), digest, control.answer_due_s),
    )


def _keep(transaction: Transaction, row: Sequence[Any], control: Control, number: int | None) -> None:
    transaction.execute(
        "INSERT INTO interchanges_sent VALUES "
        "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL, NULL, '', '', '') "
        "ON CONFLICT DO UPDATE SET standard = excluded.standard, sender = excluded.sender, "
        "receiver = excluded.receiver, reference = excluded.reference, prepared_at = excluded.prepared_at, "
        "digest = excluded.digest, answer_due_s = excluded.answer_due_s",
        row,
    )
    if number is not None:
        transaction.execute(
            "INSERT INTO control_numbers VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET last = excluded.last",
            (control.standard, control.sender, control.receiver, number),
        )
