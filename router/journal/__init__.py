"""The journal: what was said, durable and in order, before anybody is told that it is safe.

This module has the port and the data that cross it; ``sqlite`` is the embedded engine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from msgspec import Struct, field

from canonical.errors import Invalid, TransientError
from canonical.event import Event
from canonical.ledger import Earlier, FileEntry, InterchangeEntry
from canonical.ports import Outcome, RawMessage, Recorded, Store, Transaction
from router.spans import Span

__all__ = [
    "Claim",
    "Header",
    "IngestBatch",
    "Journal",
    "JournalCorrupt",
    "Message",
    "Settlement",
    "StorageError",
    "Within",
]


class Message(Struct, frozen=True, kw_only=True):
    """One raw message with what its decoder made of it, in source order."""

    raw: RawMessage
    events: Sequence[Event] = ()
    invalid: Sequence[Invalid] = ()


Within = Callable[[Transaction, Sequence[Outcome]], Sequence[Outcome]]
"""Statements in the append's own transaction, which know what became of each message
(dead letters of what is invalid or in conflict); returns the outcomes, completed."""


class Claim(Struct, frozen=True, kw_only=True):
    """A line of a ledger that a batch asks for: a file as a whole, or an interchange in it.

    ``message`` is the message's index in the batch. An interchange covers its events from ``first`` up to
    ``last`` and, when it is rejected, its ``fault``; ``repeated`` is its entry's, with a complete envelope.
    """

    message: int
    entry: FileEntry | InterchangeEntry
    first: int = 0
    last: int = 0
    fault: int = 0
    repeated: Callable[[Earlier], Event] | None = None


class IngestBatch(Struct, frozen=True, kw_only=True):
    """What commits together. ``state`` replaces the source's and the decoder's durable state.

    ``ledger`` asks, in order of the messages, which files and interchanges were taken in before; what they
    cover is then not recorded again.
    """

    adapter: str
    messages: Sequence[Message]
    ledger: Sequence[Claim] = ()
    state: Mapping[str, bytes] = field(default_factory=dict)
    within: Within | None = None


class Header(Struct, frozen=True, kw_only=True):
    """What a bundle tells without being decoded.

    ``counts`` by ``(plant, type)``, the plant ``-`` where there is none; ``recorded_at`` is the
    oldest recordedtime, seconds since 1970 UTC; ``adapters`` count raw messages.
    """

    format: int
    counts: dict[str, dict[str, int]]
    adapters: dict[str, int]
    recorded_at: float


class Settlement(Struct, frozen=True, kw_only=True):
    """What a route finished: its cursor, and the deliveries since the last settlement.

    ``delivered``: see ``router.spans``; ``attempts`` are those of positions that took more than one,
    ``measured`` is what the observer made of them, kept with them as it is.
    """

    route: str
    position: int
    delivered: Sequence[Span] = ()
    attempts: Mapping[int, int] = field(default_factory=dict)
    measured: object = None
    at: float = 0.0


class StorageError(TransientError):
    """The disk did not take it (full, read-only, failing); nothing of the batch was kept."""

    code = "storage"


class JournalCorrupt(Exception):
    """A bundle's hash does not fit its content. ``first`` and ``last`` are the positions concerned."""

    def __init__(self, first: int, last: int) -> None:
        super().__init__(f"the journal's rows {first}–{last} do not match their hash: the disk changed them")
        self.first, self.last = first, last


class Journal(Store, Protocol):
    """Append, read from a position, settle; and the Store, in the same transactions."""

    @property
    def head(self) -> int:
        """The newest durable position; 0 when empty."""
        ...

    async def append(self, batch: IngestBatch, *, urgent: bool = False) -> Sequence[Outcome]:
        """Durable when it returns: one outcome per message, in order. Raises StorageError.

        Appends are committed in the order of the calls. Waits while the journal is at its size limit,
        unless ``urgent`` (the hub's own few notices, without which it could not get out of there).
        """
        ...

    def settle(self, settlement: Settlement) -> None:
        """Moves a route's cursor in the next transaction, at the latest after 50 ms."""
        ...

    async def events(
        self, after: int, *, limit: int = 1000, wanted: Callable[[Header], bool] | None = None
    ) -> tuple[list[Recorded], int]:
        """Events after a position, whole bundles, about ``limit`` of them, and how far it read.

        Bundles whose header is not ``wanted`` are passed over undecoded, and so are those that the disk
        changed, once that is recorded. Raises StorageError when it could not be recorded.
        """
        ...

    async def raw(self, position: int) -> RawMessage | None:
        """The raw message that the event at ``position`` came from; None when it has gone.

        Raises JournalCorrupt.
        """
        ...

    async def history(self, adapter: str, limit: int) -> Sequence[RawMessage]:
        """An adapter's newest raw messages, oldest first."""
        ...

    def subscribe(self, listener: Callable[[Sequence[Recorded]], None]) -> None:
        """Calls ``listener`` in the loop with what each commit added, in order."""
        ...
