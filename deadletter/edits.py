"""Edited dead letters: proposed by one person, approved by another, the original kept.

Of a message the bytes are edited, of a delivery the event's data, on its route only: the journal keeps
what was said. An edit is checked when it is proposed and when it is approved.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final, Literal, Protocol

import msgspec
from msgspec import Struct, structs

from canonical.errors import CrossplantError, Invalid
from canonical.event import decode, encode
from canonical.ports import RawMessage, Store, Transaction
from deadletter.entry import DeadLetter
from deadletter.service import Audit, DeadLetters, NotPossible, raw_of

__all__ = ["TABLES", "Amend", "Change", "Edit", "Edits", "SamePerson", "original"]

State = Literal["proposed", "applied", "withdrawn"]

TABLES = (
    """CREATE TABLE IF NOT EXISTS edits (
        id INTEGER PRIMARY KEY AUTOINCREMENT, dead_letter INTEGER NOT NULL, state TEXT NOT NULL,
        author TEXT NOT NULL, at REAL NOT NULL, reason TEXT NOT NULL, content BLOB NOT NULL,
        changes TEXT NOT NULL, decided_by TEXT NOT NULL, decided_at REAL)""",
    "CREATE INDEX IF NOT EXISTS edits_by_dead_letter ON edits (dead_letter, id)",
)
_MOST: Final = 200
_EXCERPT: Final = 2000
_COLUMNS = "id, dead_letter, state, author, at, reason, content, changes, decided_by, decided_at"


class SamePerson(CrossplantError):
    """Who proposed an edit does not approve it."""

    code = "same_person"


class Change(Struct, frozen=True, kw_only=True):
    """One difference: at a JSON pointer, or at a line (``line 7``) of a text that is no JSON."""

    at: str
    before: Any = None
    after: Any = None


class Edit(Struct, frozen=True, kw_only=True):
    """A proposed or decided edit. ``content``: the new bytes, or the event's new data as JSON."""

    id: int
    dead_letter: int
    state: State
    author: str
    at: float
    reason: str
    content: bytes
    changes: list[Change]
    decided_by: str = ""
    decided_at: float | None = None


class Amend(Protocol):
    """What the hub does for an edit."""

    async def faults(self, letter: DeadLetter, content: bytes) -> Sequence[tuple[str, str]]:
        """(pointer, detail) of what is wrong with the new content; empty when it would do."""
        ...

    def amend(self, transaction: Transaction, route: str, key: str, position: int, event: bytes) -> None:
        """Replaces the event of a delivery in its lane. Raises LookupError when it is not there any more."""
        ...


class Edits:
    """The service behind CLI, API and console."""

    def __init__(
        self,
        kept: Store,
        letters: DeadLetters,
        amend: Amend,
        audit: Audit,
        clock: Callable[[], datetime],
        second_person: Callable[[], bool],
    ) -> None:
        """``second_person``: whether an edit takes effect only once another person has approved it."""
        self._store, self._letters, self._amend = kept, letters, amend
        self._audit, self._clock, self._second_person = audit, clock, second_person

    async def propose(self, number: int, content: bytes, *, by: str, reason: str) -> Edit:
        """Keeps an edit of an open dead letter; without a second person it takes effect at once.

        Raises LookupError, NotPossible (not open, nothing changed, no reason), Invalid with all faults.
        """
        if not reason.strip():
            raise NotPossible("an edit needs a reason, for whoever approves it and for those who ask later")
        letter = await self._letters.show(number)
        if letter.status != "open":
            raise NotPossible(f"dead letter {number} is {letter.status}; only an open one can be edited")
        changes = _changes(original(letter), content)
        if not changes:
            raise NotPossible("nothing was changed")
        await self._check(letter, content)
        now = self._clock().timestamp()

        def work(transaction: Transaction) -> Edit:
            (identifier,) = transaction.execute(
                "INSERT INTO edits (dead_letter, state, author, at, reason, content, changes, decided_by) "
                "VALUES (?, 'proposed', ?, ?, ?, ?, ?, '') RETURNING id",
                (number, by, now, reason, content, msgspec.json.encode(changes).decode()),
            )[0]
            told = {
                "edit": identifier,
                "reason": reason,
                "original": _excerpt(original(letter)),
                "changes": changes,
            }
            self._audit(transaction, by, "dead_letter.edit", f"dead_letter/{number}", told)
            return _found(transaction, identifier)

        edit = await self._store.write(work)
        return edit if self._second_person() else await self._apply(edit, by)

    async def review(self, number: int, content: bytes) -> tuple[list[Change], Sequence[tuple[str, str]]]:
        """(what an edit would change, what would be wrong with it); nothing is kept. Raises LookupError."""
        letter = await self._letters.show(number)
        return _changes(original(letter), content), await self._amend.faults(letter, content)

    async def approve(self, identifier: int, *, by: str) -> Edit:
        """Lets an edit take effect: the dead letter is retried with it.

        Raises LookupError, SamePerson, NotPossible, Invalid.
        """
        edit = await self.show(identifier)
        if edit.state != "proposed":
            raise NotPossible(f"edit {identifier} is {edit.state} already")
        if edit.author == by and self._second_person():
            raise SamePerson(f"{by} proposed edit {identifier}: another person has to approve it")
        return await self._apply(edit, by)

    async def withdraw(self, identifier: int, *, by: str) -> Edit:
        """Gives an edit up; the dead letter stays as it is. Raises LookupError, NotPossible."""
        return await self._store.write(lambda t: self._decide(t, identifier, "withdrawn", by))

    async def show(self, identifier: int) -> Edit:
        """The edit. Raises LookupError."""
        return await self._store.read(lambda t: _found(t, identifier))

    async def of(self, number: int) -> list[Edit]:
        """The edits of a dead letter, newest first."""
        statement = f"SELECT {_COLUMNS} FROM edits WHERE dead_letter = ? ORDER BY id DESC"  # noqa: S608 - names of ours
        return [_edit(row) for row in await self._store.read(lambda t: t.execute(statement, (number,)))]

    async def waiting(self, limit: int = 100) -> list[Edit]:
        """Those that nobody has decided yet, oldest first."""
        statement = f"SELECT {_COLUMNS} FROM edits WHERE state = 'proposed' ORDER BY id LIMIT ?"  # noqa: S608
        return [_edit(row) for row in await self._store.read(lambda t: t.execute(statement, (limit,)))]

    @property
    def second_person(self) -> bool:
        """Whether another person has to approve."""
        return self._second_person()

    # ── within ───────────────────────────────────────────────────────────────────────────────────

    async def _check(self, letter: DeadLetter, content: bytes) -> None:
        faults = await self._amend.faults(letter, content)
        if faults:
            raise Invalid(
                f"the edited content would be refused again: {faults[0][1]}",
                code="edit",
                errors=list(faults),
            )

    async def _apply(self, edit: Edit, by: str) -> Edit:
        letter = await self._letters.show(edit.dead_letter)
        await self._check(letter, edit.content)
        decided: list[Edit] = []
        edited: RawMessage | None = None
        event = b""
        if letter.kind == "message":
            edited = structs.replace(raw_of(letter), body=edit.content)
        else:
            assert letter.event is not None
            event = encode(structs.replace(decode(letter.event), data=msgspec.json.decode(edit.content)))

        def claimed(transaction: Transaction) -> None:
            if letter.position is not None:
                self._amend.amend(transaction, letter.route, letter.key, letter.position, event)
            decided.append(self._decide(transaction, edit.id, "applied", by))

        await self._letters.retry(edit.dead_letter, by=by, claimed=claimed, edited=edited)
        return decided[0]

    def _decide(self, transaction: Transaction, identifier: int, state: State, by: str) -> Edit:
        edit = _found(transaction, identifier)
        if edit.state != "proposed":
            raise NotPossible(f"edit {identifier} is {edit.state} already")
        now = self._clock().timestamp()
        transaction.execute(
            "UPDATE edits SET state = ?, decided_by = ?, decided_at = ? WHERE id = ?",
            (state, by, now, identifier),
        )
        told = {"edit": identifier, "author": edit.author, "changes": edit.changes}
        self._audit(transaction, by, f"edit.{state}", f"dead_letter/{edit.dead_letter}", told)
        return structs.replace(edit, state=state, decided_by=by, decided_at=now)


def _excerpt(content: bytes) -> dict[str, Any]:
    """What the audit keeps of an original: its hash, and how it begins."""
    return {
        "sha256": hashlib.sha256(content).hexdigest(),
        "size_bytes": len(content),
        "text": content[:_EXCERPT].decode("utf-8", "replace"),
    }


def _found(transaction: Transaction, identifier: int) -> Edit:
    rows = transaction.execute(f"SELECT {_COLUMNS} FROM edits WHERE id = ?", (identifier,))  # noqa: S608
    if not rows:
        raise LookupError(f"there is no edit {identifier}")
    return _edit(rows[0])


def _edit(row: Sequence[Any]) -> Edit:
    values = dict(zip(Edit.__struct_fields__, row, strict=True))
    values["changes"] = msgspec.json.decode(values["changes"], type=list[Change])
    return Edit(**values)


def original(letter: DeadLetter) -> bytes:
    """What an edit is compared with: the bytes, or the event's data as JSON."""
    if letter.kind == "message":
        return letter.body
    assert letter.event is not None
    return msgspec.json.encode(decode(letter.event).data)


# ── differences ─────────────────────────────────────────────────────────────────────────────────


def _changes(before: bytes, after: bytes) -> list[Change]:
    """What differs, 200 places at most: by JSON pointer, else by line, else by hash."""
    if before == after:
        return []
    try:
        found = list(_json_changes("", msgspec.json.decode(before), msgspec.json.decode(after)))
        return found[:_MOST] or [Change(at="", before="spacing", after="spacing")]
    except msgspec.DecodeError:
        pass
    try:
        return _line_changes(before.decode().splitlines(), after.decode().splitlines())[:_MOST]
    except UnicodeDecodeError:
        return [Change(at="", before=_digest(before), after=_digest(after))]


def _json_changes(pointer: str, before: Any, after: Any) -> list[Change]:
    if isinstance(before, dict) and isinstance(after, dict):
        names = [*before, *(name for name in after if name not in before)]
        return [
            change
            for name in names
            for change in _json_changes(f"{pointer}/{_token(name)}", before.get(name), after.get(name))
        ]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        pairs = enumerate(zip(before, after, strict=True))
        return [change for index, pair in pairs for change in _json_changes(f"{pointer}/{index}", *pair)]
    return [] if before == after else [Change(at=pointer, before=before, after=after)]


def _token(name: str) -> str:
    """A step of a JSON pointer (RFC 6901, section 3)."""
    return name.replace("~", "~0").replace("/", "~1")


def _line_changes(before: Sequence[str], after: Sequence[str]) -> list[Change]:
    matcher = difflib.SequenceMatcher(a=before, b=after, autojunk=False)
    return [
        Change(at=f"line {low + 1}", before="\n".join(before[low:high]), after="\n".join(after[first:last]))
        for tag, low, high, first, last in matcher.get_opcodes()
        if tag != "equal"
    ] or [Change(at="", before="line ends", after="line ends")]


def _digest(content: bytes) -> str:
    return f"{len(content)} bytes, SHA-256 {hashlib.sha256(content).hexdigest()}"
