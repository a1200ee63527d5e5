"""Tells people when a partner does not acknowledge an interchange of ours in the agreed time, or refuses it.

Each is told once, as ``integration.exception.changed``: the event and the mark that it was told commit
together. What is acknowledged after all is told as resolved.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from msgspec import Struct, structs

from canonical.duration import format_duration
from canonical.event import Event
from canonical.ports import Outcome, Transaction
from config.exceptions import PARTNERS
from router.journal import IngestBatch, Journal
from router.notices import HUB, notice, notice_message

__all__ = ["Overdue"]

_SUFFIX: Final = "integration.exception.changed"
_AT_ONCE: Final = 100
_PRIORITY: Final = 2
_COLUMNS: Final = (
    "key, route, standard, sender, receiver, reference, event, plant, subject, answer_due_s, sent_at, "
    "answered_at, answer, detail, told"
)


class _Sent(Struct, frozen=True):
    """A row of ``interchanges_sent``, in the order of ``_COLUMNS``."""

    key: str
    route: str
    standard: str
    sender: str
    receiver: str
    reference: str
    event: str
    plant: str
    subject: str
    answer_due_s: float | None
    sent_at: float | None
    answered_at: float | None
    answer: str
    detail: str
    told: str


class Overdue:
    """Looks through what was sent; ``owners`` gives the team of each route."""

    def __init__(
        self, journal: Journal, clock: Callable[[], datetime], owners: Callable[[], Mapping[str, str]]
    ) -> None:
        self._journal, self._clock, self._owners = journal, clock, owners

    async def look(self) -> int:
        """Tells what is to be told now; returns how many. Called every few seconds."""
        now = self._clock().timestamp()

        def due(transaction: Transaction) -> list[tuple[Any, ...]]:
            return transaction.execute(
                f"SELECT {_COLUMNS} FROM interchanges_sent WHERE due_at IS NOT NULL "  # noqa: S608 - ours
                "AND told NOT IN ('settled', 'rejected') "
                "AND (answered_at IS NOT NULL OR (told = '' AND due_at <= ?)) ORDER BY due_at LIMIT ?",
                (now, _AT_ONCE),
            )

        rows = [_Sent(*row) for row in await self._journal.read(due)]
        if not rows:
            return 0
        events = [event for row in rows if (event := self._event(row)) is not None]
        marks = [(_mark(row), row.key) for row in rows]

        def mark(transaction: Transaction, outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
            for told, key in marks:
                transaction.execute("UPDATE interchanges_sent SET told = ? WHERE key = ?", (told, key))
            return outcomes

        batch = IngestBatch(adapter="hub", messages=[notice_message(event) for event in events], within=mark)
        await self._journal.append(batch, urgent=True)
        return len(events)

    def _event(self, row: _Sent) -> Event | None:
        mark = _mark(row)
        if mark == "settled" and row.told != "overdue":
            return None
        queue = self._owners().get(row.route) or PARTNERS
        data: dict[str, Any] = {
            "exception": f"acknowledgement/{row.standard}/{row.receiver}/{row.reference}",
            "status": "resolved" if mark == "settled" else "open",
            "queue": queue,
            "priority": _PRIORITY,
            "summary": _summary(row, mark),
        }
        if mark == "settled":
            data["resolution"] = "acknowledged"
        made = notice(_SUFFIX, f"{HUB}/routes/{row.route}", f"acknowledgement-{mark}-{row.key}", None, data)
        return structs.replace(made, plantid=row.plant or None, causationid=row.event)


def _mark(row: _Sent) -> str:
    if row.answered_at is None:
        return "overdue"
    return "rejected" if row.answer == "rejected" else "settled"


def _summary(row: _Sent, mark: str) -> str:
    what = f"{row.standard} interchange {row.reference} to {row.receiver} ({row.subject or row.event})"
    if mark == "settled":
        return f"{what} was acknowledged"
    if mark == "rejected":
        return f"{what} was refused by its receiver: {row.detail or 'without a reason'}"
    sent = datetime.fromtimestamp(row.sent_at or 0.0, UTC).isoformat(timespec="seconds")
    within = format_duration(row.answer_due_s or 0.0)
    return f"{what}, sent {sent}, was not acknowledged within {within}: ask its receiver whether it is there"
