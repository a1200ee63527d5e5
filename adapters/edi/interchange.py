"""Interchange, Group, Message: what an envelope says of its content, whichever standard wrote it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal
from urllib.parse import quote

from msgspec import Struct, field

from adapters.edi.finding import Findings, Spot
from adapters.edi.segment import Segment

__all__ = ["Group", "Interchange", "Message", "Standard"]

Standard = Literal["edifact", "x12"]

_LONGEST = 128
"""Characters of a code in the catalogue; no header may have as many."""


class Message(Struct, kw_only=True):
    """One message (X12: transaction set), from its header to its trailer.

    ``start`` and ``end`` are bytes of the file, ``position`` is the ordinal of its header there;
    ``segments`` counts header and trailer, too; ``group`` is the reference of its group.
    """

    type: str
    version: str
    reference: str
    place: Spot
    start: int
    end: int
    position: int
    segments: int = 0
    group: str = ""

    def to_json(self) -> dict[str, Any]:
        """What identifies it."""
        return {"type": self.type, "version": self.version, "reference": self.reference}


class Group(Struct, kw_only=True):
    """A functional group; an EDIFACT interchange without UNG has one that is not ``explicit``."""

    type: str = ""
    reference: str = ""
    version: str = ""
    sender: str = ""
    receiver: str = ""
    explicit: bool = False
    messages: list[Message] = field(default_factory=list)


class Interchange(Struct, kw_only=True):
    """One interchange of a file. What its header does not say is empty text.

    ``prepared`` is the header's date and time as written, digits only. ``tokens`` reads the segments of one
    of its messages, header and trailer included, anew each time.
    """

    standard: Standard
    findings: Findings
    reference: str = ""
    sender: str = ""
    sender_qualifier: str = ""
    receiver: str = ""
    receiver_qualifier: str = ""
    prepared: str = ""
    version: str = ""
    test: bool = False
    place: Spot = Spot()
    groups: list[Group] = field(default_factory=list)
    tokens: Callable[[Message], Iterator[Segment]] = lambda message: iter(())

    @property
    def messages(self) -> list[Message]:
        """All messages, in order."""
        return [message for group in self.groups for message in group.messages]

    @property
    def identified(self) -> bool:
        """Whether its header names what an answer needs: sender, receiver, reference."""
        named = (self.sender, self.receiver, self.reference)
        return all(0 < len(text) <= _LONGEST for text in named)

    @property
    def identity(self) -> str:
        """What makes it unique: sender, control reference, date (control numbers roll over)."""
        return "/".join(quote(part, safe="") for part in (self.sender, self.reference, self.prepared))

    def to_json(self) -> dict[str, Any]:
        """The interchange as ``crossplant edi validate --json`` shows it."""
        return {
            "standard": self.standard,
            "reference": self.reference,
            "sender": self.sender,
            "sender_qualifier": self.sender_qualifier,
            "receiver": self.receiver,
            "receiver_qualifier": self.receiver_qualifier,
            "version": self.version,
            "test": self.test,
            "messages": [message.to_json() for message in self.messages],
        }
