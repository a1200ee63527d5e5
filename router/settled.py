"""What a route had delivered when it ended, and the rest of its state did not know yet.

A delivery is settled, and its place given up (the cursor moves, the row leaves its lane), in transactions
of their own. A crash between them would deliver again what is known to have arrived, and count it twice;
so a route that starts looks for that first.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec
from msgspec import Raw, Struct

from canonical.ports import Transaction
from router.spans import Span, positions

__all__ = ["beyond", "out_of_lanes"]

_NEWEST: Final = 100_000
"""So many settlements, of all routes, are looked at. What they do not show is delivered again, under the
same idempotency key."""


class _Detail(Struct, array_like=True):
    """What a row of ``deliveries`` holds (router.journal.sqlite)."""

    delivered: list[Span]
    attempts: Raw
    measured: Raw = Raw()
    cursor: int | None = None


_details = msgspec.msgpack.Decoder(_Detail)


def beyond(transaction: Transaction, route: str, cursor: int) -> set[int]:
    """Positions after the route's cursor that were delivered.

    A route that was forgotten and begins anew delivers again: settlements with a later cursor are not its.
    """
    return {
        position
        for _, detail in _newest(transaction, route, cursor + 1, 2**62)
        if detail.cursor is not None and detail.cursor <= cursor
        for position in positions(detail.delivered)
        if position > cursor
    }


def out_of_lanes(transaction: Transaction, route: str) -> list[tuple[str, int, int | None]]:
    """(key, position, dead letter) of the rows in the route's lanes that were delivered from there."""
    rows = transaction.execute(
        "SELECT key, position, dead_letter, entered_at FROM lanes WHERE route = ?", (route,)
    )
    if not rows:
        return []
    wanted = [int(row[1]) for row in rows]
    delivered: dict[int, float] = {}
    for at, detail in _newest(transaction, route, min(wanted), max(wanted)):
        for position in positions(detail.delivered):
            delivered[position] = max(at, delivered.get(position, 0.0))
    return [
        (key, position, letter)
        for key, position, letter, entered_at in rows
        if delivered.get(position, 0.0) >= entered_at
    ]


def _newest(transaction: Transaction, route: str, low: int, high: int) -> Iterator[tuple[float, _Detail]]:
    """(at, detail) of the route's newest settlements that may hold positions from ``low`` to ``high``."""
    rows = transaction.execute(
        "SELECT at, detail FROM deliveries WHERE id > (SELECT max(id) FROM deliveries) - ? "
        "AND route = ? AND last >= ? AND first <= ?",
        (_NEWEST, route, low, high),
    )
    for at, detail in rows:
        try:
            yield at, _details.decode(detail)
        except msgspec.DecodeError:  # the disk changed it: what it says counts for nothing
            continue
