"""What the ledgers of files and interchanges are told; they are kept for years, identities of events are not.

An interchange is taken in once, whoever brings it and however late; so is a file that was picked up. What was
rejected does not count: corrected, it may come again under the same reference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Literal

from msgspec import Struct

from canonical.event import Event

__all__ = ["Answer", "Control", "Earlier", "FileEntry", "InterchangeEntry"]


class FileEntry(Struct, frozen=True, kw_only=True):
    """One pick-up of one file: the same again after a crash, another when the file is put again.

    ``path`` is where it was picked up, ``changed_ns`` its last change by its folder's own clock.
    """

    path: str
    size_bytes: int
    changed_ns: int
    sha256: bytes


class Earlier(Struct, frozen=True, kw_only=True):
    """What the ledger has of an interchange that comes again. ``same``: its content is the same as now."""

    position: int
    at: datetime
    same: bool


class Answer(Struct, frozen=True, kw_only=True):
    """What a partner says of an interchange of ours (CONTRL, 997, TA1).

    ``sender`` is us, as we wrote it; ``reference`` is that of the interchange, or of its group where the
    answer names no other (997), without leading zeros.
    """

    standard: str
    sender: str
    receiver: str
    reference: str
    outcome: Literal["accepted", "rejected"]
    detail: str = ""


class Control(Struct, frozen=True, kw_only=True):
    """What the envelope of an interchange of ours is numbered by.

    ``reference`` is told by its payload, or empty: then it is allocated, per standard, sender and receiver,
    from 1 to ``highest`` and on from 1. ``answer_due_s``: how long its functional acknowledgement may take;
    None where none is waited for.
    """

    standard: str
    sender: str
    receiver: str
    highest: int
    reference: str = ""
    answer_due_s: float | None = None


class InterchangeEntry(Struct, frozen=True, kw_only=True):
    """An interchange. A decoder yields it before the events that it covers, which end at the next entry.

    The identity is standard, sender, receiver, reference and ``date``, since control references roll over;
    tests count apart. The first event is that of the interchange itself; when it is not ``accepted`` one
    fault follows. When the ledger knows it, ``repeated`` gives the event that is recorded instead of all
    that. ``digest`` tells one content from another. ``answers`` are what it says of interchanges of ours.
    """

    standard: str
    sender: str
    receiver: str
    reference: str
    date: str
    test: bool
    accepted: bool
    digest: bytes
    repeated: Callable[[Earlier], Event]
    answers: Sequence[Answer] = ()
