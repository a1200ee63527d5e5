"""The retry of many: a selection that is frozen when it is asked for, tried at a rate, each once.

What fails anew, or arrives meanwhile, is counted apart and not tried. Progress is in the store: a
retry goes on after a restart where it stood, unless it was stopped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from canonical.errors import CrossplantError
from canonical.ports import Store, Transaction
from canonical.spec import Log
from deadletter import store
from deadletter.service import Audit, DeadLetters, NotPossible

__all__ = ["TABLES", "Again", "Bulk", "Progress"]

State = Literal["running", "stopped", "done"]

TABLES = (
    """CREATE TABLE IF NOT EXISTS retries (
        id INTEGER PRIMARY KEY AUTOINCREMENT, state TEXT NOT NULL, actor TEXT NOT NULL, at REAL NOT NULL,
        filter TEXT NOT NULL, plants TEXT NOT NULL, rate REAL NOT NULL, total INTEGER NOT NULL,
        newest INTEGER NOT NULL, ended_at REAL)""",
    """CREATE TABLE IF NOT EXISTS retry_items (
        retry INTEGER NOT NULL, dead_letter INTEGER NOT NULL, state TEXT NOT NULL, detail TEXT NOT NULL,
        PRIMARY KEY (retry, dead_letter)) WITHOUT ROWID""",
    """CREATE INDEX IF NOT EXISTS retry_items_waiting ON retry_items (retry, dead_letter)
        WHERE state = 'waiting'""",
)
_AT_ONCE: Final = 32
_STEP_S: Final = 0.1
_STORAGE_S: Final = 1.0
MOST_PER_S: Final = 1000.0


class Progress(Struct, frozen=True, kw_only=True):
    """How far a retry is. ``total`` were selected: ``waiting`` are not tried yet, ``under_way`` are,
    ``recovered`` ended well, ``failed`` are open again, ``passed_over`` were not open any more, or could
    not be tried (see ``problem``). ``arrived``: dead letters of the same selection that came since; they are
    not tried. ``rate``: so many a second, at most.
    """

    id: int
    state: State
    by: str
    at: float
    filter: dict[str, Any]
    rate: float
    total: int
    waiting: int
    under_way: int
    recovered: int
    failed: int
    passed_over: int
    arrived: int
    problem: str
    ended_at: float | None


class Again(Struct, frozen=True, kw_only=True):
    """A dead letter that a retry did not end: it failed anew, or was passed over. ``error`` says why."""

    dead_letter: int
    state: Literal["failed", "passed_over"]
    error: str


class Bulk:
    """The retries of one hub. ``open`` goes on with what a restart interrupted."""

    def __init__(
        self, kept: Store, letters: DeadLetters, audit: Audit, clock: Callable[[], datetime], log: Log
    ) -> None:
        self._store, self._letters, self._audit = kept, letters, audit
        self._clock, self._log = clock, log
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._trying: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Goes on with the retries that were running."""
        for number in await self._store.write(_take_up):
            self._start(number)

    async def close(self) -> None:
        """Ends the work; what is under way is decided, the rest waits for the next start."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        await asyncio.gather(*self._trying, return_exceptions=True)

    # ── what people ask ──────────────────────────────────────────────────────────────────────────

    async def begin(
        self,
        filters: Mapping[str, object],
        *,
        by: str,
        rate: float,
        reason: str = "",
        plants: Sequence[str] | None = None,
        sees: Callable[[str, str], bool] = lambda _plant, _type: True,
    ) -> Progress:
        """Freezes what is open now and begins; ``reason`` goes into the audit. Raises ValueError for a
        filter or rate that is none, NotPossible when nothing is selected."""
        if not 0.0 < rate <= MOST_PER_S:
            raise ValueError(f"the rate is to be more than 0 and at most {MOST_PER_S:g} a second")
        now = self._clock().timestamp()

        def work(transaction: Transaction) -> int:
            where, values = store.selection(filters, plants=plants)
            rows = transaction.execute(
                f"SELECT id, plant, type FROM dead_letters WHERE status = 'open'{where} ORDER BY id",  # noqa: S608
                values,
            )
            chosen = [number for number, plant, type_ in rows if sees(plant, type_)]
            if not chosen:
                raise NotPossible("no open dead letter is among them")
            newest = transaction.execute("SELECT max(id) FROM dead_letters")[0][0]
            text = msgspec.json.encode(dict(filters)).decode()
            whose = msgspec.json.encode(plants).decode()
            (number,) = transaction.execute(
                "INSERT INTO retries (state, actor, at, filter, plants, rate, total, newest) "
                "VALUES ('running', ?, ?, ?, ?, ?, ?, ?) RETURNING id",
                (by, now, text, whose, rate, len(chosen), newest),
            )[0]
            for start in range(0, len(chosen), 500):
                part = chosen[start : start + 500]
                marks = ", ".join(["(?, ?, 'waiting', '')"] * len(part))
                flat = [value for letter in part for value in (number, letter)]
                transaction.execute(f"INSERT INTO retry_items VALUES {marks}", flat)  # noqa: S608
            told = {"filter": dict(filters), "rate": rate, "total": len(chosen)}
            told |= {"reason": reason} if reason else {}
            self._audit(transaction, by, "retry.begin", f"retry/{number}", told)
            return int(number)

        number = await self._store.write(work)
        self._start(number)
        return await self.show(number)

    async def stop(self, number: int, *, by: str, reason: str = "") -> Progress:
        """Nothing more is tried until ``resume``. Raises LookupError, NotPossible."""
        await self._turn(number, "running", "stopped", by, reason)
        task = self._tasks.pop(number, None)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await asyncio.gather(*self._trying, return_exceptions=True)
        return await self.show(number)

    async def resume(self, number: int, *, by: str, reason: str = "") -> Progress:
        """Goes on with what was not tried yet. Raises LookupError, NotPossible."""
        await self._turn(number, "stopped", "running", by, reason)
        self._start(number)
        return await self.show(number)

    async def show(self, number: int) -> Progress:
        """How far it is. Raises LookupError."""
        found = await self._store.read(lambda t: _progress(t, "WHERE id = ?", (number,)))
        if not found:
            raise LookupError(f"there is no retry {number}")
        return found[0]

    async def unended(self, number: int, limit: int = 50) -> list[Again]:
        """What it did not end so far, the newest dead letter first."""

        def work(transaction: Transaction) -> list[Again]:
            rows = transaction.execute(
                "SELECT i.dead_letter, i.state, i.detail, d.error FROM retry_items AS i "
                "JOIN dead_letters AS d ON d.id = i.dead_letter "
                "WHERE i.retry = ? AND (i.state = 'passed_over' OR "
                "(i.state = 'tried' AND d.status = 'open')) ORDER BY i.dead_letter DESC LIMIT ?",
                (number, limit),
            )
            return [
                Again(
                    dead_letter=letter,
                    state="failed" if state == "tried" else "passed_over",
                    error=detail or error,
                )
                for letter, state, detail, error in rows
            ]

        return await self._store.read(work)

    async def page(self, *, before: int | None = None, limit: int = 100) -> list[Progress]:
        """The newest first, those with an id below ``before``."""
        where = "" if before is None else "WHERE id < ?"
        values = (limit,) if before is None else (before, limit)
        return await self._store.read(lambda t: _progress(t, f"{where} ORDER BY id DESC LIMIT ?", values))

    async def _turn(self, number: int, old: State, new: State, by: str, reason: str) -> None:
        told = {"reason": reason} if reason else {}

        def work(transaction: Transaction) -> None:
            rows = transaction.execute("SELECT state FROM retries WHERE id = ?", (number,))
            if not rows:
                raise LookupError(f"there is no retry {number}")
            if rows[0][0] != old:
                raise NotPossible(f"retry {number} is {rows[0][0]}, not {old}")
            transaction.execute("UPDATE retries SET state = ? WHERE id = ?", (new, number))
            self._audit(transaction, by, f"retry.{new}", f"retry/{number}", told)

        await self._store.write(work)

    # ── the work ─────────────────────────────────────────────────────────────────────────────────

    def _start(self, number: int) -> None:
        self._tasks[number] = asyncio.create_task(self._run(number), name=f"retry {number}")

    async def _run(self, number: int) -> None:
        now = asyncio.get_running_loop().time
        due = now()
        while True:
            try:
                takes_s = await self._some(number)
            except CrossplantError as error:  # the disk is full, say: nothing is marked as tried
                self._log.error("retry_held_up", retry=number, error=error.message)
                takes_s = _STORAGE_S
            if takes_s is None:
                return
            due = max(due + takes_s, now() - _STEP_S)  # a short delay is made up for, a long one is not
            await asyncio.sleep(due - now())

    async def _some(self, number: int) -> float | None:
        """Tries the next few, those of one lane one after the other; None when none is left.

        The seconds that so many take at the rate asked for.
        """
        rate, by = await self._store.read(lambda t: _order(t, number))
        wanted = max(1, min(_AT_ONCE, int(rate * _STEP_S)))
        lanes = await self._store.read(lambda t: _next(t, number, wanted))
        if not lanes:
            await self._store.write(lambda t: self._end(t, number))
            return None
        await asyncio.gather(*(self._lane(number, letters, by) for letters in lanes))
        return float(sum(len(letters) for letters in lanes) / rate)

    async def _lane(self, number: int, letters: Sequence[int], by: str) -> None:
        for letter in letters:
            trying = asyncio.create_task(self._try(number, letter, by))
            self._trying.add(trying)
            trying.add_done_callback(self._trying.discard)
            await asyncio.shield(trying)  # cut off between claim and end, the dead letter would hang

    async def _try(self, number: int, letter: int, by: str) -> None:
        def claimed(transaction: Transaction) -> None:
            _mark(transaction, number, letter, "tried")

        try:
            await self._letters.retry(letter, by=by, retry=number, claimed=claimed)
        except (LookupError, NotPossible) as error:
            text = str(error)
            await self._store.write(lambda t: _mark(t, number, letter, "passed_over", text))

    def _end(self, transaction: Transaction, number: int) -> None:
        transaction.execute(
            "UPDATE retries SET state = 'done', ended_at = ? WHERE id = ? AND state = 'running'",
            (self._clock().timestamp(), number),
        )


def _take_up(transaction: Transaction) -> list[int]:
    """The retries that were running. Messages whose retry was cut off by a crash are open again, and wait."""
    transaction.execute(
        "UPDATE retry_items SET state = 'waiting' WHERE state = 'tried' AND dead_letter IN "
        "(SELECT id FROM dead_letters WHERE kind = 'message' AND status = 'retrying') AND retry IN "
        "(SELECT id FROM retries WHERE state != 'done')"
    )
    transaction.execute(
        "UPDATE dead_letters SET status = 'open' WHERE kind = 'message' AND status = 'retrying'"
    )
    return [number for (number,) in transaction.execute("SELECT id FROM retries WHERE state = 'running'")]


def _order(transaction: Transaction, number: int) -> tuple[float, str]:
    """(rate, who asked for it)"""
    ((rate, actor),) = transaction.execute("SELECT rate, actor FROM retries WHERE id = ?", (number,))
    return float(rate), str(actor)


def _next(transaction: Transaction, number: int, limit: int) -> list[list[int]]:
    """The oldest that wait, by lane: messages of one adapter, deliveries of one key keep their order."""
    rows = transaction.execute(
        "SELECT i.dead_letter, d.kind, d.adapter, d.route, d.lane_key FROM retry_items AS i "
        "JOIN dead_letters AS d ON d.id = i.dead_letter "
        "WHERE i.retry = ? AND i.state = 'waiting' ORDER BY i.dead_letter LIMIT ?",
        (number, limit),
    )
    lanes: dict[tuple[str, str], list[int]] = {}
    for letter, kind, adapter, route, key in rows:
        lanes.setdefault((adapter, "") if kind == "message" else (route, key), []).append(letter)
    return list(lanes.values())


def _mark(transaction: Transaction, number: int, letter: int, state: str, detail: str = "") -> None:
    transaction.execute(
        "UPDATE retry_items SET state = ?, detail = ? WHERE retry = ? AND dead_letter = ?",
        (state, detail, number, letter),
    )


def _progress(transaction: Transaction, clause: str, values: Sequence[object]) -> list[Progress]:
    rows = transaction.execute(
        f"SELECT id, state, actor, at, filter, plants, rate, total, newest, ended_at FROM retries {clause}",  # noqa: S608 - clauses of ours
        values,
    )
    return [_counted(transaction, row) for row in rows]


def _counted(transaction: Transaction, row: Sequence[Any]) -> Progress:
    number, state, by, at, text, whose, rate, total, newest, ended_at = row
    counts = {"waiting": 0, "under_way": 0, "recovered": 0, "failed": 0, "passed_over": 0}
    for item, status, many in transaction.execute(
        "SELECT i.state, d.status, count(*) FROM retry_items AS i JOIN dead_letters AS d "
        "ON d.id = i.dead_letter WHERE i.retry = ? GROUP BY i.state, d.status",
        (number,),
    ):
        counts[_kind(item, status)] += many
    filters = msgspec.json.decode(text)
    where, values = store.selection(filters, plants=msgspec.json.decode(whose))
    arrived = transaction.execute(
        f"SELECT count(*) FROM dead_letters WHERE id > ?{where}",  # noqa: S608
        (newest, *values),
    )[0][0]
    problems = transaction.execute(
        "SELECT detail FROM retry_items WHERE retry = ? AND detail != '' ORDER BY dead_letter DESC LIMIT 1",
        (number,),
    )
    return Progress(
        id=number,
        state=state,
        by=by,
        at=at,
        filter=filters,
        rate=rate,
        total=total,
        arrived=arrived,
        problem=problems[0][0] if problems else "",
        ended_at=ended_at,
        **counts,
    )


def _kind(item: str, status: str) -> str:
    if item != "tried":
        return item
    return {"retrying": "under_way", "open": "failed"}.get(status, "recovered")
