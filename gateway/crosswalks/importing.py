"""A CSV file of rows against those that are there: what would change, line by line, before it does. Pure.

A row of the file is about the row with the same domain, system, plant, code and ``valid_from``; rows that
the file does not name stay as they are. ``status`` retired with a ``valid_to`` ends a row then, without one
it says that the row never held.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from typing import Final

import msgspec
from msgspec import Struct, field, structs

from config.crosswalks import CrosswalkRow
from deadletter.service import NotPossible
from router.crosswalk import Row
from router.crosswalk_history import Act

__all__ = ["API", "FILES", "Change", "Conflict", "Diff", "Refuse", "agree", "changes", "diff", "nothing"]

FILES, API = "files", "api"
"""Where a row came from: a file of the deployment, or somebody through the API."""

Refuse = Callable[[Row], str]
"""Why a row may not be written as it would be; empty when it may."""


class Change(Struct, frozen=True, kw_only=True):
    """One row as it would be, and the one in whose place."""

    line: int
    before: Row | None = None
    after: Row


class Conflict(Struct, frozen=True, kw_only=True):
    """Why a line cannot take effect."""

    line: int
    message: str


class Diff(Struct, kw_only=True):
    """What an import would change; ``unchanged`` are lines. ``hash`` is equal for the same changes only."""

    added: list[Change] = field(default_factory=list)
    changed: list[Change] = field(default_factory=list)
    retired: list[Change] = field(default_factory=list)
    unchanged: list[int] = field(default_factory=list)
    conflicts: list[Conflict] = field(default_factory=list)
    hash: str = ""

    @property
    def counts(self) -> dict[str, int]:
        """How many of each."""
        names = ("added", "changed", "retired", "unchanged", "conflicts")
        return {name: len(getattr(self, name)) for name in names}

    @property
    def touched(self) -> list[Change]:
        """Everything that would be written: what ends first."""
        return [*self.retired, *self.changed, *self.added]


_Key = tuple[str, str, str, str]
_RANK: Final = {"approved": 0, "draft": 1, "retired": 2}


def nothing(row: Row) -> str:
    """Refuses nothing."""
    return ""


def diff(known: Sequence[Row], wanted: Sequence[CrosswalkRow], refuse: Refuse = nothing) -> Diff:
    """What would change if the rows were taken over."""
    found = Diff()
    codes = {_code(_as_row(row)) for row in wanted}
    there: dict[_Key, list[Row]] = {}
    for row in known:
        if _code(row) in codes:
            there.setdefault(_code(row), []).append(row)
    lines: dict[object, int] = {}
    for read in wanted:
        fresh = _as_row(read)
        same = lines.setdefault((_code(fresh), fresh.valid_from), read.line)
        if same != read.line:
            found.conflicts.append(Conflict(line=read.line, message=f"line {same} is about the same row"))
        else:
            _compare(found, read.line, fresh, _match(fresh, there.get(_code(fresh), [])), refuse)
    found.conflicts += _overlaps(found, there)
    found.conflicts.sort(key=lambda conflict: conflict.line)
    found.hash = _hash(found)
    return found


def _compare(found: Diff, line: int, fresh: Row, before: Row | None, refuse: Refuse) -> None:
    if before is None:
        after, kind = fresh, found.added
    else:
        after = structs.replace(
            before, canonical=fresh.canonical, valid_to=fresh.valid_to, status=fresh.status, approved_by=""
        )
        ends = after.status == "retired" and before.status != "retired"
        kind = found.retired if ends else found.changed
        if structs.replace(after, approved_by=before.approved_by) == before:
            found.unchanged.append(line)
            return
    message = _obstacle(before, after) or refuse(after)
    if message:
        found.conflicts.append(Conflict(line=line, message=message))
    else:
        kind.append(Change(line=line, before=before, after=after))


def _obstacle(before: Row | None, after: Row) -> str:
    if before is None:
        never = after.status == "retired" and after.valid_to is None
        return "there is no such row to retire; is valid_from the row's own?" if never else ""
    if before.origin == FILES:
        return f"row {before.id} is from a file of the deployment: change it there"
    if before.status != "draft" and after.status == "draft":
        return f"row {before.id} is {before.status} already and becomes no draft; retire it"
    return ""


def _match(fresh: Row, rows: Sequence[Row]) -> Row | None:
    """The row that is meant; one that never held only where the file says the same."""
    same = [row for row in rows if row.valid_from == fresh.valid_from]
    ended = fresh.status == "retired" and fresh.valid_to is None
    same = [row for row in same if row.effective or row.status == "draft" or ended]
    return min(same, key=lambda row: (not row.effective, _RANK[row.status], -row.id), default=None)


def _overlaps(found: Diff, there: dict[_Key, list[Row]]) -> Iterator[Conflict]:
    """As it would be afterwards: rows of the file that contradict another one."""
    gone = {change.before.id for change in found.touched if change.before is not None}
    result: dict[_Key, list[tuple[int, Row]]] = {}
    for code, rows in there.items():
        result[code] = [(0, row) for row in rows if row.id not in gone and row.effective]
    for change in sorted(found.touched, key=lambda change: change.line):
        if not change.after.effective:
            continue
        others = result.setdefault(_code(change.after), [])
        for line, other in others:
            if other.overlaps(change.after):
                where = f"line {line}" if line else f"row {other.id}"
                text = f"{other.value!r} already means {other.canonical!r} then ({where}): bound one of them"
                yield Conflict(line=change.line, message=text)
                break
        others.append((change.line, change.after))


def agree(found: Diff, expected: str) -> None:
    """Raises NotPossible unless what would change is what was shown, and can."""
    if found.hash != expected:
        raise NotPossible(
            "this is not the difference that was shown: the file or the rows changed since; look at it again"
        )
    if found.conflicts:
        first = found.conflicts[0]
        raise NotPossible(
            f"{len(found.conflicts)} line(s) cannot take effect; line {first.line}: {first.message}"
        )


def changes(found: Diff, by: str, at: float) -> Iterator[tuple[Row, Act]]:
    """The rows to write, in order, as the acts of ``by``."""
    for change in found.touched:
        before, row = change.before, change.after
        if row.status == "approved":
            row = structs.replace(row, approved_by=by)
        elif before is not None:
            row = structs.replace(row, approved_by=before.approved_by)
        if before is None:
            row = structs.replace(row, steward=by, created_at=at)
        yield row, _act(before, row)


def _act(before: Row | None, after: Row) -> Act:
    if before is None:
        return "propose" if after.status == "draft" else "add"
    if after.status == "retired" and before.status != "retired":
        return "retire"
    return "approve" if before.status == "draft" and after.status == "approved" else "change"


def _as_row(row: CrosswalkRow) -> Row:
    return Row(
        domain=row.domain,
        system=row.system,
        plant=row.plant or "",
        value=row.value,
        canonical=row.canonical,
        valid_from=row.valid_from.timestamp() if row.valid_from else None,
        valid_to=row.valid_to.timestamp() if row.valid_to else None,
        status=row.status,
        origin=API,
    )


def _code(row: Row) -> _Key:
    return row.domain, row.system, row.plant, row.value


def _hash(found: Diff) -> str:
    seen = [
        [change.line, change.before and (change.before.id, change.before.version), _content(change.after)]
        for change in found.touched
    ]
    told = [seen, [(conflict.line, conflict.message) for conflict in found.conflicts]]
    return blake2b(msgspec.json.encode(told), digest_size=16).hexdigest()


def _content(row: Row) -> tuple[object, ...]:
    return (*_code(row), row.canonical, row.valid_from, row.valid_to, row.status)
