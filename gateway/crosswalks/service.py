"""Crosswalk rows in the store and in memory: proposed, approved, retired, and what waits for one let go."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from msgspec import structs

from canonical.ports import Store, Transaction
from canonical.spec import Log
from config.crosswalks import CrosswalkRow
from config.model import Stewardship
from deadletter.service import Audit, NotPossible
from gateway.crosswalks import importing, stewards
from gateway.crosswalks.importing import API, FILES, Diff
from gateway.crosswalks.releasing import Release, Releasing
from gateway.crosswalks.stewards import NotSteward
from gateway.crosswalks.telling import Telling
from router import crosswalk, crosswalk_history
from router.crosswalk import Crosswalk, Row
from router.crosswalk_history import Act, Step
from router.journal import Journal

__all__ = ["API", "FILES", "Crosswalks"]


class Crosswalks:
    """The rows in the store, and those with effect in memory (``current``)."""

    def __init__(
        self,
        journal: Journal,
        release: Release,
        audit: Audit,
        clock: Callable[[], datetime],
        log: Log,
        stewardship: Callable[[], Mapping[Any, Stewardship]] = dict,
    ) -> None:
        """``stewardship``: who keeps which domain, as configured now."""
        self._store: Store = journal
        self._audit, self._clock, self._stewardship = audit, clock, stewardship
        self.current = Crosswalk()
        self._releasing = Releasing(journal, release, lambda: self.current)
        self._telling = Telling(journal, log)

    async def load(self) -> None:
        """Reads the rows that have effect."""
        self.current = Crosswalk(await self._store.read(crosswalk.rows))

    async def sync_files(self, rows: Sequence[Row]) -> int:
        """Makes the rows of the deployment's files what the files say, and lets go what waited for them.

        Returns how many changed. Raises Overlap when they contradict rows from elsewhere.
        """
        changed, self.current = await self._store.write(lambda t: self.put_files(t, rows))
        if changed:
            await self.let_go(rows)
        return changed

    def put_files(self, transaction: Transaction, rows: Sequence[Row]) -> tuple[int, Crosswalk]:
        """The same within somebody's transaction: how many changed, and what is ``current`` after it."""
        now = self._clock().timestamp()
        stamped = [structs.replace(row, origin=FILES, created_at=now) for row in rows]
        changed = crosswalk.sync_origin(transaction, FILES, stamped)
        if changed:
            told = {"changed": changed, "rows": len(rows)}
            self._audit(transaction, "hub", "crosswalk.load", FILES, told)
        return changed, Crosswalk(crosswalk.rows(transaction))

    async def let_go(self, rows: Sequence[Row]) -> int:
        """Publishes that the rows changed, and lets go what waits for them; returns how many lanes."""
        await self._telling.tell()
        return await self._releasing.of(rows)

    async def look(self) -> int:
        """Lets go what waits although its row is there, and publishes what was not published: a crash, or a
        row that came in the very moment in which the event was parked. Returns how many lanes."""
        await self._telling.tell()
        return await self._releasing.look()

    # ── reading ──────────────────────────────────────────────────────────────────────────────────

    async def list(self, **filters: str) -> Sequence[Row]:
        """The rows whose columns have these values, oldest first. Raises KeyError for another column."""
        return await self._store.read(lambda t: crosswalk.rows(t, **filters))

    async def find(self, identifier: int) -> Row:
        """One row. Raises LookupError."""
        row = await self._store.read(lambda t: crosswalk.find(t, identifier))
        if row is None:
            raise LookupError(f"there is no crosswalk row {identifier}")
        return row

    async def history(self, identifier: int) -> Sequence[Step]:
        """What was done to a row, oldest first; a row of a file has what the file says now.

        Raises LookupError.
        """
        row = await self.find(identifier)
        steps = await self._store.read(lambda t: crosswalk_history.steps(t, identifier))
        return steps or [_before_history(row)]

    # ── what stewards do ─────────────────────────────────────────────────────────────────────────

    async def add(self, row: Row, *, by: str, why: str = "") -> tuple[Row, int]:
        """Keeps a draft, or an approved row and lets go what waits for it; returns it and how many lanes
        were let go. Raises NotSteward, Overlap."""
        draft = row.status == "draft"
        await self._check(row.domain, by, "crosswalk.propose" if draft else "crosswalk.add", row)
        if not draft:
            await self._second(row, by, by, "crosswalk.add")
        stamped = structs.replace(
            row, origin=API, approved_by="" if draft else by, created_at=self._clock().timestamp()
        )
        act: Act = "propose" if draft else "add"
        kept = await self._store.write(lambda t: self._keep(t, stamped, act, by, why))
        return kept, await self._changed([kept])

    async def approve(self, identifier: int, *, by: str, why: str = "") -> tuple[Row, int]:
        """A draft takes effect, and what waits for it is let go.

        Raises LookupError, NotSteward, NotPossible for what is no draft, Overlap.
        """
        row = await self.find(identifier)
        await self._check(row.domain, by, "crosswalk.approve", row)
        await self._second(row, row.steward, by, "crosswalk.approve")

        def work(transaction: Transaction) -> Row:
            now = _editable(transaction, identifier, row)
            if now.status != "draft":
                raise NotPossible(f"crosswalk row {identifier} is {now.status}; only a draft is approved")
            approved = structs.replace(now, status="approved", approved_by=by)
            return self._keep(transaction, approved, "approve", by, why)

        kept = await self._store.write(work)
        return kept, await self._changed([kept])

    async def retire(
        self, identifier: int, *, by: str, why: str = "", at: float | None = None, never: bool = False
    ) -> Row:
        """Ends a row at a moment, now by default; ``never``: it was wrong from the start. A draft is given
        up. The row stays, for what happened while it held.

        Raises LookupError, NotSteward, NotPossible.
        """
        row = await self.find(identifier)
        await self._check(row.domain, by, "crosswalk.retire", row)
        end = self._clock().timestamp() if at is None else at

        def work(transaction: Transaction) -> Row:
            now = _editable(transaction, identifier, row)
            return self._keep(transaction, _ended(now, end, never), "retire", by, why)

        kept = await self._store.write(work)
        await self._changed([])
        return kept

    async def refuse(self, domain: str, *, by: str, act: str, why: str) -> None:
        """Writes into the audit that somebody tried what they may not."""
        await self._refused(domain, by, act, {"refused": why})

    # ── import ───────────────────────────────────────────────────────────────────────────────────

    async def compare(
        self, wanted: Sequence[CrosswalkRow], *, by: str, refuse: importing.Refuse = importing.nothing
    ) -> Diff:
        """What an import of these rows would change. Nothing is changed."""
        rule = self._rule(by, refuse)
        return await self._store.read(lambda t: importing.diff(crosswalk.rows(t), wanted, rule))

    async def take(
        self,
        wanted: Sequence[CrosswalkRow],
        *,
        by: str,
        expected: str,
        why: str = "",
        refuse: importing.Refuse = importing.nothing,
    ) -> tuple[Diff, int]:
        """Applies the difference that was shown, all or nothing; returns it and how many lanes were let go.

        ``expected``: the hash of what was shown. Raises NotSteward when it would change what others keep,
        NotPossible when it is another by now, or has conflicts.
        """
        await self._check_import(wanted, by)
        rule, now = self._rule(by, refuse), self._clock().timestamp()
        refused: dict[str, Row] = {}

        def noted(row: Row) -> str:
            obstacle = rule(row)
            if obstacle:
                refused.setdefault(obstacle, row)
            return obstacle

        def work(transaction: Transaction) -> tuple[Diff, list[Row]]:
            diff = importing.diff(crosswalk.rows(transaction), wanted, noted)
            importing.agree(diff, expected)
            kept = [
                crosswalk_history.keep(transaction, row, act=act, by=by, why=why, at=now, checked=True)
                for row, act in importing.changes(diff, by, now)
            ]
            details = {"hash": diff.hash, "why": why, **diff.counts, "rows": [row.id for row in kept[:1000]]}
            self._audit(transaction, by, "crosswalk.import", "crosswalks", details)
            return diff, kept

        try:
            diff, kept = await self._store.write(work)
        except NotPossible:
            if refused:  # it would have written what is not theirs, or not theirs alone, to write
                why_not, row = next(iter(refused.items()))
                told = {"refused": why_not, "row": structs.asdict(row)}
                await self._refused(row.domain, by, "crosswalk.import", told)
            raise
        return diff, await self._changed(kept)

    async def _check_import(self, wanted: Sequence[CrosswalkRow], by: str) -> None:
        """Whose rows would be changed; those that stay as they are may be anybody's."""
        stewardship = self._stewardship()
        others = [row for row in wanted if stewards.refusal(stewardship, row.domain, by)]
        if not others:
            return
        diff = await self._store.read(lambda t: importing.diff(crosswalk.rows(t), others))
        for change in diff.touched:
            await self._check(change.after.domain, by, "crosswalk.import", change.after)

    def _rule(self, by: str, refuse: importing.Refuse) -> importing.Refuse:
        stewardship = self._stewardship()

        def rule(row: Row) -> str:
            mine = row.approved_by == "" and row.status == "approved"
            return (
                stewards.refusal(stewardship, row.domain, by)
                or (stewards.same_person(stewardship, row.domain, by, by) if mine else "")
                or refuse(row)
            )

        return rule

    # ── within ───────────────────────────────────────────────────────────────────────────────────

    def _keep(self, transaction: Transaction, row: Row, act: Act, by: str, why: str) -> Row:
        before = crosswalk.find(transaction, row.id) if row.id else None
        at = self._clock().timestamp()
        kept = crosswalk_history.keep(transaction, row, act=act, by=by, why=why, at=at)
        details = {
            "why": why,
            "before": structs.asdict(before) if before else None,
            "after": structs.asdict(kept),
        }
        self._audit(transaction, by, f"crosswalk.{act}", f"crosswalk/{kept.id}", details)
        return kept

    async def _changed(self, rows: Iterable[Row]) -> int:
        """Puts the rows into effect and publishes it; returns how many lanes went on."""
        await self.load()
        return await self.let_go([row for row in rows if row.effective])

    async def _check(self, domain: str, by: str, act: str, row: Row) -> None:
        why = stewards.refusal(self._stewardship(), domain, by)
        if why:
            await self._refused(domain, by, act, {"refused": why, "row": structs.asdict(row)})
            raise NotSteward(why)

    async def _second(self, row: Row, author: str, by: str, act: str) -> None:
        why = stewards.same_person(self._stewardship(), row.domain, author, by)
        if why:
            await self._refused(row.domain, by, act, {"refused": why, "row": structs.asdict(row)})
            raise NotSteward(why)

    async def _refused(self, domain: str, by: str, act: str, details: Mapping[str, Any]) -> None:
        subject = f"crosswalks/{domain}" if domain else "crosswalks"
        told: Final = {"act": act, **details}
        await self._store.write(lambda t: self._audit(t, by, "crosswalk.refused", subject, told))


def _before_history(row: Row) -> Step:
    return Step(
        version=row.version,
        at=row.created_at,
        actor=row.approved_by or row.steward or row.origin,
        act="load" if row.origin == FILES else "add",
        why="",
        state=structs.asdict(row),
    )


def _editable(transaction: Transaction, identifier: int, seen: Row) -> Row:
    """The row in this transaction. Raises NotPossible for a file's, and when somebody was quicker."""
    row = crosswalk.find(transaction, identifier)
    if row is None or row.version != seen.version:
        raise NotPossible(f"crosswalk row {identifier} was changed a moment ago; look again")
    if row.origin == FILES:
        raise NotPossible(f"crosswalk row {identifier} is from a file of the deployment: change it there")
    return row


def _ended(row: Row, end: float, never: bool) -> Row:
    """The row retired. Raises NotPossible."""
    if row.status == "retired" and not never:
        raise NotPossible(f"crosswalk row {row.id} is retired already")
    if row.status == "draft" or never:
        return structs.replace(row, status="retired", valid_to=None)
    if row.valid_to is not None and row.valid_to < end:
        end = row.valid_to
    if row.valid_from is not None and end <= row.valid_from:
        raise NotPossible(
            f"crosswalk row {row.id} begins after that; retire it later, or say that it never held"
        )
    return structs.replace(row, status="retired", valid_to=end)
