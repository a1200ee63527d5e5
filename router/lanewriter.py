"""What a route changes in its lanes, written in one transaction of the journal."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from msgspec import Struct, structs

from canonical.errors import Invalid
from canonical.event import Event, encode
from canonical.ports import Outcome, Transaction
from canonical.spec import Log
from deadletter import store as dead_letters
from deadletter.entry import DeadLetter
from router import lanes
from router.failpoint import failpoint
from router.journal import IngestBatch, Journal, JournalCorrupt, StorageError
from router.lanes import Entry
from router.notices import notice_message
from router.work import Work

__all__ = ["Change", "LaneWriter", "letter_of"]

_STORAGE_RETRY_S = 1.0


class Change(Struct):
    """One thing to write. ``entry`` to put, ``removed`` (key, position) to take out, a letter with either."""

    work: Work | None = None
    entry: Entry | None = None
    removed: tuple[str, int] | None = None
    letter: DeadLetter | None = None
    recovered: int | None = None
    notice: Event | None = None


class LaneWriter:
    """Writes the lanes of one route, with their dead letters and notices."""

    def __init__(self, route: str, journal: Journal, log: Log) -> None:
        self._route, self._journal, self._log = route, journal, log

    async def write(self, changes: Sequence[Change]) -> None:
        """Durable when it returns; a disk that does not take it is asked again until it does."""
        for change in changes:
            if change.letter is not None and change.work is not None:
                change.letter = await self._with_bytes(change.letter, change.work.position)
        notices = [change.notice for change in changes if change.notice is not None]
        batch = IngestBatch(
            adapter="hub",
            messages=[notice_message(notice) for notice in notices],
            within=lambda transaction, outcomes: _apply(transaction, self._route, changes, outcomes),
        )
        failpoint("engine.before_lane")
        while True:
            try:
                await self._journal.append(batch, urgent=True)
                break
            except StorageError as error:
                self._log.error("lane_not_written", route=self._route, error=error.message)
                await asyncio.sleep(_STORAGE_RETRY_S)
        failpoint("engine.after_lane")

    async def _with_bytes(self, letter: DeadLetter, position: int) -> DeadLetter:
        try:
            raw = await self._journal.raw(position)
        except JournalCorrupt:
            raw = None
        if raw is None:
            return letter
        return structs.replace(
            letter, body=raw.body, content_type=raw.content_type, attributes=raw.attributes
        )


def _apply(
    transaction: Transaction, route: str, changes: Sequence[Change], outcomes: Sequence[Outcome]
) -> Sequence[Outcome]:
    for change in changes:
        identifier = dead_letters.add(transaction, change.letter) if change.letter is not None else None
        if change.entry is not None:
            entry = (
                change.entry if identifier is None else structs.replace(change.entry, dead_letter=identifier)
            )
            lanes.put(transaction, entry)
        if change.removed is not None:
            lanes.remove(transaction, route, [change.removed])
        if change.recovered is not None:
            dead_letters.resolve(transaction, change.recovered, "recovered", at=time.time())
    return outcomes


def letter_of(route: str, work: Work, why: str) -> DeadLetter:
    """The dead letter of a delivery, its bytes still to come."""
    event, error, now = work.event, work.error, time.time()
    return DeadLetter(
        kind="delivery",
        stage=error.stage.value if error else "sending",
        code=error.code if error else "discarded",
        error=why,
        errors=error.errors if isinstance(error, Invalid) else (),
        adapter=event.source.rpartition("/")[2],
        plant=event.plantid or "",
        type=event.type,
        route=route,
        key=work.key,
        position=work.position,
        message_id=event.srcmsgid or "",
        event=encode(event),
        attempts=work.attempts,
        first_at=work.entered_at or now,
        last_at=now,
    )
