"""What went out on a route, and when, in the order of the journal. It is read as the replay goes on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from canonical.ports import Transaction
from router.shadow import SHADOW
from router.spans import Span, positions

__all__ = ["Delivered", "committed_before"]

_AT_ONCE: Final = 200


class _Detail(Struct, array_like=True):
    """What a row of ``deliveries`` holds (router.journal.sqlite)."""

    delivered: list[Span]
    attempts: Raw


_details = msgspec.msgpack.Decoder(_Detail)


class Delivered:
    """The deliveries of a route from a position on. A row covers a range, and ranges overlap: what is ahead
    of the reader is kept, about a window of the route's."""

    def __init__(self, route: str, first: int) -> None:
        self._route, self._first = route, first
        self._mark = (0, 0)
        self._known: dict[int, float] = {}

    def up_to(self, transaction: Transaction, last: int) -> dict[int, float]:
        """When each position up to ``last``, beyond those asked for before, was delivered last."""
        for first, number, at, detail in self._rows(transaction, last):
            self._mark = (first, number)
            for position in positions([entry for entry in detail.delivered if entry[1] != SHADOW]):
                if position >= self._first:
                    self._known[position] = max(at, self._known.get(position, 0.0))
        found = {position: at for position, at in self._known.items() if position <= last}
        self._known = {position: at for position, at in self._known.items() if position > last}
        self._first = last + 1
        return found

    def _rows(self, transaction: Transaction, last: int) -> Iterator[tuple[int, int, float, _Detail]]:
        while True:
            rows = transaction.execute(
                "SELECT first, id, at, detail FROM deliveries WHERE route = ? AND (first, id) > (?, ?) "
                "AND first <= ? AND last >= ? ORDER BY first, id LIMIT ?",
                (self._route, *self._mark, last, self._first, _AT_ONCE),
            )
            for first, number, at, text in rows:
                yield first, number, at, _decoded(text)
            if len(rows) < _AT_ONCE:
                return


def _decoded(text: Any) -> _Detail:
    try:
        return _details.decode(text)
    except msgspec.DecodeError:  # the disk changed it: what it says counts for nothing
        return _Detail(delivered=[], attempts=Raw())


def committed_before(transaction: Transaction, at: float) -> int:
    """The newest position that was taken in before a moment: 0 when none was.

    Bundles are in the order of their commits; the time stands behind their bytes, so that it is bisected.
    """
    ends = transaction.execute("SELECT min(first), max(first) FROM bundles")[0]
    if ends[0] is None:
        return 0
    low, high = int(ends[0]), int(ends[1]) + 1
    while low < high:
        middle = (low + high) // 2
        first, committed_at = transaction.execute(
            "SELECT first, committed_at FROM bundles WHERE first <= ? ORDER BY first DESC LIMIT 1", (middle,)
        )[0]
        if committed_at < at:
            low = middle + 1
        else:
            high = int(first)
    found = transaction.execute(
        "SELECT last FROM bundles WHERE first < ? ORDER BY first DESC LIMIT 1", (high,)
    )
    return int(found[0][0]) if found else int(ends[0]) - 1
