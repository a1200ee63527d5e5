"""Follows the journal and opens tasks; people assign, comment and resolve them; what is over closes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import msgspec

from canonical.event import Event
from canonical.ports import Outcome, Recorded, Transaction
from canonical.spec import Log
from deadletter.service import Audit, NotPossible
from gateway.exceptions import tasks
from gateway.exceptions.causes import SOURCE, TYPES, Cause, Rules, cause_of
from gateway.exceptions.tasks import Note, Task
from gateway.projections.following import Follower
from router.journal import IngestBatch, Journal
from router.notices import notice, notice_message

__all__ = ["Exceptions"]

_POSITION: Final = "exceptions_position"
_SUFFIX: Final = "integration.exception.changed"
_KEEP_EVERY: Final = 10_000  # positions; what lies between has no cause, or it would be kept at once
_MEASURED_S: Final = 30 * 86_400.0


class Exceptions:
    """The tasks of one hub. A target of ``gateway.projections.following.Follower``."""

    def __init__(
        self,
        journal: Journal,
        audit: Audit,
        rules: Callable[[], Rules],
        clock: Callable[[], datetime],
        log: Log,
    ) -> None:
        """``rules``: what the configuration says now."""
        self._journal, self._audit, self._rules, self._clock = journal, audit, rules, clock
        self._position = self._kept = 0
        self._follower = Follower("exceptions", self, log, types=TYPES)

    async def open(self) -> None:
        """Goes on where it stood."""
        rows = await self._journal.read(
            lambda t: t.execute("SELECT value FROM meta WHERE key = ?", (_POSITION,))
        )
        self._position = min(int(rows[0][0]), self._journal.head) if rows else 0
        self._kept = self._position
        self._follower.start(self._journal)

    async def close(self) -> None:
        """Ends it; what was not looked at, is at the next start."""
        await self._follower.stop()

    # ── following ────────────────────────────────────────────────────────────────────────────────

    @property
    def position(self) -> int:
        """Up to here everything was looked at."""
        return self._position

    async def add(self, recorded: Sequence[Recorded], reached: int) -> None:
        """See ``Target``."""
        rules, now = self._rules(), self._now()
        struck: dict[str, tuple[Cause, int]] = {}
        for item in recorded:
            cause = cause_of(item.event, rules)
            if cause is not None:
                times = struck[cause.key][1] + 1 if cause.key in struck else 1
                struck[cause.key] = cause, times

        def work(transaction: Transaction) -> None:
            for cause, times in struck.values():
                tasks.strike(transaction, cause, now, times)
            transaction.execute(
                "INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
                (_POSITION, str(reached)),
            )

        if struck or reached - self._kept > _KEEP_EVERY:
            await self._journal.write(work)
            self._kept = reached
        self._position = reached
        if struck:
            await self._tell()

    async def look(self) -> None:
        """Closes what is over: nothing waits for the code any more, no dead letter of the group is open."""
        now = self._now()
        if await self._journal.read(lambda t: _over(t)):
            await self._journal.write(
                lambda t: [tasks.resolve(t, task, now, "hub", why) for task, why in _over(t)]
            )
        await self._tell()

    async def _tell(self) -> None:
        """Publishes what changed, each version once."""
        while changed := await self._journal.read(tasks.untold):
            messages = [notice_message(_event(task)) for task in changed]
            within = partial(_mark_told, changed)
            await self._journal.append(
                IngestBatch(adapter="hub", messages=messages, within=within), urgent=True
            )

    # ── what people do ───────────────────────────────────────────────────────────────────────────

    async def page(
        self,
        filters: Mapping[str, object],
        *,
        open_only: bool = True,
        after: tuple[int, float, int] | None = None,
        limit: int = 100,
    ) -> list[Task]:
        """See ``tasks.page``."""
        return await self._journal.read(
            lambda t: tasks.page(t, filters, open_only=open_only, after=after, limit=limit)
        )

    async def show(self, identifier: int) -> tuple[Task, list[Note]]:
        """The task and its history. Raises LookupError."""
        task, history = await self._journal.read(
            lambda t: (tasks.find(t, identifier), tasks.notes(t, identifier))
        )
        if task is None:
            raise _unknown(identifier)
        return task, history

    async def assign(self, identifier: int, to: str, *, by: str) -> Task:
        """Somebody takes it on; empty gives it back to its queue. Raises LookupError, NotPossible."""
        status: tasks.State = "assigned" if to else "open"
        text = f"assigned to {to}" if to else "given back"
        return await self._change(identifier, "exception.assign", by, text, status=status, assignee=to)

    async def comment(self, identifier: int, text: str, *, by: str) -> Task:
        """A note for the others. Raises LookupError."""

        def work(transaction: Transaction) -> Task:
            task = tasks.find(transaction, identifier)
            if task is None:
                raise _unknown(identifier)
            tasks.note(transaction, identifier, self._now(), by, text)
            self._audit(transaction, by, "exception.comment", f"exception/{identifier}", {"text": text})
            return task

        return await self._journal.write(work)

    async def resolve(self, identifier: int, resolution: str, *, by: str) -> Task:
        """Ends it; when its cause strikes again it is reopened, and its clock goes on.

        Raises LookupError, NotPossible.
        """

        def work(transaction: Transaction) -> Task:
            task = _open(transaction, identifier)
            self._audit(
                transaction, by, "exception.resolve", f"exception/{identifier}", {"resolution": resolution}
            )
            return tasks.resolve(transaction, task, self._now(), by, resolution)

        task = await self._journal.write(work)
        await self._tell()
        return task

    async def _change(self, identifier: int, act: str, by: str, text: str, **changes: Any) -> Task:
        def work(transaction: Transaction) -> Task:
            task = _open(transaction, identifier)
            before = {name: getattr(task, name) for name in changes}
            self._audit(transaction, by, act, f"exception/{identifier}", {"before": before, "after": changes})
            tasks.note(transaction, identifier, self._now(), by, text)
            return tasks.put(transaction, msgspec.structs.replace(task, version=task.version + 1, **changes))

        task = await self._journal.write(work)
        await self._tell()
        return task

    async def resolution_time(self) -> dict[str, float | int | None]:
        """``p50_s``, ``p90_s`` and ``n`` of what was resolved within 30 days, from opening to resolution."""
        found = await self._journal.read(lambda t: tasks.durations(t, self._now() - _MEASURED_S))
        if not found:
            return {"p50_s": None, "p90_s": None, "n": 0}
        at = [found[min(int(len(found) * share), len(found) - 1)] for share in (0.5, 0.9)]
        return {"p50_s": at[0], "p90_s": at[1], "n": len(found)}

    def _now(self) -> float:
        return self._clock().timestamp()


def _mark_told(
    told: Sequence[Task], transaction: Transaction, outcomes: Sequence[Outcome]
) -> Sequence[Outcome]:
    tasks.mark_told(transaction, told)
    return outcomes


def _unknown(identifier: int) -> LookupError:
    return LookupError(f"there is no exception {identifier}")


def _open(transaction: Transaction, identifier: int) -> Task:
    task = tasks.find(transaction, identifier)
    if task is None:
        raise _unknown(identifier)
    if not task.open:
        raise NotPossible(f"exception {identifier} is resolved already")
    return task


def _over(transaction: Transaction) -> list[tuple[Task, str]]:
    """Open tasks whose cause is gone, and why."""
    found = []
    for task in tasks.page(transaction, {}, limit=10_000):
        refs = task.refs
        if "value" in refs and not transaction.execute(
            "SELECT 1 FROM lanes WHERE state = 'parked' AND code_domain = ? AND code_system = ? "
            "AND code_value = ? LIMIT 1",
            (refs["domain"], refs["system"], refs["value"]),
        ):
            found.append((task, "nothing waits for this code any more"))
        elif "fingerprint" in refs and not transaction.execute(
            "SELECT 1 FROM dead_letters WHERE status IN ('open', 'retrying') AND fingerprint = ? LIMIT 1",
            (refs["fingerprint"],),
        ):
            found.append((task, "no dead letter of this group is open any more"))
    return found


def _event(task: Task) -> Event:
    data = {
        "exception": f"exception-{task.id}",
        "status": task.status,
        "queue": task.queue,
        "priority": task.priority,
        "resolution": task.resolution or None,
        "summary": task.title,
    }
    told = {name: value for name, value in data.items() if value is not None}
    made = notice(_SUFFIX, SOURCE, f"exception-{task.id}-{task.version}", None, told)
    at = datetime.fromtimestamp(task.resolved_at or task.last_at, UTC)
    return msgspec.structs.replace(made, plantid=task.plant or None, time=at)
