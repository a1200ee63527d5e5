"""The ledgers of files and interchanges: what was taken in once and for all, kept without an end.

A row speaks for good when something of it was taken in; what was rejected has a row as well, which holds
nothing back, so that a corrected one may follow. Looked up and written in the append's own transaction: a
process that ends at any moment has neither taken something twice nor answered a repetition twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final, Literal

from msgspec import structs

from canonical.event import Event
from canonical.ledger import Earlier, FileEntry, InterchangeEntry
from canonical.ports import Outcome, Transaction
from router.journal import Claim, IngestBatch, Message

__all__ = ["LEDGERS", "Hearing"]

LEDGERS: Final = (
    """CREATE TABLE IF NOT EXISTS files (
        adapter TEXT NOT NULL, path TEXT NOT NULL, size INTEGER NOT NULL, changed_ns INTEGER NOT NULL,
        sha256 BLOB NOT NULL, outcome TEXT NOT NULL, position INTEGER, message TEXT NOT NULL,
        first_at REAL NOT NULL, last_at REAL NOT NULL, arrivals INTEGER NOT NULL,
        PRIMARY KEY (adapter, path, size, changed_ns, sha256)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS interchanges (
        standard TEXT NOT NULL, sender TEXT NOT NULL, receiver TEXT NOT NULL, reference TEXT NOT NULL,
        date TEXT NOT NULL, test INTEGER NOT NULL, outcome TEXT NOT NULL, position INTEGER,
        digest BLOB NOT NULL, adapter TEXT NOT NULL, message TEXT NOT NULL, first_at REAL NOT NULL,
        last_at REAL NOT NULL, arrivals INTEGER NOT NULL,
        PRIMARY KEY (standard, sender, receiver, reference, date, test)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS control_numbers (
        standard TEXT NOT NULL, sender TEXT NOT NULL, receiver TEXT NOT NULL, last INTEGER NOT NULL,
        PRIMARY KEY (standard, sender, receiver)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS interchanges_sent (
        key TEXT PRIMARY KEY, route TEXT NOT NULL, standard TEXT NOT NULL, sender TEXT NOT NULL,
        receiver TEXT NOT NULL, reference TEXT NOT NULL, event TEXT NOT NULL, plant TEXT NOT NULL,
        subject TEXT NOT NULL, prepared_at REAL NOT NULL, digest BLOB NOT NULL, answer_due_s REAL,
        sent_at REAL, due_at REAL, answered_at REAL, answer TEXT NOT NULL, detail TEXT NOT NULL,
        told TEXT NOT NULL) WITHOUT ROWID""",
    """CREATE INDEX IF NOT EXISTS interchanges_sent_by_reference
        ON interchanges_sent (standard, sender, receiver, reference, prepared_at)""",
    """CREATE INDEX IF NOT EXISTS interchanges_sent_due ON interchanges_sent (due_at)
        WHERE due_at IS NOT NULL AND told NOT IN ('settled', 'rejected')""",
)

_FILE: Final = "adapter = ? AND path = ? AND size = ? AND changed_ns = ? AND sha256 = ?"
_INTERCHANGE: Final = (
    "standard = ? AND sender = ? AND receiver = ? AND reference = ? AND date = ? AND test = ?"
)
_TAKEN: Final = ("accepted", "duplicate")
Verdict = Literal["taken", "told", "known", "rejected"]
Key = tuple[str, str, str, str, str, bool]


class Hearing:
    """One batch before the ledgers: ``messages`` is what is left of it to record; then ``conclude``.

    Runs in the journal writer's thread, inside its transaction.
    """

    def __init__(self, transaction: Transaction, batch: IngestBatch, now: float) -> None:
        self._transaction, self._batch, self._now = transaction, batch, now
        self._verdicts: dict[int, list[tuple[Claim, Verdict, int]]] = {}
        self._known_files: dict[int, int] = {}
        self._here: dict[Key, Claim] = {}
        self._told: dict[int, Event] = {}
        for claim in batch.ledger:
            if claim.message in self._known_files:
                continue
            if isinstance(claim.entry, FileEntry):
                self._hear_file(claim.message, claim.entry)
            else:
                self._hear_interchange(claim, claim.entry)
        self.messages = [self._left(index, message) for index, message in enumerate(batch.messages)]

    def _hear_file(self, message: int, entry: FileEntry) -> None:
        rows = self._transaction.execute(
            f"UPDATE files SET arrivals = arrivals + 1, last_at = ? WHERE {_FILE} "
            "AND outcome IN (?, ?) RETURNING position",
            (self._now, *_file_key(self._batch.adapter, entry), *_TAKEN),
        )
        if rows:
            self._known_files[message] = rows[0][0] or 0

    def _hear_interchange(self, claim: Claim, entry: InterchangeEntry) -> None:
        verdict, position = self._verdict(claim, entry)
        self._verdicts.setdefault(claim.message, []).append((claim, verdict, position))

    def _verdict(self, claim: Claim, entry: InterchangeEntry) -> tuple[Verdict, int]:
        key = _key(entry)
        if key in self._here:  # a second time in one batch: where the first will be is not known yet
            first = self._here[key].entry
            assert isinstance(first, InterchangeEntry)
            self._tell(claim, Earlier(position=0, at=self._at, same=first.digest == entry.digest))
            return "told", 0
        rows = self._transaction.execute(
            f"SELECT position, digest, adapter, message, first_at FROM interchanges WHERE {_INTERCHANGE} "
            "AND outcome = 'accepted'",
            key,
        )
        if not rows:
            if entry.accepted:
                self._here[key] = claim
            return ("taken" if entry.accepted else "rejected"), 0
        position, digest, adapter, message, first_at = rows[0]
        self._transaction.execute(
            f"UPDATE interchanges SET arrivals = arrivals + 1, last_at = ? WHERE {_INTERCHANGE}",
            (self._now, *key),
        )
        if (adapter, message) == (self._batch.adapter, self._batch.messages[claim.message].raw.id):
            return "known", position or 0  # not sent again: we have it again
        at = datetime.fromtimestamp(first_at, UTC)
        self._tell(claim, Earlier(position=position or 0, at=at, same=digest == entry.digest))
        return "told", position or 0

    @property
    def _at(self) -> datetime:
        return datetime.fromtimestamp(self._now, UTC)

    def _tell(self, claim: Claim, earlier: Earlier) -> None:
        assert claim.repeated is not None
        self._told[id(claim)] = claim.repeated(earlier)

    def _left(self, index: int, message: Message) -> Message:
        """The message without what was taken in before, but with the events that it came again."""
        if index in self._known_files:
            return Message(raw=message.raw)
        claims = [
            claim for claim, verdict, _ in self._verdicts.get(index, ()) if verdict in ("told", "known")
        ]
        if not claims:
            return message
        events, faults = list(message.events), list(message.invalid)
        for claim in reversed(claims):
            told = self._told.get(id(claim))
            events[claim.first : claim.last] = [] if told is None else [told]
            if isinstance(claim.entry, InterchangeEntry) and not claim.entry.accepted:
                del faults[claim.fault : claim.fault + 1]
        return Message(raw=message.raw, events=events, invalid=faults)

    def conclude(
        self, outcomes: Sequence[Outcome], position_of: Callable[[Event], int | None]
    ) -> list[Outcome]:
        """The outcomes as the ledgers see them; writes the rows. ``position_of``: that of a new event."""
        concluded = list(outcomes)
        for index, position in self._known_files.items():
            concluded[index] = Outcome(status="duplicate", positions=(position,) if position else ())
        for index, verdicts in self._verdicts.items():
            concluded[index] = self._outcome(index, verdicts, outcomes[index], position_of)
        for claim in self._batch.ledger:
            if isinstance(claim.entry, FileEntry) and claim.message not in self._known_files:
                self._write_file(claim.message, claim.entry, concluded[claim.message])
        return concluded

    def _outcome(
        self,
        index: int,
        verdicts: Sequence[tuple[Claim, Verdict, int]],
        outcome: Outcome,
        position_of: Callable[[Event], int | None],
    ) -> Outcome:
        events, taken, known = self._batch.messages[index].events, False, 0
        recorded = outcome.status in _TAKEN
        for claim, verdict, position in verdicts:
            assert isinstance(claim.entry, InterchangeEntry)
            known = known or position
            new = [position_of(event) for event in events[claim.first : claim.last]]
            at = new[0] if new else None
            if verdict == "taken" and recorded:
                taken = taken or any(new)
                self._note_answers(claim.entry)
                self._write_interchange(index, claim.entry, at, "accepted")
            elif verdict == "rejected":
                self._write_interchange(index, claim.entry, at, "rejected")
        if taken or outcome.status not in ("accepted", "ignored", "duplicate"):
            return outcome
        if outcome.errors:
            return structs.replace(outcome, status="invalid")
        if known or any(verdict in ("told", "known") for _, verdict, _ in verdicts):
            return Outcome(status="duplicate", positions=(known,) if known else outcome.positions)
        return outcome

    def _write_interchange(
        self, index: int, entry: InterchangeEntry, position: int | None, outcome: str
    ) -> None:
        self._transaction.execute(
            "INSERT INTO interchanges VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1) "
            "ON CONFLICT DO UPDATE SET outcome = excluded.outcome, position = excluded.position, "
            "digest = excluded.digest, adapter = excluded.adapter, message = excluded.message, "
            "last_at = excluded.last_at, arrivals = arrivals + 1 WHERE outcome <> 'accepted'",
            (
                *(*_key(entry), outcome, position, entry.digest, self._batch.adapter),
                *(self._batch.messages[index].raw.id, self._now, self._now),
            ),
        )

    def _note_answers(self, entry: InterchangeEntry) -> None:
        """What a partner says of interchanges of ours; the newest is meant, since references roll over."""
        for answer in entry.answers:
            self._transaction.execute(
                "UPDATE interchanges_sent SET answered_at = ?1, answer = ?2, detail = ?3, "
                "due_at = coalesce(due_at, ?1) WHERE key = ("
                "SELECT key FROM interchanges_sent WHERE standard = ?4 AND sender = ?5 "
                "AND receiver = ?6 AND ltrim(reference, '0') = ?7 ORDER BY prepared_at DESC LIMIT 1)",
                (
                    *(self._now, answer.outcome, answer.detail, answer.standard),
                    *(answer.sender, answer.receiver, answer.reference),
                ),
            )

    def _write_file(self, index: int, entry: FileEntry, outcome: Outcome) -> None:
        position = outcome.positions[0] if outcome.positions else None
        self._transaction.execute(
            "INSERT INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1) ON CONFLICT DO UPDATE SET "
            "outcome = excluded.outcome, position = excluded.position, last_at = excluded.last_at, "
            "arrivals = arrivals + 1",
            (
                *(*_file_key(self._batch.adapter, entry), outcome.status, position),
                *(self._batch.messages[index].raw.id, self._now, self._now),
            ),
        )


def _key(entry: InterchangeEntry) -> Key:
    return entry.standard, entry.sender, entry.receiver, entry.reference, entry.date, entry.test


def _file_key(adapter: str, entry: FileEntry) -> tuple[str, str, int, int, bytes]:
    return adapter, entry.path, entry.size_bytes, entry.changed_ns, entry.sha256
