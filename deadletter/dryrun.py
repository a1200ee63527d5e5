"""What a retry would do, without doing it: each dead letter held against today's configuration.

Nothing is delivered, recorded or changed. What a target would say cannot be known: what it refused
before, and can still be mapped, is told apart from what would surely come through.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal, Protocol

from msgspec import Struct

from canonical.ports import Store, Transaction
from deadletter import store
from deadletter.entry import DeadLetter, fingerprint
from deadletter.service import DeadLetters

__all__ = ["OUTCOMES", "DryRun", "Outcome", "Reason", "Sent", "Summary", "Trial", "Verdict"]

Outcome = Literal[
    "would_deliver", "target_decides", "would_park", "would_fail", "nothing_to_send", "not_possible"
]
"""``would_deliver``: what failed before holds now. ``target_decides``: it can be sent, and its target refused
it before. ``would_park``: a code is unknown. ``nothing_to_send``: it is recorded, or left out by the route's
condition. ``not_possible``: its adapter or route does not run, or it is not open."""
OUTCOMES: Final[tuple[Outcome, ...]] = (
    "would_deliver",
    "target_decides",
    "would_park",
    "would_fail",
    "nothing_to_send",
    "not_possible",
)
_READ_AT_ONCE: Final = 100
MOST: Final = 5000


class Sent(Struct, frozen=True, kw_only=True):
    """What a route would hand to its target."""

    route: str
    to: str
    content_type: str
    payload: bytes


class Verdict(Struct, frozen=True, kw_only=True):
    """What would become of one. ``where``: the route or adapter that ``reason`` is about; ``errors`` are
    (pointer, detail)."""

    dead_letter: int
    outcome: Outcome
    where: str = ""
    code: str = ""
    reason: str = ""
    errors: tuple[tuple[str, str], ...] = ()
    sent: tuple[Sent, ...] = ()


class Reason(Struct, frozen=True, kw_only=True):
    """Verdicts that are alike; ``reason`` and ``example`` are of the newest."""

    outcome: Outcome
    where: str
    code: str
    reason: str
    count: int
    example: int


class Summary(Struct, frozen=True, kw_only=True):
    """Of many: ``total`` are open, the newest ``tried`` of them were looked at; ``items`` are the first."""

    total: int
    tried: int
    outcomes: dict[Outcome, int]
    reasons: list[Reason]
    items: list[Verdict]


class Trial(Protocol):
    """What the hub does for a dry run."""

    async def verdict(self, letter: DeadLetter, content: bytes | None = None) -> Verdict:
        """What a retry would do now; with ``content`` as if it had been edited to that."""
        ...


class DryRun:
    """The service behind CLI, API and console."""

    def __init__(self, kept: Store, letters: DeadLetters, trial: Callable[[], Trial]) -> None:
        """``trial`` makes one for each run, so that all of a run see the same configuration."""
        self._store, self._letters, self._trial = kept, letters, trial

    async def one(self, number: int, content: bytes | None = None) -> Verdict:
        """Of one dead letter. Raises LookupError."""
        letter = await self._letters.show(number)
        if letter.status != "open":
            return Verdict(
                dead_letter=number,
                outcome="not_possible",
                where=letter.route or letter.adapter,
                code=letter.status,
                reason=f"it is {letter.status}; only an open one can be retried",
            )
        return await self._trial().verdict(letter, content)

    async def many(
        self,
        filters: Mapping[str, object],
        *,
        plants: Sequence[str] | None = None,
        sees: Callable[[str, str], bool] = lambda _plant, _type: True,
        limit: int = 20,
        within_s: float = 10.0,
    ) -> Summary:
        """Of the open ones that a filter selects, the newest first, 5,000 and ``within_s`` seconds at most.

        ``limit``: so many verdicts are told one by one. Raises ValueError for an unknown filter.
        """
        wanted = {**filters, "status": "open"}
        total = await self._store.read(lambda t: _count(t, wanted, plants, sees))
        trial, deadline = self._trial(), time.monotonic() + within_s
        tally = _Tally(limit)
        before: int | None = None
        while tally.tried < MOST and time.monotonic() < deadline:
            read = await self._letters.page(wanted, plants=plants, before=before, limit=_READ_AT_ONCE)
            for letter in read:
                if tally.tried >= MOST or time.monotonic() >= deadline:
                    break
                if sees(letter.plant, letter.type):
                    tally.add(await trial.verdict(letter))
                await asyncio.sleep(0)  # the routes deliver meanwhile
            if len(read) < _READ_AT_ONCE:
                break
            before = read[-1].id
        return tally.summary(total)


def _count(
    transaction: Transaction,
    filters: Mapping[str, object],
    plants: Sequence[str] | None,
    sees: Callable[[str, str], bool],
) -> int:
    where, values = store.selection(filters, plants=plants)
    rows = transaction.execute(
        f"SELECT plant, type, count(*) FROM dead_letters WHERE TRUE{where} GROUP BY plant, type",  # noqa: S608
        values,
    )
    return sum(number for plant, type_, number in rows if sees(plant, type_))


class _Tally:
    """Verdicts counted."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._items: list[Verdict] = []
        self._outcomes: Counter[Outcome] = Counter()
        self._newest: dict[tuple[str, str], Verdict] = {}
        self._alike: Counter[tuple[str, str]] = Counter()

    @property
    def tried(self) -> int:
        """How many."""
        return self._outcomes.total()

    def add(self, verdict: Verdict) -> None:
        """One more."""
        self._outcomes[verdict.outcome] += 1
        alike = (verdict.outcome, fingerprint(verdict.where, "", verdict.code, verdict.reason))
        self._newest.setdefault(alike, verdict)
        self._alike[alike] += 1
        if len(self._items) < self._limit:
            self._items.append(verdict)

    def summary(self, total: int) -> Summary:
        """All that was added, the most frequent reason first."""
        reasons = [
            Reason(
                outcome=newest.outcome,
                where=newest.where,
                code=newest.code,
                reason=newest.reason,
                count=self._alike[alike],
                example=newest.dead_letter,
            )
            for alike, newest in self._newest.items()
        ]
        return Summary(
            total=max(total, self.tried),
            tried=self.tried,
            outcomes={outcome: self._outcomes[outcome] for outcome in OUTCOMES},
            reasons=sorted(reasons, key=lambda reason: -reason.count),
            items=self._items,
        )
